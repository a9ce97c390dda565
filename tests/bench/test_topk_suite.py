from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hamming
from bench import shapes
from bench.harness import Budget, Timing
from bench.rivals import NUMPY, OURS, Rival
from bench.shapes import Shape
from bench.suites import topk

SHAPE = Shape(16, 400, 2, 20)
BUDGET = Budget(seconds=0, min_rounds=2, max_burst=2)


def altered(name: str, change) -> Rival:
    """NumPy's search, with `change(distances, indices)` applied to its answer."""

    def prepare(db: np.ndarray, threads: int):
        search = NUMPY.prepare(db, threads)
        return lambda queries, k: change(*search(queries, k))

    return replace(NUMPY, name=name, prepare=prepare)


def run(*contenders: Rival) -> dict:
    return topk.run(SHAPE, contenders, backend=hamming.backends()[0], threads=1, budget=BUDGET)


def test_a_row_has_every_timing_and_the_ratios() -> None:
    row = run(NUMPY)
    assert row["shape"]["n_codes"] == 400
    assert row["shape"]["backend"] == hamming.backends()[0]
    for contender in row["contenders"].values():
        assert contender["agrees_in"] == topk.EXACT
        assert len(contender["wall_ns"]) == len(contender["cpu_ns"]) == contender["calls"] >= 2
    assert set(row["ratios"]) == {"numpy"}
    assert set(row["ratios"]["numpy"]) == {"cpu", "wall"}


def test_a_missing_rival_has_a_row_and_no_ratio() -> None:
    absent = replace(NUMPY, name="absent", module="no_such_module")
    row = run(absent, NUMPY)
    assert row["contenders"]["absent"] == {"missing": "not installed"}
    assert set(row["ratios"]) == {"numpy"}


def test_another_order_of_equal_distances_is_said() -> None:
    def later_first(distances: np.ndarray, indices: np.ndarray):
        order = np.lexsort((-indices, distances), axis=-1)
        return distances, np.take_along_axis(indices, order, axis=-1)

    row = run(altered("other order", later_first), NUMPY)
    assert row["contenders"]["other order"]["agrees_in"] == topk.DISTANCES
    assert row["contenders"]["hamming"]["agrees_in"] == topk.EXACT


@pytest.mark.parametrize(
    "change",
    [
        lambda distances, indices: (distances + 1, indices),
        lambda distances, indices: (distances, indices[:, ::-1]),
        lambda distances, indices: (distances, np.repeat(indices[:, :1], 20, axis=1)),
    ],
    ids=["distances", "indices of other distances", "one index again and again"],
)
def test_a_wrong_rival_stops_the_run(change) -> None:
    with pytest.raises(
        topk.WrongResultError, match=r"^wrong: batch 0: query \d, rank \d+: expected"
    ):
        run(altered("wrong", change), NUMPY)


def test_our_own_order_of_equal_distances_must_be_exact() -> None:
    codes = shapes.make(Shape(16, 400, 2, 20, "equal"))
    backwards = altered("hamming", lambda distances, indices: (distances, indices[:, ::-1]))
    searches = {OURS.name: backwards.prepare(codes.db, 1)}
    with pytest.raises(
        topk.WrongResultError, match="expected distance 8 and index 0, got 8 and 19"
    ):
        topk.verify(searches, codes, 20)


def test_rates() -> None:
    timing = Timing([2000, 1000, 3000], [1, 1, 1])
    single = topk.rates(Shape(64, 10_000, 1, 10), timing)
    assert single == {"gcmp_per_s": 10.0, "read_gb_per_s": 80.0}
    assert topk.rates(Shape(64, 10_000, 5, 10), timing) == {"gcmp_per_s": 50.0}
