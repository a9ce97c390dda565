"""Semi-supervised runs from files to codes: the layout of XMedia, its hidden labels, refusals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from distill import checkpoint, train
from distill.config import (
    DataConfig,
    EncoderConfig,
    HeadConfig,
    OptimConfig,
    SkdchConfig,
    TrainConfig,
    load_config,
)
from distill.evaluation import Evaluation
from distill.types import DistillError

SIZES = {"train": 30, "semi": 50, "test": 20}
N_LABELS = 3
CENTRES = {
    name: 3 * np.random.default_rng(9).standard_normal((N_LABELS, width))
    for name, width in (("img", 7), ("texts", 5), ("audio", 4))
}


def write(folder: Path, *, garbage: bool = False) -> Path:
    """XMedia's files; a third of the items have no audio. Garbage: wrong labels of semi items."""
    folder.mkdir(exist_ok=True)
    for number, (part, n) in enumerate(SIZES.items()):
        drawn = np.random.default_rng(number)
        labels = drawn.integers(N_LABELS, size=n)
        for name, centres in CENTRES.items():
            values = centres[labels] + drawn.standard_normal((n, centres.shape[1]))
            if name == "audio":
                values[::3] = np.nan
            np.save(folder / f"{name}_{part}.npy", values.astype(np.float32))
        if garbage and part == "semi":
            labels = (labels + 1 + drawn.integers(N_LABELS - 1, size=n)) % N_LABELS
        for kind in ("img", "txt"):
            np.save(folder / f"labels_{part}_{kind}.npy", np.eye(N_LABELS, dtype=np.uint8)[labels])
    return folder


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("arrays"))


def config(root: Path, run: Path, **options: object) -> TrainConfig:
    settings = {"pretraining": 3, "rounds": 1, "triplets": 4, "candidates": 0.3}
    return TrainConfig(
        method="skdch",
        bits=16,
        run=run,
        data=DataConfig(name="features", root=root, modalities=("image", "text", "audio")),
        encoder=EncoderConfig(teacher="tiny", pretrained="random"),
        head=HeadConfig(hidden=16),
        optim=OptimConfig(epochs=4, batch_size=16, lr=1e-2, validate_every=2, checkpoint_every=2),
        skdch=SkdchConfig(**settings | options),
    )


@pytest.fixture(scope="module")
def run(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train.train(config(arrays, tmp_path_factory.mktemp("runs") / "run"))


def weights(run: Path) -> dict[str, bytes]:
    names = (checkpoint.WEIGHTS, checkpoint.TEACHER)
    return {name: (run / name).read_bytes() for name in names}


def test_every_ordered_pair_is_learned_and_scored(run: Path) -> None:
    opened = checkpoint.load_run(run)
    scores = Evaluation.from_json(opened.metrics())
    assert len(scores.directions) == 9
    assert scores.directions["audio_to_text"].n_query == 20 - 7
    for name, direction in scores.directions.items():
        assert direction.map > 1.5 * (direction.chance or scores.chance), name
    teacher = Evaluation.from_json(opened.teacher_metrics() or "")
    assert teacher.directions.keys() == scores.directions.keys()
    assert teacher.method == "the teacher of skdch"
    assert "27 train, 50 are unlabelled and 3 validate" in scores.protocol
    pseudo, rows = (np.load(run / f"{n}.npy") for n in ("pseudo_labels", "training_rows"))
    assert len(pseudo) == len(rows) == 30 + 50 - 3  # a tenth of the labelled items validates


def test_the_labels_of_semi_items_change_nothing_that_is_learned(run: Path, tmp_path: Path) -> None:
    other = train.train(config(write(tmp_path / "arrays", garbage=True), tmp_path / "run"))
    assert weights(other) == weights(run)
    assert (other / "metrics.jsonl").exists()
    same = (np.load(r / "pseudo_labels.npy") for r in (other, run))
    assert np.array_equal(*same)
    for name in ("image", "text", "audio"):
        codes = (np.load(r / "codes" / f"{name}.npy") for r in (other, run))
        assert np.array_equal(*codes)


def test_the_authors_leak_is_seen(arrays: Path, tmp_path: Path) -> None:
    leaking = train.train(config(arrays, tmp_path / "a", rounds=4, authors_leak=True))
    other = write(tmp_path / "arrays", garbage=True)
    garbage = train.train(config(other, tmp_path / "b", rounds=4, authors_leak=True))
    assert weights(leaking) != weights(garbage)
    assert "authors_leak" in Evaluation.from_json(checkpoint.load_run(garbage).metrics()).method


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    run: Path, arrays: Path, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, saved = config(arrays, tmp_path / "run"), checkpoint.save_checkpoint
    count = iter(range(99))

    def interrupted(*arguments: object) -> None:
        saved(*arguments)
        if next(count) == stop:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.train(settings)
    assert not (tmp_path / "run" / checkpoint.WEIGHTS).exists()
    train.train(settings, resume=True)
    assert weights(tmp_path / "run") == weights(run)


def test_the_authors_settings_train(arrays: Path, tmp_path: Path) -> None:
    """Their wide net, plain gradient descent and sampling, with fewer units and epochs."""
    preset = load_config("skdch-authors")
    small = config(arrays, tmp_path / "run")
    shorter = dataclasses.replace(preset.skdch, pretraining=20, rounds=1)
    found = dataclasses.replace(
        small,
        head=dataclasses.replace(preset.head, hidden=32),
        optim=dataclasses.replace(preset.optim, batch_size=8, epochs=3),
        skdch=shorter,
    )
    scores = Evaluation.from_json(checkpoint.load_run(train.train(found)).metrics())
    assert scores.directions["image_to_text"].map > 1.2 * scores.chance
    stored = checkpoint.load_run(tmp_path / "run").weights()
    assert stored.specs["image"]["kind"] == "tanh"
    z_scored = stored.tensors["image.body.0.mean"]
    known = np.concatenate([np.load(arrays / f"img_{part}.npy") for part in ("train", "semi")])
    rows = np.load(tmp_path / "run" / "training_rows.npy")
    assert np.allclose(z_scored.numpy(), known[rows].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 500}, r"neighbours: expected 1 to the 77 items .*, got 500; lower --skdch"),
        ({"pretraining": 0, "rounds": 0}, r"pretraining: expected at least 1 epoch, .*; give one"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    arrays: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DistillError, match=message):
        train.train(config(arrays, tmp_path / "run", **options))


@pytest.mark.parametrize("method", ["skdch", "schgan", "triplet"])
def test_what_nothing_could_be_learned_of_is_refused(
    arrays: Path, tmp_path: Path, method: str
) -> None:
    """A modality without a labelled item, and classes without another."""
    silent, alike = write(tmp_path / "silent"), write(tmp_path / "alike")
    np.save(silent / "audio_train.npy", np.full((30, 4), np.nan, np.float32))
    settings = dataclasses.replace(config(silent, tmp_path / "run"), method=method)
    expected = r"modalities: expected labelled training items that have audio, got none; choose"
    with pytest.raises(DistillError, match=expected):
        train.train(settings)
    for part, n in SIZES.items():
        for kind in ("img", "txt"):
            np.save(alike / f"labels_{part}_{kind}.npy", np.ones((n, 1), np.uint8))
    settings = dataclasses.replace(config(alike, tmp_path / "run"), method=method)
    expected = r"labels: expected labelled training items that share no label, .*, got 27 that all"
    with pytest.raises(DistillError, match=expected):
        train.train(settings)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--labelled", "0"], "labelled: expected a share in (0, 1], got 0.0"),
        (["--labelled", "1.5"], "labelled: expected a share in (0, 1], got 1.5"),
        (["--labelled", "0.001"], "labelled: expected a share that leaves an item to every label"),
        (["--modalities", "text"], "modalities: expected at least two for method skdch, got text"),
        (["--skdch.candidates", "0"], "candidates: expected a share in (0, 1], got 0.0"),
        (["--skdch.picks", "9"], "picks: expected 1 to the 8 triplets, got 9"),
        (["--encoder-mode", "finetune"], "encoder-mode: expected frozen for method skdch, got"),
        (
            ["--head", "linear"],
            "head: expected mlp or tanh for method skdch, whose generator names",
        ),
        (["--skdch.authors-leak"], "authors_leak: expected training items whose labels are hidden"),
        (
            ["--method", "cibhash", "--modalities", "text"],
            "modalities: expected none for method ci",
        ),
        (
            ["--method", "cibhash", "--labelled", "0.5"],
            "labelled: expected none for method cibhash",
        ),
    ],
)
def test_the_command_refuses_in_one_sentence(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--preset", "skdch", "--run", str(tmp_path / "run"), *flags]
    with pytest.raises(SystemExit) as ended:
        train.main(words)
    assert ended.value.code == 2
    error = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in error
    assert not (tmp_path / "run").exists()
