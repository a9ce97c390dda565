"""Evaluation in four directions, as numbers, as JSON and as tables."""

import json

import numpy as np
import pytest

from distill import metrics
from distill.evaluation import DIRECTIONS, Evaluation, evaluate

N_ITEMS, N_BITS = 90, 12


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    labels = (rng.random((N_ITEMS, 6)) < 0.2).astype(np.uint8)
    codes = {
        name: np.packbits(
            labels @ rng.normal(size=(6, N_BITS)) + rng.normal(size=N_BITS) > 0, axis=1
        )
        for name in ("image", "text")
    }
    rows = rng.permutation(N_ITEMS)
    splits = {"query": np.sort(rows[:20]), "database": np.sort(rows[20:])}
    return codes, labels, splits


@pytest.fixture(scope="module")
def evaluation(problem):
    made_by = {"method": "soda", "backbone": "tiny", "seed": 3}
    return evaluate(*problem, n_bits=N_BITS, protocol="toy data, split seed 0.", **made_by)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_numbers_are_those_of_metrics(problem, evaluation, direction):
    codes, labels, splits = problem
    a, b = DIRECTIONS[direction]
    query, database = splits["query"], splits["database"]
    arrays = codes[a][query], codes[b][database], labels[query], labels[database]
    scores = evaluation.directions[direction]
    assert scores.map == pytest.approx(metrics.mean_average_precision(*arrays))
    assert scores.map_tie_averaged == pytest.approx(
        metrics.mean_average_precision(*arrays, ties="average")
    )
    for cutoff in ("rank", "relevant"):
        expected = metrics.mean_average_precision(*arrays, top=50, cutoff=cutoff)
        assert scores.map_at[cutoff] == {50: pytest.approx(expected)}  # 1000 exceeds the database
    for n, precision in scores.precision_at.items():
        assert precision == pytest.approx(metrics.precision_at(*arrays, n=n))
    assert list(scores.precision_at) == [1, 10, 50]
    assert scores.lookup_radius_2 == pytest.approx(metrics.lookup(*arrays))
    curve = metrics.precision_recall_by_radius(*arrays, n_bits=N_BITS)
    assert scores.curve_precision == pytest.approx(curve.precision.tolist())
    assert scores.curve_recall == pytest.approx(curve.recall.tolist())
    assert len(scores.curve_recall) == N_BITS + 1


def test_other_splits_are_not_read(problem, evaluation):
    codes, labels, splits = problem
    splits = {**splits, "train": "not even rows"}
    again = evaluate(codes, labels, splits, n_bits=N_BITS, protocol=evaluation.protocol)
    assert again.directions == evaluation.directions


def test_json_round_trip(evaluation):
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    values = json.loads(evaluation.to_json())
    assert "first k ranks" in values["conventions"]
    assert values["protocol"] == "toy data, split seed 0."


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"conventions": 1, "directions": {"x": {}}}']
)
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"^metrics: expected what an evaluation writes, got"):
        Evaluation.from_json(text)


def test_statement_names_the_whole_protocol(evaluation):
    for part in ("toy data", "split seed 0", "20 queries", "70 database", "soda", "tiny"):
        assert part in evaluation.statement
    for part in (
        "12 bits",
        "seed 3",
        "whole ranking",
        "first k ranks",
        "first k relevant",
        "Ties:",
    ):
        assert part in evaluation.statement


def test_table_has_a_row_per_direction_and_chance(evaluation):
    table = evaluation.table()
    assert [row[0] for row in table.rows] == [
        "image → text",
        "text → image",
        "image → image",
        "text → text",
        "chance",
    ]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.rows[0][1] == f"{evaluation.directions['image_to_text'].map:.3f}"


def test_table_of_a_small_database(problem):
    codes, labels, _ = problem
    splits = {"query": np.arange(3), "database": np.arange(3, 8)}
    small = evaluate(codes, labels, splits, n_bits=N_BITS, protocol="tiny")
    assert "P@10" in small.table().columns
    assert small.table().rows[0][-2] == "-"


@pytest.mark.parametrize(
    ("n_codes", "last", "length"), [(450, 400, 6), (2000, 2000, 15), (10_500, 10_000, 55)]
)
def test_depths_of_topn_precision_go_as_far_as_the_database(n_codes, last, length):
    rng = np.random.default_rng(1)
    labels = (rng.random((2 + n_codes, 3)) < 0.4).astype(np.uint8)
    codes = {name: rng.integers(0, 256, (len(labels), 2), np.uint8) for name in ("image", "text")}
    splits = {"query": np.arange(2), "database": np.arange(2, len(labels))}
    scores = evaluate(codes, labels, splits, n_bits=16, protocol="").directions["text_to_text"]
    depths = list(scores.precision_at)
    assert depths == sorted(depths)
    assert (depths[-1], len(depths)) == (last, length)
    assert {200, 400} <= set(depths)


def test_input_is_checked(problem):
    codes, labels, splits = problem
    with pytest.raises(ValueError, match=r"^codes: expected image and text, got no text; "):
        evaluate({"image": codes["image"]}, labels, splits, n_bits=N_BITS, protocol="")
    with pytest.raises(ValueError, match=r"^splits: expected query and database, got no query; "):
        evaluate(codes, labels, {"database": [1]}, n_bits=N_BITS, protocol="")
    with pytest.raises(ValueError, match=r"^n_bits: expected a width of 2 bytes, got 17; "):
        evaluate(codes, labels, splits, n_bits=17, protocol="")
    with pytest.raises(ValueError, match=r"^codes: expected 90 image codes as .+, got 89; "):
        evaluate({**codes, "image": codes["image"][1:]}, labels, splits, n_bits=N_BITS, protocol="")
