"""The main job from data to evaluation, on drawn shapes with a tiny random model."""

import dataclasses
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch

import hamming
from distill import checkpoint, data, evaluate, inputs, search, train
from distill.config import (
    PRESET_NAMES,
    DataConfig,
    EncoderConfig,
    HeadConfig,
    OptimConfig,
    SkdchConfig,
    TrainConfig,
    config_to_toml,
)
from distill.evaluation import Evaluation
from distill.heads import build_heads, head_output
from distill.types import DistillError

FILES = {
    "config.toml",
    "metrics.jsonl",
    "metrics.json",
    "weights.safetensors",
    "checkpoint.pt",
    "dataset.json",
}
KEPT = {
    "skdch": {
        "pseudo_labels.npy",
        "training_rows.npy",
        checkpoint.TEACHER,
        checkpoint.TEACHER_METRICS,
    }
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(shapes: Path, cache: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        bits=20,
        run=tmp_path / "run",
        data=DataConfig(name="manifest", path=shapes),
        encoder=EncoderConfig(teacher="tiny", pretrained="random", cache=cache),
        head=HeadConfig(hidden=16),
        optim=OptimConfig(epochs=3, batch_size=8, validate_every=2, checkpoint_every=1),
        skdch=SkdchConfig(pretraining=3, rounds=1),
    )


@pytest.mark.parametrize("method", sorted(train.METHODS))
def test_a_run_folder_holds_everything(config: TrainConfig, method: str) -> None:
    path = train.train(dataclasses.replace(config, method=method))
    assert path == config.run_folder
    assert {f.name for f in path.iterdir()} == FILES | {"codes"} | KEPT.get(method, set())
    run = checkpoint.load_run(path)
    dataset = train.load_dataset(run.config)
    features = inputs.encode_dataset(inputs.load_encoder(config.encoder), dataset, config)
    heads = build_heads(*run.weights())
    for modality in ("image", "text"):
        codes, floats = run.codes(modality), run.continuous(modality)
        assert codes.shape == (len(dataset), 3)
        assert floats.shape == (len(dataset), 256 if method == "contrastive" else 20)
        expected = head_output(heads[modality], features[modality])
        assert np.array_equal(hamming.pack(expected.numpy()), codes)
    run.check_dataset(dataset)
    scores = Evaluation.from_json(run.metrics())
    assert len(scores.directions) == 4
    assert (scores.method, scores.n_bits, scores.seed) == (method, 20, 0)
    assert "RANDOM weights" in scores.backbone
    records = run.records()
    last = {record["stage"]: record for record in records}
    assert all("validation" in record for record in last.values())
    early = {r["epoch"] for r in records if "validation" in r} - {r["epoch"] for r in last.values()}
    assert early == {2}


def state_of(path: Path) -> dict[str, Any]:
    run = checkpoint.load_run(path)
    drop = ("seconds", "samples_per_second")
    return {
        "tensors": {k: v.numpy().tobytes() for k, v in run.weights().tensors.items()},
        "codes": [run.codes(m).tobytes() for m in ("image", "text")],
        "metrics": run.metrics(),
        "records": [{k: v for k, v in r.items() if k not in drop} for r in run.records()],
    }


class KilledError(Exception):
    pass


def stop_after(n_saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run die right after its n-th checkpoint."""
    save, count = checkpoint.save_checkpoint, iter(range(1, 1000))

    def saving(run: Any, state: Any) -> None:
        save(run, state)
        if next(count) == n_saves:
            raise KilledError

    monkeypatch.setattr(checkpoint, "save_checkpoint", saving)


@pytest.mark.parametrize("n_saves", [1, 3, 4, 6])
def test_resuming_equals_never_having_stopped(
    config: TrainConfig, n_saves: int, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    whole = state_of(train.train(dataclasses.replace(config, run=tmp_path / "whole")))
    torch.manual_seed(2)
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_after(n_saves, monkeypatch)
        with pytest.raises(KilledError):
            train.train(config)
    assert state_of(train.train(config, resume=True)) == whole
    assert state_of(train.train(config, resume=True)) == whole  # nothing is left to do


def test_seeds_differ_and_the_callers_generator_is_left_alone(config: TrainConfig) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one = state_of(train.train(config))
    assert torch.equal(torch.rand(2), expected)
    other = state_of(train.train(dataclasses.replace(config, seed=1), overwrite=True))
    assert one["tensors"] != other["tensors"]


def test_other_data_is_refused_on_resume(config: TrainConfig, shapes: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shapes.parent, tmp_path / "shapes")
    config = dataclasses.replace(config, data=DataConfig("manifest", path=folder / "items.jsonl"))
    train.train(config)
    text = (folder / "items.jsonl").read_text()
    (folder / "items.jsonl").write_text(text.replace("a green", "one green"))
    with pytest.raises(
        DistillError, match="resume: expected the training items, encoder and teacher of"
    ):
        train.train(config, resume=True)


def test_the_querys_labels_change_nothing_but_the_evaluation(
    config: TrainConfig, shapes: Path, tmp_path: Path
) -> None:
    one = state_of(train.train(config))
    folder = shutil.copytree(shapes.parent, tmp_path / "shapes")
    lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    for line in lines:
        if line["split"] == "query":
            line["labels"] = ["red"]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = DataConfig("manifest", path=folder / "items.jsonl")
    other = state_of(train.train(dataclasses.replace(config, data=data), overwrite=True))
    assert one.pop("metrics") != other.pop("metrics")
    assert one == other


def test_a_full_disk_is_one_sentence_and_resumable(
    config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text(config_to_toml(config))

    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if not path.name.startswith(".checkpoint"):
            return write(path, content)
        write(path, content[:99])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(SystemExit) as caught:
            train.main(["--preset", str(preset)])
    assert caught.value.code == 1
    sentence = f"error: {config.run_folder}/checkpoint.pt: No space left on device\n"
    assert capsys.readouterr().err == sentence
    assert not config.run_folder.exists()
    train.main(["--preset", str(preset), "--resume"])
    assert "MAP" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "tinny"], "did you mean tiny?"),
        (["--data", "openclipartt"], "did you mean openclipart?"),
        (["--teacher", "ViT-B32"], "did you mean ViT-B-32"),
        (["--bits", "0"], "bits: expected at least 1, got 0"),
        (["--data", "manifest", "--path", "missing.jsonl"], "missing.jsonl"),
        (["--lr", "inf"], "lr: expected a positive finite number, got inf"),
        (["--soda.teacher.inter", "nan"], "inter: expected a finite number of at least 0, got nan"),
        (["--soda.template", "{} {x}"], "template: expected a text with {} in it, once"),
        (["--seed", str(2**63)], "seed: expected 0..2**63 - 1"),
        (["--resume", "--overwrite"], "expected --resume or --overwrite, got both"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        train.main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in re.sub(r"[│|\s]+", " ", error)  # tyro breaks long lines in its box
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unlabelled(shapes: Path) -> Path:
    """The shapes with neither labels nor a split."""
    lines = [json.loads(line) for line in shapes.read_text().splitlines()]
    bare = [{"image": line["image"], "text": line["text"], "labels": []} for line in lines]
    path = shapes.with_name("unlabelled.jsonl")
    path.write_text("\n".join(map(json.dumps, bare)))
    return path


def test_pairs_without_labels_are_learned_searched_and_compared(
    config: TrainConfig, unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = DataConfig(name="manifest", path=unlabelled)
    runs = [
        train.train(
            dataclasses.replace(
                config, method="contrastive", data=found, seed=seed, run=tmp_path / name
            )
        )
        for seed, name in enumerate("ab")
    ]
    run = checkpoint.load_run(runs[0])
    assert len(run.codes("text")) == len(unlabelled.read_text().splitlines())
    capsys.readouterr()
    evaluate.main([str(runs[0]), "--report"])
    report = (runs[0] / "report.html").read_text()
    for words in ("Results", "Precision and recall", "Scores are comparable", "MAP by chance"):
        assert words not in report
    assert "Nothing is scored" not in report
    capsys.readouterr()
    for page in ("out.html", "out.md"):
        evaluate.main([*map(str, runs), "--compare", str(tmp_path / page)])
        said = " ".join(capsys.readouterr().out.split())
        assert "all of which train; text as in the file, no labels" in said
        assert "Nothing is scored." in said
        assert "contain one of their labels" not in said
    search.main([str(runs[0]), "--text", "a red ellipse", "--k", "2"])


@pytest.mark.parametrize("method", ["soda", "skdch", "dcmh"])
def test_without_labels_other_methods_are_refused_in_a_sentence(
    config: TrainConfig, unlabelled: Path, method: str
) -> None:
    data = DataConfig(name="manifest", path=unlabelled)
    with pytest.raises(DistillError, match=r"^labels: expected .*"):
        train.train(dataclasses.replace(config, method=method, data=data))
    assert not config.run_folder.exists()


def test_flags_that_the_method_does_not_read_are_named(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = ["--data", "manifest", "--path", str(tmp_path / "none.jsonl")]
    with pytest.raises(SystemExit):
        train.main(["--skdch.margin", "0.3", "--soda.normalize", *wrong])
    assert caplog.messages == ["method soda does not read --skdch.margin"]
    caplog.clear()
    with pytest.raises(SystemExit):
        train.main(["--preset", "skdch", *wrong])
    assert caplog.messages == []


def flags(kind: type, prefix: str = "") -> Iterator[str]:
    """The flags of a dataclass, as tyro names them."""
    hints = get_type_hints(kind, include_extras=True)
    for item in dataclasses.fields(kind):
        hint, given = hints[item.name], None
        if get_origin(hint) is Annotated:
            marks = get_args(hint)[1:]
            hint, given = (
                get_args(hint)[0],
                next((m.name for m in marks if hasattr(m, "name")), None),
            )
        name = item.name if given is None else given
        if dataclasses.is_dataclass(hint):
            yield from flags(hint, f"{prefix}{name}." if name else prefix)
        else:
            yield f"--{prefix}{name}".replace("_", "-")


def test_help_names_and_explains_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main(["--help"])
    assert caught.value.code == 0
    text = re.sub(r"[│|╭╰─\s]+", " ", capsys.readouterr().out)
    names = list(flags(train.Command))
    assert {"--lr", "--soda.student.relation", "--contrastive.temperature"} <= set(names)
    for name in names:
        assert re.search(rf"{re.escape(name)}[ ,]", text), name
        # A flag without a help text has its default right behind its values.
        assert not re.search(rf"{re.escape(name)}( [A-Z{{]\S*)? \(default", text), name
    for word in (*data.NAMES, *PRESET_NAMES):
        assert word in text, word


def test_a_run_works_from_any_folder(
    config: TrainConfig, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shapes.parent)
    relative = DataConfig(name="manifest", path=Path(shapes.name))
    path = train.train(dataclasses.replace(config, data=relative))
    monkeypatch.chdir(tmp_path)
    loaded = checkpoint.load_run(path).config
    assert loaded.data.path == shapes
    assert len(train.load_dataset(loaded)) == 48


def test_overwriting_costs_no_run_when_training_cannot_begin(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = state_of(train.train(config))
    gone = DataConfig("manifest", path=tmp_path / "missing.jsonl")
    with pytest.raises(DistillError):
        train.train(dataclasses.replace(config, data=gone), overwrite=True)
    assert state_of(config.run_folder) == whole

    def broken(*_: object, **__: object) -> None:
        raise KilledError

    monkeypatch.setattr(train, "fit_run", broken)
    with pytest.raises(KilledError):
        train.train(config, overwrite=True)
    assert state_of(config.run_folder) == whole
    with pytest.raises(KilledError):
        train.train(dataclasses.replace(config, run=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
