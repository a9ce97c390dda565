import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from distill import checkpoint
from distill.config import TrainConfig
from distill.types import DistillError
from tests.distill.started import start_run


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(run=tmp_path / "run", bits=16)


def test_a_run_reads_back_what_was_written(config: TrainConfig) -> None:
    run = start_run(config)
    codes = np.arange(6, dtype=np.uint8).reshape(3, 2)
    checkpoint.save_codes(run, "image", codes, codes.astype(np.float32))
    weights = checkpoint.Weights({"image": {"class": "HashHead"}}, {"image.w": torch.ones(2, 3).T})
    checkpoint.save_weights(run, weights)
    checkpoint.save_records(run, [{"epoch": 1}, {"epoch": 2}])
    checkpoint.save_metrics(run, "{}")
    loaded = checkpoint.load_run(str(run.path))
    assert loaded.config == config
    assert np.array_equal(loaded.codes("image"), codes)
    assert isinstance(loaded.codes("image"), np.memmap)
    assert loaded.continuous("image").dtype == np.float32
    assert loaded.weights().specs == weights.specs
    assert torch.equal(loaded.weights().tensors["image.w"], torch.ones(3, 2))
    assert loaded.records() == [{"epoch": 1}, {"epoch": 2}]
    assert loaded.metrics() == "{}"


def test_what_is_missing_is_named(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DistillError, match=r"run: expected a run folder with config\.toml, got"):
        checkpoint.load_run(tmp_path / "nothing")
    run = start_run(config)
    with pytest.raises(
        DistillError, match=r"expected a finished run in .* without codes/image\.npy"
    ):
        run.codes("image")


def test_checkpoints(config: TrainConfig) -> None:
    run = start_run(config)
    assert checkpoint.load_checkpoint(run) is None
    state = {"stage": 1, "modules": {"w": torch.ones(3)}, "records": [{"loss": 0.1}], "inputs": "a"}
    checkpoint.save_checkpoint(run, state)
    loaded = checkpoint.load_checkpoint(run)
    assert loaded is not None
    assert torch.equal(loaded.pop("modules")["w"], torch.ones(3))
    assert loaded == {"stage": 1, "records": [{"loss": 0.1}], "inputs": "a"}


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_one_sentence(config: TrainConfig, content: bytes | None) -> None:
    run = start_run(config)
    checkpoint.save_checkpoint(run, {"modules": {"w": torch.ones(300)}})
    file = run.path / checkpoint.CHECKPOINT
    file.write_bytes(file.read_bytes()[:500] if content is None else content)
    with pytest.raises(
        DistillError, match=re.escape(f"expected a checkpoint in {file}, got a dam")
    ):
        checkpoint.load_checkpoint(run)


def damaged(name: str) -> AbstractContextManager[object]:
    message = f"{name} as it was written, got a damaged file"
    return pytest.raises(DistillError, match=re.escape(message))


class Data(NamedTuple):
    fingerprint: str
    name: str = "shapes"
    features: tuple[str, ...] = ()


def test_a_changed_dataset_is_refused(config: TrainConfig) -> None:
    run = start_run(config)
    with pytest.raises(DistillError, match=r"without dataset\.json"):
        run.check_dataset(Data("a"))
    checkpoint.save_dataset(run, Data("a"))
    run.check_dataset(Data("a"))
    with pytest.raises(DistillError, match=r"dataset: expected shapes as it was when .* changed"):
        run.check_dataset(Data("b"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\udcff"])
def test_a_damaged_text_file_is_one_sentence(config: TrainConfig, content: str) -> None:
    run = start_run(config)
    for name in ("dataset.json", "metrics.json", "metrics.jsonl"):
        (run.path / name).write_bytes(content.encode(errors="surrogateescape"))
    with damaged("dataset.json"):
        run.check_dataset(Data("a"))
    if content not in ("[]", "{}"):
        with damaged("metrics.json"):
            run.metrics()
    if content in ("{", "\udcff"):
        with damaged("metrics.jsonl"):
            run.records()


def test_damaged_weights_are_one_sentence(config: TrainConfig) -> None:
    run = start_run(config)
    checkpoint.save_weights(run, checkpoint.Weights({}, {"image.w": torch.ones(9)}))
    file = run.path / checkpoint.WEIGHTS
    whole = file.read_bytes()
    for content in (b"", whole[:20], whole[:-1], whole.replace(b"run", b"ran")):
        file.write_bytes(content)
        with damaged("weights.safetensors"):
            run.weights()


def test_damaged_codes_are_one_sentence(config: TrainConfig) -> None:
    run = start_run(config)
    codes = np.zeros((3, 2), np.uint8)
    for wrong in (codes[:, :1], codes[0], codes.astype(np.int8)):
        checkpoint.save_codes(run, "image", wrong, codes)
        with damaged("image.npy"):
            run.codes("image")
    with damaged("image.float.npy"):
        run.continuous("image")
    checkpoint.save_codes(run, "image", codes, codes.astype(np.float32))
    file = run.path / "codes/image.npy"
    whole = file.read_bytes()
    for content in (b"", whole[:20], whole[:-1]):
        file.write_bytes(content)
        with damaged("image.npy"):
            run.codes("image")


def test_equal_weights_are_equal_bytes(config: TrainConfig) -> None:
    run = start_run(config)
    specs = {"text": {"b": 1, "a": 2}, "image": {}}
    tensors = {"text.w": torch.ones(2), "image.w": torch.zeros(3)}
    found = set()
    for _ in range(8):
        checkpoint.save_weights(run, checkpoint.Weights(specs, tensors))
        found.add((run.path / checkpoint.WEIGHTS).read_bytes())
    assert len(found) == 1
