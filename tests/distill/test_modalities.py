"""A run of four modalities, three of which some items lack: what it leaves and how it scores."""

import dataclasses
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from distill import checkpoint, evaluate, repeated, train
from distill.config import SkdchConfig, TrainConfig
from distill.evaluation import Evaluation
from distill.methods.base import Method
from distill.metrics.scores import direction_label, directions_of, sides
from distill.run_evaluation import evaluate_run, validation_map
from tests.distill.four_modalities import NAMES, UNLABELLED, N
from tests.distill.started import start_run
from tests.distill.test_comparison import cells, reference_precisions
from tests.distill.test_report import Page


@pytest.fixture
def run(four_run):
    return four_run


def test_a_run_keeps_the_codes_of_every_modality_and_what_the_method_keeps(
    four_finished, four_dataset
):
    run = checkpoint.load_run(four_finished)
    assert run.modalities == NAMES
    kinds = {"image": "image", "text": "text", "fluent": "image", "tags": "text"}
    assert json.loads((four_finished / "dataset.json").read_text())["modalities"] == kinds
    assert {"pseudo_labels.npy", "training_rows.npy"} <= {
        file.name for file in four_finished.iterdir()
    }
    for name in NAMES:
        has = four_dataset.has(name)
        assert has.all() == (name == "text")
        assert not run.codes(name)[~has].any()
        assert not run.continuous(name)[~has].any()
        assert run.codes(name)[has].any(axis=1).all()
        assert run.continuous(name).dtype == np.float32
    kept = (
        np.load(four_finished / "pseudo_labels.npy"),
        np.load(four_finished / "training_rows.npy"),
    )
    assert [each.dtype for each in kept] == [np.uint8, np.int64]
    learned = {*four_dataset.splits["train"], *UNLABELLED}
    assert kept[1].tolist() == sorted(learned)


def test_a_run_of_images_and_texts_says_nothing_new(tmp_path):
    run = start_run(TrainConfig(run=tmp_path / "run"))
    about = SimpleNamespace(name="a", fingerprint="b", features={})
    for kinds in (None, {"image": "image", "text": "text"}):
        checkpoint.save_dataset(run, about, kinds)
        assert json.loads((run.path / "dataset.json").read_text()) == {
            "name": "a",
            "fingerprint": "b",
        }
        assert run.modalities == ("image", "text")


def test_every_ordered_pair_is_scored_on_the_items_that_have_both(four_finished, four_dataset):
    run = checkpoint.load_run(four_finished)
    evaluation = Evaluation.from_json(run.metrics())
    assert list(evaluation.directions) == list(directions_of(NAMES))
    assert "through" not in evaluation.backbone
    for name, scores in evaluation.directions.items():
        (a, b), labels = sides(name), four_dataset.labels
        query = [i for i in four_dataset.splits["query"] if four_dataset.has(a)[i]]
        database = [i for i in four_dataset.splits["database"] if four_dataset.has(b)[i]]
        precisions = reference_precisions(
            run.codes(a)[query], run.codes(b)[database], labels[query], labels[database]
        )
        assert scores.map == pytest.approx(precisions.mean())
        counts = (None, None) if name == "text_to_text" else (len(query), len(database))
        assert (scores.n_query, scores.n_database) == counts


def test_a_repeated_fault_is_named_with_the_method(four_finished, four_dataset):
    run = checkpoint.load_run(four_finished)
    codes = {name: run.codes(name) for name in NAMES}
    assert evaluate_run(run, four_dataset, codes).method == "skdch"
    leaking = dataclasses.replace(run.config, skdch=SkdchConfig(authors_leak=True))
    audited = dataclasses.replace(run, config=leaking)
    assert evaluate_run(audited, four_dataset, codes).method == "skdch (authors_leak)"
    student = dataclasses.replace(run, config=dataclasses.replace(leaking, method="triplet"))
    assert evaluate_run(student, four_dataset, codes).method == "triplet"


class Heads:
    """Inputs whose codes are the run's."""

    def __init__(self, run, dataset):
        self.run, self.dataset = run, dataset

    def codes(self, modality, head, part):
        assert head == f"head of {modality}"
        return self.run.codes(modality)[self.dataset.splits[part]]


def test_validation_is_of_the_stage_and_its_modalities(four_finished, four_dataset):
    run = checkpoint.load_run(four_finished)
    validation = np.arange(0, 20)
    split = dataclasses.replace(
        four_dataset, splits={**four_dataset.splits, "validation": validation}
    )
    stage = SimpleNamespace(
        modalities=("text", "tags"), heads={m: f"head of {m}" for m in ("text", "tags")}
    )
    found = validation_map(Method((), nn.ModuleDict()), split, Heads(run, split))(stage)
    assert list(found) == ["text_to_tags", "tags_to_text", "text_to_text", "tags_to_tags"]
    for name, figure in found.items():
        (a, b), labels = sides(name), four_dataset.labels
        query = [i for i in validation if four_dataset.has(a)[i]]
        database = [i for i in four_dataset.splits["train"] if four_dataset.has(b)[i]]
        precisions = reference_precisions(
            run.codes(a)[query], run.codes(b)[database], labels[query], labels[database]
        )
        assert figure == pytest.approx(precisions.mean())
    lacking = np.flatnonzero(~four_dataset.has("tags"))
    split = dataclasses.replace(four_dataset, splits={**four_dataset.splits, "validation": lacking})
    found = validation_map(Method((), nn.ModuleDict()), split, Heads(run, split))(stage)
    assert list(found) == ["text_to_tags", "text_to_text"]


def test_commands_tell_every_direction_with_its_counts(run, capsys, tmp_path):
    before = (run / "metrics.json").read_text()
    (run / "metrics.json").unlink()
    out = tmp_path / "out.md"
    evaluate.main([str(run), "--compare", str(out)])
    assert (run / "metrics.json").read_text() == before
    evaluation = Evaluation.from_json(before)
    printed = " ".join(capsys.readouterr().out.split())
    shares = evaluation.shares
    counts = r"\d+ and \d+ have"
    assert re.fullmatch(rf", of which {counts} image, {counts} fluent, {counts} tags", shares)
    assert f"database items{shares}; skdch, " in printed
    assert all(direction_label(name) in printed for name in directions_of(NAMES))
    compared = out.read_text().replace("\\", "")
    assert f"{evaluation.n_query} queries, {evaluation.n_database} items{shares}." in compared
    assert "Chance is that of all queries and items; " in compared
    scores = evaluation.directions["fluent_to_tags"]
    columns, rows = cells(out.read_text(), "Queries → database: fluent → tags")
    assert columns[:5] == ["row", "queries", "items", "chance", "MAP"]
    (row,) = rows.values()
    counts = [str(scores.n_query), str(scores.n_database)]
    assert row[:4] == [*counts, f"{scores.chance:.3f}", f"{scores.map:.3f}"]
    columns, _ = cells(out.read_text(), "Queries → database: text → text")
    assert columns[:2] == ["row", "MAP"]
    train._print_scores(run, evaluation, None)
    printed = capsys.readouterr().out
    assert f"fluent → tags  MAP {scores.map:.3f}  chance {scores.chance:.3f}\n" in printed
    lines = [line.strip() for line in printed.splitlines()]
    assert sum(" → " in line and " MAP " in line for line in lines) == len(NAMES) ** 2


def test_runs_are_paired_over_the_queries_that_ask(run, four_dataset, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = (other / "config.toml").read_text()
    (other / "config.toml").write_text(config.replace("pull = 0.02", "pull = 0.5"))
    drawn = np.random.default_rng(0).integers(0, 256, (N, 2), dtype=np.uint8)
    np.save(other / "codes" / "fluent.npy", drawn)
    for name in ("out.md", "out.html"):
        evaluate.main([str(run), str(other), "--compare", str(tmp_path / name)])
    page = Page((tmp_path / "out.html").read_text())
    assert len(page.all("figure")) == 2 * len(NAMES) ** 2
    columns, rows = cells((tmp_path / "out.md").read_text(), "Difference from A · skdch · 16 bits")
    place = columns.index("fluent → tags") - 1
    maps = [
        Evaluation.from_json((path / "metrics.json").read_text()).directions["fluent_to_tags"].map
        for path in (other, run)
    ]
    (row,) = rows.values()
    assert row[place].replace("\\", "").startswith(f"{maps[0] - maps[1]:+.3f} [")


def test_the_spread_is_of_directions_that_all_splits_have(four_finished):
    evaluation = Evaluation.from_json((four_finished / "metrics.json").read_text())
    less = {k: v for k, v in evaluation.directions.items() if k != "fluent_to_tags"}
    other = dataclasses.replace(evaluation, directions=less, unscored=("fluent_to_tags",))
    told = repeated.spread([evaluation, other])
    assert "tags → fluent" in told
    assert "fluent → tags" not in told
