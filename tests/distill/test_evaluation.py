"""Evaluation in four directions, as numbers, as JSON and as tables."""

import json

import numpy as np
import pytest

from distill import metrics
from distill.evaluation import DIRECTIONS, Evaluation, evaluate
from distill.metrics.scores import CONVENTIONS, directions_of, sides
from tests.distill.test_metrics_sweep import reference

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


def test_directions_are_the_ordered_pairs():
    assert list(DIRECTIONS.items()) == [
        ("image_to_text", ("image", "text")),
        ("text_to_image", ("text", "image")),
        ("image_to_image", ("image", "image")),
        ("text_to_text", ("text", "text")),
    ]
    three = directions_of(["a", "b", "c"])
    assert list(three.values()) == [
        *map(tuple, ("ab", "ac", "ba", "bc", "ca", "cb")),
        *zip("abc", "abc", strict=True),
    ]
    assert all(sides(name) == pair for name, pair in three.items())


DEPTHS = (1, 10, 50, 100)
LACKING = {"b": 0.75, "c": 0.3}


@pytest.fixture(scope="module")
def gaps():
    """Codes of three modalities, two of which some items lack, and the evaluation of them."""
    rng = np.random.default_rng(7)
    labels = (rng.random((160, 5)) < 0.3).astype(np.uint8)
    codes = {name: np.packbits(rng.random((160, N_BITS)) < 0.4, axis=1) for name in "abc"}
    rows = rng.permutation(160)
    splits = {"query": np.sort(rows[:20]), "database": np.sort(rows[20:])}
    present = {name: rng.random(160) >= share for name, share in LACKING.items()}
    directions = directions_of("abc")
    about = {"n_bits": N_BITS, "protocol": "toy", "directions": directions, "present": present}
    return codes, labels, splits, present, evaluate(codes, labels, splits, **about)


@pytest.mark.parametrize("direction", directions_of("abc"))
def test_items_that_lack_a_modality_neither_ask_nor_are_found(gaps, direction):
    codes, labels, splits, present, evaluation = gaps
    scores, (a, b) = evaluation.directions[direction], sides(direction)
    everything = {name: np.ones(160, bool) for name in "abc"} | present
    query = [i for i in splits["query"] if everything[a][i]]
    database = [i for i in splits["database"] if everything[b][i]]
    arrays = codes[a][query], codes[b][database], labels[query], labels[database]
    depths = [n for n in DEPTHS if n <= len(database)]
    wanted = reference(*arrays, N_BITS, depths)
    assert scores.map == pytest.approx(wanted[0])
    assert scores.precision_at == pytest.approx(dict(zip(depths, wanted[2], strict=True)))
    assert scores.lookup_radius_2 == pytest.approx(wanted[3])
    assert scores.curve_precision == pytest.approx(list(wanted[4]))
    assert scores.curve_recall == pytest.approx(list(wanted[5]))
    assert scores.map_tie_averaged == pytest.approx(
        metrics.mean_average_precision(*arrays, ties="average")
    )
    if direction == "a_to_a":
        assert (scores.n_query, scores.n_database, scores.chance) == (None, None, None)
    else:
        assert (scores.n_query, scores.n_database) == (len(query), len(database))
        assert scores.chance == pytest.approx(metrics.chance_level(*arrays[2:]))


def test_differing_counts_are_told(gaps):
    *_, splits, present, evaluation = gaps
    assert list(evaluation.directions) == list(directions_of("abc"))
    counts = {
        m: [int(has[splits[part]].sum()) for part in ("query", "database")]
        for m, has in present.items()
    }
    (b_asks, b_found), (c_asks, c_found) = counts["b"], counts["c"]
    assert (
        f"toy. 20 queries, 140 database items, of which {b_asks} and {b_found} have b, "
        f"{c_asks} and {c_found} have c; 12 bits. "
    ) in evaluation.statement
    table = evaluation.table()
    assert table.columns[:5] == ("direction", "queries", "items", "chance", "MAP")
    rows = {row[0]: row[1:] for row in table.rows}
    assert "chance" not in rows
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert rows["a → a"][:3] == ("20", "140", f"{evaluation.chance:.3f}")
    own = evaluation.directions["b_to_c"]
    assert rows["b → c"][:4] == (str(b_asks), str(c_found), f"{own.chance:.3f}", f"{own.map:.3f}")
    assert b_found < 50
    assert rows["a → b"][table.columns.index("MAP @50") - 1] == "-"
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_chance_is_that_of_all_items_where_no_direction_has_all(gaps):
    codes, labels, splits, present, evaluation = gaps
    some = evaluate(
        codes,
        labels,
        splits,
        n_bits=N_BITS,
        protocol="",
        directions=directions_of("bc"),
        present=present,
    )
    assert some.chance == evaluation.chance
    assert some.directions["b_to_c"] == evaluation.directions["b_to_c"]


def test_what_nothing_asks_or_is_found_by_is_left_out_and_named(gaps):
    codes, labels, splits, *_ = gaps
    silent, unfound = (np.ones(160, bool) for _ in range(2))
    silent[splits["query"]], unfound[splits["database"]] = False, False
    found = evaluate(
        codes,
        labels,
        splits,
        n_bits=N_BITS,
        protocol="toy",
        directions=directions_of("abc"),
        present={"b": silent, "c": unfound},
    )
    assert list(found.directions) == ["a_to_b", "c_to_a", "c_to_b", "a_to_a"]
    assert found.unscored == ("a_to_c", "b_to_a", "b_to_c", "b_to_b", "c_to_c")
    assert "not scored: a → c, b → a, b → c, b → b, c → c)" in found.statement
    assert found.directions["a_to_b"].n_query is None  # all that ask and all that are found
    assert Evaluation.from_json(found.to_json()) == found


def test_json_of_two_modalities_is_that_of_earlier_versions(evaluation):
    scores = {
        "map": 0.5,
        "map_tie_averaged": 0.25,
        "map_at": {"rank": {"50": 0.5}, "relevant": {"50": 0.75}},
        "precision_at": {"1": 1.0, "10": 0.5},
        "lookup_radius_2": 0.125,
        "curve_precision": [1.0, 0.5],
        "curve_recall": [0.5, 1.0],
    }
    values = {
        "protocol": "p.",
        "n_bits": 1,
        "n_query": 2,
        "n_database": 60,
        "chance": 0.5,
        "directions": {"image_to_text": scores, "text_to_image": scores},
        "method": "soda",
        "backbone": "tiny",
        "seed": None,
        "neighbours_kept": None,
        "conventions": CONVENTIONS,
    }
    old = json.dumps(values, indent=1) + "\n"
    assert Evaluation.from_json(old).to_json() == old
    new = json.loads(evaluation.to_json())
    assert list(new) == list(values)
    assert all(list(each) == list(scores) for each in new["directions"].values())


def test_presence_that_changes_nothing_changes_no_byte(problem, evaluation):
    made_by = {"method": "soda", "backbone": "tiny", "seed": 3, "protocol": evaluation.protocol}
    everything = dict.fromkeys(("image", "text"), np.ones(N_ITEMS, bool))
    again = evaluate(*problem, n_bits=N_BITS, present=everything, **made_by)
    assert again.to_json() == evaluation.to_json()
    assert again.statement == evaluation.statement


def test_presence_is_checked(problem):
    for mask in (np.ones(3, bool), np.ones(N_ITEMS, np.uint8)):
        with pytest.raises(ValueError, match=r"^present: expected \(90,\) bool of text, got "):
            evaluate(*problem, n_bits=N_BITS, protocol="", present={"text": mask})
