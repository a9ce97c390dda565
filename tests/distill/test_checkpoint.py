import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import checkpoint
from distill.config import HeadConfig, TrainConfig
from distill.types import DistillError


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(run=tmp_path / "run", bits=16)


def test_a_run_reads_back_what_was_written(config: TrainConfig) -> None:
    run = checkpoint.start_run(config)
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
    run = checkpoint.start_run(config)
    with pytest.raises(
        DistillError, match=r"expected a finished run in .* without codes/image\.npy"
    ):
        run.codes("image")


def test_an_existing_run_is_refused_or_replaced_or_taken_up(config: TrainConfig) -> None:
    run = checkpoint.start_run(config)
    (run.path / "metrics.json").write_text("{}")
    with pytest.raises(DistillError, match="give --resume, --overwrite or another --run"):
        checkpoint.start_run(config)
    assert checkpoint.start_run(config, resume=True) == run
    assert (run.path / "metrics.json").exists()
    checkpoint.start_run(config, overwrite=True)
    assert not (run.path / "metrics.json").exists()


def test_a_folder_that_is_no_run_is_never_touched(config: TrainConfig) -> None:
    folder = config.run_folder
    folder.mkdir()
    checkpoint.start_run(config)  # an empty folder is as good as none
    (folder / "config.toml").unlink()
    (folder / "thesis.tex").write_text("precious")
    for flags in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(DistillError, match="run: expected a new folder or a run"):
            checkpoint.start_run(config, **flags)
    assert (folder / "thesis.tex").read_text() == "precious"


def test_another_configuration_is_refused_by_its_keys(config: TrainConfig) -> None:
    checkpoint.start_run(config)
    other = dataclasses.replace(config, bits=32, head=HeadConfig(hidden=9))
    message = r"got other values of bits, head\.hidden; repeat the run's own settings"
    with pytest.raises(DistillError, match=message):
        checkpoint.start_run(other, resume=True)
    assert checkpoint.load_run(config.run_folder).config == config


def test_checkpoints(config: TrainConfig) -> None:
    run = checkpoint.start_run(config)
    assert checkpoint.load_checkpoint(run) is None
    state = {"stage": 1, "modules": {"w": torch.ones(3)}, "records": [{"loss": 0.1}], "inputs": "a"}
    checkpoint.save_checkpoint(run, state)
    loaded = checkpoint.load_checkpoint(run)
    assert loaded is not None
    assert torch.equal(loaded.pop("modules")["w"], torch.ones(3))
    assert loaded == {"stage": 1, "records": [{"loss": 0.1}], "inputs": "a"}


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_one_sentence(config: TrainConfig, content: bytes | None) -> None:
    run = checkpoint.start_run(config)
    checkpoint.save_checkpoint(run, {"modules": {"w": torch.ones(300)}})
    file = run.path / checkpoint.CHECKPOINT
    file.write_bytes(file.read_bytes()[:500] if content is None else content)
    with pytest.raises(
        DistillError, match=re.escape(f"expected a checkpoint in {file}, got a dam")
    ):
        checkpoint.load_checkpoint(run)
