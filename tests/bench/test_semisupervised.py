"""The semi-supervised table: what is trained, under what terms, and what is kept of a run."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench import semisupervised, semisupervised_runs, trainings
from bench import semisupervised_tables as tables
from distill import checkpoint, data
from distill.config import TrainConfig, config_to_toml, load_config
from distill.evaluation import evaluate
from distill.types import DistillError

COMMAND = semisupervised.Command()


def test_every_training_is_done_once_and_gives_its_teacher_too() -> None:
    cells = COMMAND.cells
    assert len(cells) == 24 * 3 * 3
    students = {cell.slug for cell in cells if not cell.row.teacher}
    assert len(students) == 20 * 3 * 3
    assert {cell.slug for cell in cells if cell.row.teacher} < students
    shares = {row.name: set() for row in semisupervised.ROWS}
    for cell in cells:
        shares[cell.row.name].add(cell.labelled)
    assert shares[tables.SKDCH] == shares[tables.TEACHER] == shares[tables.ALONE]
    assert shares[tables.SKDCH] == {0.1, 0.25, 0.5, 0.75}
    assert shares[tables.UPPER] == shares[tables.UPPER_PLAIN] == {1.0}
    assert shares[tables.PLAIN] == shares[tables.ALONE_LONG] == {0.25}
    assert all(shares[name] == {0.25, 1.0} for name in tables.BASELINES)
    few = semisupervised.Command(bits=(16,), seeds=(0,), presets=("dcmh",))
    assert [cell.slug for cell in few.cells] == [
        "dcmh-steps-labelled025-16bits-seed0",
        "dcmh-labelled100-16bits-seed0",
    ]


def test_every_row_has_the_same_head_and_batch() -> None:
    rows = [(row, share) for row in semisupervised.ROWS for share in row.shares]
    cells = [semisupervised.Cell(row, share, bits=16, seed=1) for row, share in rows]
    configs = [cell.config(COMMAND) for cell in cells]
    assert len({config.head for config in configs}) == 1
    assert len({config.encoder for config in configs}) == 1
    assert {c.optim.batch_size for c in configs} == {128}
    for cell, found in zip(cells, configs, strict=True):
        assert found.optim.epoch_items == (1345 if cell.is_longer else 0)
    assert {(c.bits, c.seed) for c in configs} == {(16, 1)}
    assert all(config.optim.validate_every > 0 for config in configs)
    plain = [c.skdch.loss for c, cell in zip(configs, cells, strict=True) if cell.row.plain]
    assert plain == ["plain", "plain"]
    assert {c.data.labelled for c in configs} == {0.1, 0.25, 0.5, 0.75, 1.0}


def test_methods_of_two_modalities_take_two_where_there_are_three() -> None:
    skdch, soda = semisupervised.ROWS[0], semisupervised.ROWS[-1]
    emoji = semisupervised.Command(data="emoji-all")
    assert emoji.data_config(0.25, soda.modalities).modalities == ("image", "text")
    assert emoji.data_config(0.25, skdch.modalities).modalities is None
    assert COMMAND.data_config(0.25, soda.modalities).modalities is None


def test_the_command_stands_in_the_record_without_places() -> None:
    words = "python bench/semisupervised.py"
    assert COMMAND.words == words
    assert semisupervised.Command(root=Path("/here")).words == f"{words} --root DIR"
    few = semisupervised.Command(data="emoji-all", bits=(16,), presets=("skdch", "main"))
    assert few.words == f"{words} --data emoji-all --bits 16 --presets skdch main"
    names = [each.name for each in (COMMAND, few, semisupervised.Command(root=Path("/here")))]
    assert names == ["openclipart-embedded", "emoji-all-embedded", "openclipart-full"]
    with pytest.raises(DistillError, match=r"^presets: expected some of skdch, .*, got soda; name"):
        semisupervised.Command(presets=("soda",))


def test_a_record_is_written_with_the_protocol_of_each_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = data.load("emoji")
    codes = np.zeros((len(dataset), 1), np.uint8)
    scores = evaluate(
        {"image": codes, "text": codes},
        dataset.labels,
        dataset.splits,
        n_bits=8,
        protocol="of the run",
        backbone="a tower",
    )
    epochs = [{"stage": "pairwise", "epoch": e, "seconds": 2.0} for e in (1, 2)]
    run = SimpleNamespace(
        path=tmp_path, metrics=scores.to_json, records=lambda: epochs, check_dataset=lambda _: None
    )
    monkeypatch.setattr(semisupervised, "finish", lambda *_: None)
    monkeypatch.setattr(semisupervised, "load_config", lambda _: TrainConfig(method="dcmh"))
    monkeypatch.setattr(semisupervised, "dataset_of", lambda _: dataset)
    monkeypatch.setattr(semisupervised_runs.checkpoint, "load_run", lambda _: run)
    out = tmp_path / "made.json"
    words = ["--bits", "8", "--seeds", "0", "1", "--presets", "dcmh", "--out", str(out)]
    semisupervised.main(words)
    lines = out.read_text().splitlines()
    record = json.loads(out.read_text())
    assert sum('"row": "DCMH"' in line for line in lines) == len(record["results"]) == 4
    assert [share["labelled"] for share in record["shares"]] == [0.25, 1.0]
    train = len(dataset.splits["train"])
    assert all(share["train"] == train for share in record["shares"])
    assert record["shares"][0]["protocol"] == dataset.protocol
    assert record["hidden"] == semisupervised.HEAD.hidden
    assert record["results"][0]["seconds"] == 4.0
    assert record["results"][0]["epochs"] == {"pairwise": 2}
    assert "pseudo" not in record["results"][0]
    assert "25 %" in capsys.readouterr().out


def test_map_by_part_is_that_of_the_part_alone() -> None:
    dataset = data.load("emoji", labelled=0.5)
    drawn = np.random.default_rng(0)
    codes = {
        m: drawn.integers(256, size=(len(dataset), 2), dtype=np.uint8) for m in ("image", "text")
    }
    found = semisupervised_runs.map_by_part(codes, dataset)
    assert found.keys() == {"labelled", "hidden", "unseen"}
    query = dataset.splits["query"]
    for part, name in (("labelled", "train"), ("hidden", "unlabelled"), ("unseen", "validation")):
        alone = {"query": query, "database": dataset.splits[name]}
        scores = evaluate(codes, dataset.labels, alone, n_bits=16, protocol="a part").directions
        expected = {d: scores[d].map for d in ("image_to_text", "text_to_image")}
        assert found[part] == pytest.approx(expected)


def test_validation_is_kept_by_stage_as_the_mean_of_all_directions() -> None:
    records = [
        {"stage": "supervised", "epoch": 1},
        {"stage": "supervised", "epoch": 2, "validation": {"a_to_b": 0.2, "b_to_a": 0.4}},
        {"stage": "student", "epoch": 2, "validation": {"a_to_b": 0.5, "b_to_a": 0.5}},
        {"stage": "student", "epoch": 3, "validation": {}},
    ]
    curves = semisupervised_runs.validation_curves(records)
    assert curves == {"supervised": [(2, 0.3)], "student": [(2, 0.5)]}
    assert semisupervised_runs.epochs_of(records) == {"supervised": 2, "student": 3}


def test_the_teachers_figures_are_those_of_its_own_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = data.load("emoji")
    half = np.arange(len(dataset))[:, None] % 2
    student, teacher = (
        evaluate(
            {"image": codes, "text": codes},
            dataset.labels,
            dataset.splits,
            n_bits=8,
            protocol="made up",
        )
        for codes in (np.zeros_like(half, np.uint8), half.astype(np.uint8))
    )
    stages = ("supervised", "adversarial", "pretraining", "student")
    run = SimpleNamespace(
        path=tmp_path,
        metrics=student.to_json,
        teacher_metrics=teacher.to_json,
        records=lambda: [
            {"stage": s, "epoch": 1, "seconds": 10.0**i, "validation": {"a_to_b": i / 10}}
            for i, s in enumerate(stages)
        ],
        check_dataset=lambda _: None,
    )
    monkeypatch.setattr(semisupervised_runs.checkpoint, "load_run", lambda _: run)
    whole, of_teacher = (
        semisupervised_runs.record_of(TrainConfig(), dataset, teacher=t) for t in (False, True)
    )
    assert whole["map"]["image_to_text"] == student.directions["image_to_text"].map
    assert of_teacher["map"]["image_to_text"] == teacher.directions["image_to_text"].map
    assert (whole["seconds"], of_teacher["seconds"]) == (1111.0, 11.0)
    assert of_teacher["epochs"] == {"supervised": 1, "adversarial": 1}
    assert (whole["best_validation"], of_teacher["best_validation"]) == (0.3, 0.1)


def test_pseudo_labels_are_compared_with_the_truth_of_unlabelled_items_alone(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, (12, 5)).astype(np.uint8)
    true[5] = 0  # an item without labels: nobody knows what is right
    rows = np.array([1, 3, 4, 6, 9, 11, 5])
    given = true[rows].copy()
    given[-1] = 1
    unlabelled = np.array([3, 5, 6, 11])
    for row in (1, 3, 5):  # places of the unlabelled in `rows`
        given[row] = rng.integers(0, 2, 5)
        given[row, 0] = 1
    np.save(tmp_path / "training_rows.npy", rows)
    np.save(tmp_path / "pseudo_labels.npy", given)
    right = wrong = missed = 0
    for place, row in ((1, 3), (3, 6), (5, 11)):
        for label in range(5):
            right += bool(given[place, label] and true[row, label])
            wrong += bool(given[place, label] and not true[row, label])
            missed += bool(true[row, label] and not given[place, label])
    dataset = SimpleNamespace(labels=true, splits={"unlabelled": unlabelled})
    found = semisupervised_runs.quality_of(SimpleNamespace(path=tmp_path), dataset)
    assert found == {
        "items": 3,
        "precision": right / (right + wrong),
        "recall": right / (right + missed),
        "given": (right + wrong) / 3,
        "true": (right + missed) / 3,
    }


def test_a_run_of_other_settings_is_not_taken_for_finished(tmp_path: Path) -> None:
    config = dataclasses.replace(load_config("main"), bits=8, run=tmp_path / "run")
    assert not trainings._is_finished(config)
    config.run_folder.mkdir()
    (config.run_folder / checkpoint.CONFIG).write_text(config_to_toml(config))
    assert not trainings._is_finished(config)
    (config.run_folder / checkpoint.METRICS).write_text("{}")
    assert trainings._is_finished(config)
    refused = r"^runs: expected .*run with the settings of today, got other values of bits; delete"
    with pytest.raises(DistillError, match=refused):
        trainings._is_finished(dataclasses.replace(config, bits=16))
