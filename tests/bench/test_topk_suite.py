from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import latency
from bench.harness import Budget
from bench.rivals import NUMPY, OURS, Rival
from bench.shapes import Shape
from bench.suites import frame, topk

SHAPE = Shape(16, 400, 2, 20)
BUDGET = Budget(seconds=0, min_rounds=2, max_burst=2)


def altered(name: str, change) -> Rival:
    """NumPy's search, with `change(distances, indices)` applied to its answer."""

    def prepare(db: np.ndarray, threads: int):
        search = NUMPY.prepare(db, threads)
        return lambda queries, k: change(*search(queries, k))

    return replace(NUMPY, name=name, prepare=prepare)


def run(*rivals: Rival) -> dict:
    suite = replace(topk.SUITE, contenders=tuple(map(topk.searching, (OURS, *rivals))))
    return frame.run(suite, SHAPE, backend=latency.host_backends()[0], threads=1, budget=BUDGET)


def test_a_row_has_every_timing_and_the_ratios() -> None:
    row = run(NUMPY)
    assert row["shape"]["n_codes"] == 400
    assert row["backend"] == latency.host_backends()[0]
    for contender in row["contenders"].values():
        assert contender["agrees_in"] == frame.EXACT
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
    assert row["contenders"]["other order"]["agrees_in"] == frame.DISTANCES
    assert row["contenders"]["hamming"]["agrees_in"] == frame.EXACT


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
        frame.WrongResultError, match=r"^wrong: input 0: query \d, rank \d+: expected"
    ):
        run(altered("wrong", change), NUMPY)


def test_our_own_order_of_equal_distances_must_be_exact() -> None:
    backwards = altered(OURS.name, lambda distances, indices: (distances, indices[:, ::-1]))
    suite = replace(topk.SUITE, contenders=(topk.searching(backwards),))
    problem = topk.make(replace(SHAPE, order="equal"))
    calls = {OURS.name: suite.contenders[0].prepare(problem, 1)}
    with pytest.raises(frame.WrongResultError, match=r"^hamming: input 0: other indices at equal"):
        frame.verify(suite, problem, calls, {})


def test_rates_count_comparisons() -> None:
    row = run(NUMPY)
    ours = row["contenders"]["hamming"]
    assert ours["rate"] == pytest.approx(800 / min(ours["wall_ns"]))
    assert row["unit"] == "Gcmp/s"
