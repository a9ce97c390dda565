"""Runs on datasets that come as features: trained, compared and refused like the others."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill import checkpoint, encode, evaluate, train
from distill.config import (
    DataConfig,
    EncoderConfig,
    HeadConfig,
    ImagesConfig,
    OptimConfig,
    SkdchConfig,
    SodaConfig,
    TrainConfig,
)
from distill.evaluation import Evaluation
from distill.report import write_report
from distill.retriever import Retriever
from distill.run_evaluation import backbone
from distill.types import DistillError

N, N_LABELS = 60, 3


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays of images and texts whose class shows in both."""
    folder = tmp_path_factory.mktemp("arrays")
    drawn = np.random.default_rng(0)
    labels = drawn.integers(N_LABELS, size=N)
    for name, width in (("image", 7), ("text", 5)):
        centres = 3 * drawn.standard_normal((N_LABELS, width))
        np.save(folder / f"{name}.npy", centres[labels] + drawn.standard_normal((N, width)))
    np.save(folder / "labels.npy", np.eye(N_LABELS, dtype=np.uint8)[labels])
    return folder


@pytest.fixture(scope="module")
def config(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    return TrainConfig(
        bits=16,
        run=tmp_path_factory.mktemp("runs") / "run",
        data=DataConfig(name="features", root=arrays),
        encoder=EncoderConfig(teacher="tiny", pretrained="random"),
        head=HeadConfig(hidden=16),
        optim=OptimConfig(epochs=4, batch_size=16, lr=1e-2, validate_every=0),
        soda=SodaConfig(prompt="multihot"),
    )


@pytest.fixture(scope="module")
def run(config: TrainConfig) -> Path:
    return train.train(config)


def test_a_run_learns_and_is_reported(run: Path, tmp_path: Path) -> None:
    scores = Evaluation.from_json(checkpoint.load_run(run).metrics())
    assert scores.directions["image_to_text"].map > 2 * scores.chance
    assert scores.backbone == "image features as given; text features as given"
    page = write_report(run, tmp_path / "report.html").read_text()
    assert "MAP" in page
    evaluate.main([str(run), "--compare", str(tmp_path / "page.html")])
    assert (tmp_path / "page.html").is_file()


def test_nothing_new_can_be_encoded(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, texts = tmp_path / "a.png", tmp_path / "texts.txt"
    Image.new("RGB", (8, 8)).save(picture)
    texts.write_text("a boat\n")
    retriever = Retriever.load(run)
    expected = "{0}: expected a run that encodes {0}s, got one whose {0}s came as features; "
    with pytest.raises(DistillError, match=expected.format("image")):
        retriever.search_image(picture, 1)
    with pytest.raises(DistillError, match=expected.format("text")):
        retriever.search_text("a boat", 1)
    out = tmp_path / "out.npy"
    for flag, given in (("--images", tmp_path), ("--texts", texts)):
        options = [str(run), flag, str(given), "--out", str(out)]
        with pytest.raises(SystemExit):
            encode.main(options)
        assert "came as features" in capsys.readouterr().err
    assert not out.exists()


def test_what_went_through_an_encoder_is_named(config: TrainConfig) -> None:
    tower = "tiny, RANDOM weights, frozen"
    words = dataclasses.replace(config, soda=SodaConfig())
    both = "image features as given; text features as given"
    assert backbone(words, {"image", "text"}) == f"{both}; label through {tower}"
    one = backbone(words, {"text"})
    assert one == f"text features as given; image and label through {tower}"
    assert backbone(words) == tower


def test_too_few_items_are_one_sentence(config: TrainConfig, arrays: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for file in arrays.glob("*.npy"):
        np.save(few / file.name, np.load(file)[:3])  # a query, one to validate, one to train on
    tiny = dataclasses.replace(
        config, run=tmp_path / "run", data=DataConfig(name="features", root=few)
    )
    assert (train.train(tiny) / "metrics.json").is_file()


def test_images_alone_and_towers_need_pictures(config: TrainConfig, tmp_path: Path) -> None:
    images = ImagesConfig(
        backbone="test_resnet", backbone_size=40, backbone_weights="random", views=2
    )
    alone = dataclasses.replace(config, method="cibhash", run=tmp_path / "a", images=images)
    with pytest.raises(DistillError, match="images: expected pictures to hash, got"):
        train.train(alone)
    tuned = dataclasses.replace(
        config, run=tmp_path / "b", encoder=dataclasses.replace(config.encoder, mode="finetune")
    )
    with pytest.raises(DistillError, match="expected"):
        train.train(tuned)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


@pytest.fixture(scope="module")
def xmedia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A divided folder of three media; a third of the items, queries too, have no audio."""
    folder = tmp_path_factory.mktemp("xmedia")
    drawn = np.random.default_rng(1)
    centres = {"img": 7, "texts": 5, "audio": 6}
    centres = {m: 3 * drawn.standard_normal((N_LABELS, width)) for m, width in centres.items()}
    for part, n in (("train", 45), ("semi", 30), ("test", 15)):
        labels = np.arange(n) % N_LABELS
        for name, centre in centres.items():
            values = centre[labels] + drawn.standard_normal((n, centre.shape[1]))
            if name == "audio":
                values[1::3] = np.nan
            np.save(folder / f"{name}_{part}.npy", values)
        for kind in ("img", "txt"):
            np.save(folder / f"labels_{part}_{kind}.npy", labels)
    return folder


def test_skdch_learns_three_media_and_unlabelled_items(
    config: TrainConfig, xmedia: Path, tmp_path: Path
) -> None:
    media = ("image", "text", "audio")
    settings = dataclasses.replace(
        config,
        method="skdch",
        run=tmp_path / "run",
        data=DataConfig(name="features", root=xmedia, modalities=media),
        skdch=SkdchConfig(pretraining=2, rounds=1, candidates=0.5),
    )
    run = checkpoint.load_run(train.train(settings))
    codes = run.codes("audio")
    assert (~codes.any(axis=1)).nonzero()[0].tolist() == [
        i for start, n in ((0, 45), (45, 30), (75, 15)) for i in range(start + 1, start + n, 3)
    ]
    assert run.codes("image").any(axis=1).all()
    scores = Evaluation.from_json(run.metrics())
    assert "train, 30 are unlabelled and" in scores.protocol
    assert "modalities image, text and audio (of 60 items); image, text and audio = the given" in (
        scores.protocol
    )
    for name in ("audio_to_text", "image_to_audio", "text_to_image"):
        direction = scores.directions[name]
        assert direction.map > 1.5 * scores.chance
    rows = np.load(run.path / "training_rows.npy")
    assert set(range(45, 75)) < set(rows.tolist())
    learned = np.load(run.path / "pseudo_labels.npy")
    assert learned.shape == (len(rows), N_LABELS)
    # What the neighbours say of items whose labels no method has seen.
    truth = np.eye(N_LABELS, dtype=np.uint8)[np.arange(30) % N_LABELS]
    assert (learned[np.isin(rows, np.arange(45, 75))] == truth).mean() > 0.9
