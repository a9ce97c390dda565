"""Every suite on a tiny problem: who takes part agrees, and what is wrong is found."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import latency
from bench.harness import Budget
from bench.rivals import CannotRunError
from bench.shapes import Shape
from bench.suites import DEFAULT, SUITES, frame
from bench.suites.frame import WrongResultError
from bench.suites.mask import MaskedShape
from bench.suites.pack import PackShape
from bench.suites.radius_search import RadiusShape
from bench.suites.rescore import RescoreShape

BUDGET = Budget(seconds=0, min_rounds=1, max_burst=1)
TINY = {
    "topk": [Shape(64, 2000, 1, 5), Shape(72, 500, 3, 500)],
    "threads": [Shape(64, 2000, 3, 5)],
    "batch_size": [Shape(64, 2000, 2, 5)],
    "large_k": [Shape(64, 2000, 2, 2000)],
    "mask": [MaskedShape(64, 2000, 3, 5, share=share) for share in (0.001, 0.5)],
    "radius_search": [RadiusShape(64, 2000, 3, 0), RadiusShape(72, 2000, 3, 34)],
    "rescore": [RescoreShape(64, 500, 3, 50), RescoreShape(72, 500, 3, 10)],
    "pack": [PackShape(64, 100), PackShape(72, 33)],
}
CASES = [(name, shape) for name, shapes in TINY.items() for shape in shapes]


def run(suite: frame.Suite, shape: object) -> dict:
    return frame.run(suite, shape, backend=latency.host_backends()[0], threads=1, budget=BUDGET)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=lambda value: str(value))
def test_all_contenders_agree_and_are_timed(name: str, shape: object) -> None:
    suite = SUITES[name]
    row = run(suite, shape)
    assert list(row["contenders"]) == [contender.name for contender in suite.contenders]
    for contender in suite.contenders:
        found = row["contenders"][contender.name]
        if contender.missing:
            assert found == {"missing": contender.missing}
            continue
        assert found["rate"] > 0
        assert found["agrees_in"]
        assert len(found["wall_ns"]) == len(found["cpu_ns"]) == found["calls"]
        assert ("peak_bytes" in found) == suite.memory
    assert (row["name"], row["unit"]) == (str(shape), suite.unit)


def spoiled(suite: frame.Suite, change) -> frame.Suite:
    """The suite with its second contender's answers changed."""
    ours, rival, *rest = suite.contenders

    def prepare(problem: object, threads: int):
        call = suite.reference.prepare(problem, threads)
        return lambda number: change(call(number))

    wrong = replace(rival, name="wrong", module="numpy", prepare=prepare)
    return replace(suite, contenders=(ours, wrong, *rest))


def first_plus_one(answer):
    """An answer whose first array has its first element changed."""
    if isinstance(answer, np.ndarray):
        changed = answer.copy()
        changed.flat[0] += 1
        return changed
    return (first_plus_one(answer[0]), *answer[1:])


@pytest.mark.parametrize(("name", "shape"), CASES, ids=lambda value: str(value))
def test_a_wrong_answer_stops_the_run(name: str, shape: object) -> None:
    with pytest.raises(WrongResultError, match=r"^wrong: input 0: "):
        run(spoiled(SUITES[name], first_plus_one), shape)


def test_what_is_too_slow_is_left_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "SLOW_SECONDS", -1.0)
    row = run(SUITES["mask"], TINY["mask"][0])
    assert "rate" in row["contenders"]["hamming"]  # ours is never left out
    assert row["contenders"]["numpy"]["missing"].startswith("left out: ")
    assert row["ratios"] == {}


def test_what_cannot_run_says_why() -> None:
    def refuse(problem: object, threads: int):
        raise CannotRunError("left out: needs 9 GB")

    suite = SUITES["mask"]
    ours, faiss, numpy = suite.contenders
    suite = replace(suite, contenders=(ours, replace(faiss, prepare=refuse), numpy))
    found = run(suite, TINY["mask"][0])["contenders"]["faiss"]
    assert found == {"missing": "left out: needs 9 GB"}


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_shapes_are_named_once(suite: frame.Suite) -> None:
    for grid in (suite.shapes, suite.quick):
        assert len({str(shape) for shape in grid}) == len(grid) > 0
        assert all(shape.memory_bytes > 0 for shape in grid)


def test_every_file_of_the_folder_is_a_suite() -> None:
    """A suite that is forgotten in the table would never run."""
    folder = Path(frame.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "frame"}
    assert files == set(SUITES) == set(TINY)
    assert set(DEFAULT) <= set(SUITES)
    assert all(ast.get_docstring(ast.parse((folder / f"{n}.py").read_text())) for n in files)
