"""Teachers and students of image hashing from data to evaluation, on drawn shapes."""

import dataclasses
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import hamming
from distill import checkpoint, encode, evaluate, image_runs, index, train
from distill.clusters import read_clusters
from distill.config import (
    DataConfig,
    DistillConfig,
    EncoderConfig,
    HeadConfig,
    ImagesConfig,
    OptimConfig,
    TrainConfig,
)
from distill.evaluation import Evaluation
from distill.image_encoder import ImageEncoder
from distill.index_retriever import IndexRetriever
from distill.metrics import mean_average_precision
from distill.report import write_report
from distill.retriever import Retriever
from distill.types import DistillError

BITS = 16
TINY = "test_resnet"
IMAGES = ImagesConfig(
    backbone=TINY,
    backbone_size=40,
    backbone_weights="random",
    student=TINY,
    student_size=32,
    student_weights="random",
    views=3,
)
OPTIM = OptimConfig(
    epochs=5,
    batch_size=8,
    lr=1e-2,
    schedule="constant",
    weight_decay=0.0,
    validate_every=1,
    patience=2,
    checkpoint_every=1,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def base(shapes: Path, cache: Path) -> TrainConfig:
    return TrainConfig(
        method="cibhash",
        bits=BITS,
        data=DataConfig(name="manifest", path=shapes),
        encoder=EncoderConfig(cache=cache),
        head=HeadConfig(kind="linear"),
        optim=OPTIM,
        images=IMAGES,
    )


@pytest.fixture(scope="module")
def teacher(base: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train.train(dataclasses.replace(base, run=tmp_path_factory.mktemp("runs") / "teacher"))


@pytest.fixture(scope="module")
def student_config(base: TrainConfig, teacher: Path) -> TrainConfig:
    return dataclasses.replace(
        base,
        method="brcd",
        images=dataclasses.replace(IMAGES, teacher_run=teacher),
        distill=DistillConfig(clusters=4),
    )


@pytest.fixture(scope="module")
def student(student_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "student"
    return train.train(dataclasses.replace(student_config, run=path))


def state_of(path: Path) -> dict[str, Any]:
    run = checkpoint.load_run(path)
    drop = ("seconds", "samples_per_second")
    return {
        "tensors": {k: v.numpy().tobytes() for k, v in run.weights().tensors.items()},
        "metrics": run.metrics(),
        "records": [{k: v for k, v in r.items() if k not in drop} for r in run.records()],
    }


def test_a_run_folder_holds_teacher_and_student(student: Path, shapes: Path) -> None:
    run = checkpoint.load_run(student)
    dataset = train.load_dataset(run.config)
    for model, size in (("student", 32), ("teacher", 40)):
        encoder = ImageEncoder(run, model)
        assert encoder.size == size
        features = encoder.encode_images(dataset.image(i) for i in range(len(dataset)))
        codes = hamming.pack(encoder.head(features).numpy())
        assert np.array_equal(codes, run.codes(model))
    scores = Evaluation.from_json(run.metrics())
    assert list(scores.directions) == [
        "student_to_student",
        "student_to_teacher",
        "teacher_to_teacher",
    ]
    assert "RANDOM weights" in scores.backbone
    assert scores.method == "brcd (clusters 4)"
    assert 0 <= scores.neighbours_kept <= 1
    assert list(student.glob("clusters-*.safetensors"))


def test_the_paradigms_differ_in_the_database_alone(student: Path) -> None:
    run = checkpoint.load_run(student)
    dataset = train.load_dataset(run.config)
    codes = {m: np.asarray(run.codes(m)) for m in ("student", "teacher")}
    query, database = dataset.splits["query"], dataset.splits["database"]
    labels = dataset.labels[query], dataset.labels[database]
    scores = Evaluation.from_json(run.metrics()).directions
    for name, model in (("student_to_student", "student"), ("student_to_teacher", "teacher")):
        wanted = mean_average_precision(codes["student"][query], codes[model][database], *labels)
        assert scores[name].map == pytest.approx(wanted)


def test_the_teacher_is_left_as_it_was(student: Path, teacher: Path) -> None:
    own = checkpoint.load_run(teacher).weights().tensors
    kept = checkpoint.load_run(student).weights().tensors
    assert all(torch.equal(kept[name], value) for name, value in own.items())
    codes = [checkpoint.load_run(path).codes("teacher") for path in (student, teacher)]
    assert np.array_equal(*codes)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("n_saves", [1, 3])
@pytest.mark.parametrize("method", ["cibhash", "bihalf", "brcd"])
def test_resuming_equals_never_having_stopped(
    student_config: TrainConfig, method: str, n_saves: int, tmp_path: Path
) -> None:
    config = dataclasses.replace(student_config, method=method, run=tmp_path / "run")
    whole = state_of(train.train(dataclasses.replace(config, run=tmp_path / "whole")))
    save, count = checkpoint.save_checkpoint, iter(range(1, 1000))

    def saving(run: Any, state: Any) -> None:
        save(run, state)
        if next(count) == n_saves:
            raise KilledError

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(checkpoint, "save_checkpoint", saving)
        with pytest.raises(KilledError):
            train.train(config)
    torch.manual_seed(99)
    assert state_of(train.train(config, resume=True)) == whole
    assert state_of(train.train(config, resume=True)) == whole  # nothing is left to do


def test_the_best_weights_are_kept(teacher: Path) -> None:
    run = checkpoint.load_run(teacher)
    scores = [r["validation"]["teacher_to_teacher"] for r in run.records()]
    dataset = train.load_dataset(run.config)
    rows, database = dataset.splits["validation"], dataset.splits["train"]
    codes = np.asarray(run.codes("teacher"))
    found = mean_average_precision(
        codes[rows], codes[database], dataset.labels[rows], dataset.labels[database], top=1000
    )
    assert found == pytest.approx(max(scores))


@pytest.mark.parametrize("kind", ["alone", "pointwise", "bce", "hinton", "rkd", "pkt", "sp"])
def test_every_baseline_trains_in_the_same_frame(
    student_config: TrainConfig, kind: str, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        student_config,
        run=tmp_path / "run",
        distill=DistillConfig(kind=kind),
        optim=dataclasses.replace(OPTIM, epochs=1, patience=0),
    )
    (record,) = checkpoint.load_run(train.train(config)).records()
    terms = {"contrast", "divergence"} | ({"distill"} if kind != "alone" else set())
    assert set(record["terms"]) == terms


def test_a_student_may_learn_from_all_that_will_be_searched(
    student_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        student_config,
        run=tmp_path / "run",
        images=dataclasses.replace(
            student_config.images, learn_from="database", clean_view=True, views=2
        ),
        head=HeadConfig(kind="mlp", hidden=8, dropout=0.5),
        optim=dataclasses.replace(OPTIM, epochs=1, patience=0),
    )
    dataset = train.load_dataset(config)
    rows = image_runs.image_learned_rows(config, dataset)
    splits = {part: set(found.tolist()) for part, found in dataset.splits.items()}
    assert set(rows.tolist()) == splits["database"] - splits["validation"]
    assert splits["train"] < set(rows.tolist())
    run = checkpoint.load_run(train.train(config))
    scores = Evaluation.from_json(run.metrics())
    assert f"learned from {len(rows)} images of the database, without labels" in scores.protocol
    (clusters,) = run.path.glob("clusters-*.safetensors")
    assert len(read_clusters(clusters).labels) == len(rows)


def test_a_run_goes_on_with_the_teacher_that_it_began_with(
    base: TrainConfig, student_config: TrainConfig, teacher: Path, tmp_path: Path
) -> None:
    own = tmp_path / "teacher"
    shutil.copytree(teacher, own)
    config = dataclasses.replace(
        student_config,
        run=tmp_path / "student",
        images=dataclasses.replace(student_config.images, teacher_run=own),
    )
    train.train(config)
    (config.run_folder / checkpoint.METRICS).unlink()  # as if it had been stopped
    train.train(dataclasses.replace(base, seed=7, run=own), overwrite=True)
    with pytest.raises(
        DistillError, match=r"^resume: expected the training items, encoder and tea"
    ):
        train.train(config, resume=True)


def test_a_teacher_is_not_written_over_by_its_student(
    student_config: TrainConfig, teacher: Path
) -> None:
    with pytest.raises(DistillError, match=r"^run: expected another folder than the teacher's"):
        train.train(dataclasses.replace(student_config, run=teacher), overwrite=True)
    assert checkpoint.load_run(teacher).config.method == "cibhash"


def test_a_teacher_that_learned_from_the_queries_is_refused(
    student_config: TrainConfig, tmp_path: Path
) -> None:
    data = dataclasses.replace(student_config.data, split_seed=5)
    config = dataclasses.replace(student_config, data=data, run=tmp_path / "run")
    with pytest.raises(DistillError, match="splits"):
        train.train(config)


def test_a_student_begins_elsewhere_than_its_teacher(
    base: TrainConfig, student_config: TrainConfig, tmp_path: Path
) -> None:
    images = dataclasses.replace(student_config.images, student_size=IMAGES.backbone_size)
    optim = dataclasses.replace(OPTIM, epochs=1, patience=0, lr=1e-12)
    config = dataclasses.replace(student_config, images=images, optim=optim, run=tmp_path / "run")
    tensors = checkpoint.load_run(train.train(config)).weights().tensors
    start = train.train(dataclasses.replace(base, optim=optim, run=tmp_path / "start"))
    first = checkpoint.load_run(start).weights().tensors["teacher.body.0.weight"]
    assert not torch.allclose(tensors["student.body.0.weight"], first, atol=1e-3)


def test_online_views_are_new_in_every_epoch(base: TrainConfig, tmp_path: Path) -> None:
    images = dataclasses.replace(IMAGES, online=True)
    optim = dataclasses.replace(OPTIM, epochs=2, patience=0)
    config = dataclasses.replace(base, images=images, optim=optim, run=tmp_path / "run")
    assert len(checkpoint.load_run(train.train(config)).records()) == 2
    dataset, backbone = train.load_dataset(config), image_runs.open_backbone(config, "teacher")
    rows = dataset.splits["train"]
    n = len(rows)
    features = {"teacher": torch.zeros(n, 3, backbone.dim)}
    split = image_runs.OnlineSplit(
        features, torch.zeros(n, 1), (("teacher", backbone),), dataset, rows, images
    )
    first, second = (
        next(split.batches([torch.arange(4)], epoch)).features["teacher"] for epoch in (0, 1)
    )
    assert first.shape == (4, 2, backbone.dim)
    assert not torch.equal(first, second)


def test_pictures_without_labels_and_without_queries(
    student_config: TrainConfig, shapes: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(20):
        shutil.copy(shapes.parent / f"{i}.png", folder)
    config = dataclasses.replace(
        student_config, data=DataConfig("imagefolder", root=folder), run=tmp_path / "run"
    )
    run = checkpoint.load_run(train.train(config))
    scores = Evaluation.from_json(run.metrics())
    assert not scores.directions
    assert 0 <= scores.neighbours_kept <= 1
    assert not scores.table().rows
    page = write_report(run.path, tmp_path / "report.html").read_text()
    assert "The images have no labels" in page
    assert "shares no label" not in page
    assert "d is the Hamming distance" in page


def test_encode_search_evaluate_and_report_take_such_a_run(
    student: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = shapes.parent / "3.png"
    for model in ("student", "teacher"):
        out = tmp_path / f"{model}.npy"
        encode.main([str(student), "--images", str(picture), "--out", str(out), "--model", model])
        assert np.array_equal(np.load(out), checkpoint.load_run(student).codes(model)[[3]])
    hits = Retriever.load(student).search_image(picture, 5)
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
    with pytest.raises(DistillError, match="text: expected an image, got words"):
        Retriever.load(student).search_text("boat")
    before = checkpoint.load_run(student).metrics()
    evaluate.main([str(student), "--report"])
    assert checkpoint.load_run(student).metrics() == before
    page = (student / "report.html").read_text(encoding="utf-8")
    for words in ("reconstruction", "Redundancy", "Balance", "Number of clusters", "silhouette"):
        assert words in page
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(figures) == 9  # loss, validation, five of bits and clusters, two of precision
    assert all(ET.fromstring(figure).get("aria-label") for figure in figures)
    assert "student → teacher" in capsys.readouterr().out


def test_an_index_of_such_a_run_is_the_teachers_and_searched_by_the_student(
    student: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(student), "--manifest", str(shapes), "--out"]
    index.main([*words, str(tmp_path / "index")])
    found = IndexRetriever.open(tmp_path / "index")
    assert np.array_equal(found.index.codes, checkpoint.load_run(student).codes("teacher"))
    picture = shapes.parent / "3.png"
    wanted = Retriever.load(student).search_image(picture, 48)
    assert [hit[:3] for hit in found.search_image(picture, 48)] == [hit[:3] for hit in wanted]
    with pytest.raises(DistillError, match="text: expected an image, got words"):
        found.search_text("boat")
    index.main([*words, str(tmp_path / "small"), "--model", "student"])
    small = IndexRetriever.open(tmp_path / "small")
    assert np.array_equal(small.index.codes, checkpoint.load_run(student).codes("student"))
    with pytest.raises(SystemExit):
        index.main([*words, str(tmp_path / "index"), "--model", "student"])
    assert "an index of codes by student, got" in capsys.readouterr().err


def command(config: TrainConfig, *changes: str) -> list[str]:
    """The arguments of a student's training."""
    images = config.images
    return [
        *("--method", "brcd", "--teacher-run", str(images.teacher_run), "--bits", str(BITS)),
        *("--student", TINY, "--student-size", "32", "--student-weights", "random"),
        *("--data", "manifest", "--path", str(config.data.path)),
        *("--cache", str(config.encoder.cache), "--epochs", "1", "--distill.clusters", "4"),
        *changes,
    ]


def test_the_command_trains_and_tells_both_paradigms(
    student_config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(command(student_config, "--run", str(tmp_path / "run")))
    printed = capsys.readouterr().out
    for words in ("student → student", "student → teacher", "chance", "of the teacher's 10"):
        assert words in printed
    config = checkpoint.load_run(tmp_path / "run").config
    assert (config.optim.schedule, config.optim.lr, config.head.kind) == (
        "constant",
        1e-3,
        "linear",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--teacher-run", "missing"], "run: expected a run folder with config.toml, got"),
        (["--bits", "8"], "bits: expected the teacher's 16 bits, got 8; give --bits 16"),
        (["--distill.clusters", "99"], "clusters: expected at most the 22 training images, got 99"),
        (["--student", "test_resnett"], "student: expected efficientnet_lite0,"),
        (["--student-weights", "no.pth"], "student_weights: expected a file with weights of"),
        (["--head", "tanh"], "head: expected mlp or linear for method brcd, got tanh; leave it"),
        (["--data", "imagefolder", "--root", "one"], "items: expected at least 2 to learn from"),
        (["--distill.kind", "alone", "--distill.no-own-loss"], "own_loss: expected on"),
    ],
)
def test_wrong_use_is_one_sentence(
    student_config: TrainConfig,
    changes: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "one" / "a.png")
    words = command(student_config, *changes)
    if "--root" in changes:
        del words[words.index("--path") : words.index("--path") + 2]
    with pytest.raises(SystemExit) as caught:
        train.main(words)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in re.sub(r"[│|\s]+", " ", error)
    assert "Traceback" not in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["one"]


def test_a_student_without_a_teacher_and_a_run_that_is_none(
    base: TrainConfig, run: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(base, method="brcd", run=tmp_path / "new")
    with pytest.raises(DistillError, match="teacher_run: expected the run folder of a trained"):
        train.train(config)
    images = dataclasses.replace(IMAGES, teacher_run=run)
    with pytest.raises(DistillError, match="teacher_run: expected a run of cibhash or bihalf, got"):
        train.train(dataclasses.replace(config, images=images))
    assert not (tmp_path / "new").exists()
