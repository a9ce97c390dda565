"""Adding, removing, saving and loading."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np

from ..harness import Call
from . import problem
from .contenders import Contender, Ours
from .memory import file_of
from .problem import Problem
from .turns import Turns, in_turn, row

SINGLES = 1000
Rows = list[dict[str, Any]]
Live = dict[str, Any]
"""Name of a contender -> its index."""


def add(given: Problem, contenders: list[Contender]) -> tuple[Rows, Live, Live]:
    """Rows, the indexes of one call and those of 100."""

    def turns(n_calls: int) -> Turns:
        calls: dict[str, Call] = {
            by.name: lambda _, by=by: by.build(given, n_calls) for by in contenders
        }
        return in_turn(calls, times=9, seconds=1.5)

    once, often = turns(1), turns(100)
    rows = [row("add, one call", once.timings), row("add, 100 calls", often.timings)]
    return rows, once.results, often.results


def add_singles(
    given: Problem, contenders: list[Contender], live: Live, step: str = "add one code"
) -> Rows:
    """Codes one by one to what there is."""
    first = int(given.numbers().max()) + 1
    calls: dict[str, Call] = {}
    for by in contenders:

        def call(number: int, by: Contender = by) -> None:
            ids = np.array([first + number])
            codes = given.queries[number % len(given.queries)][None]
            by.add(live[by.name], codes, None if given.ids is None else ids)

        calls[by.name] = call
    gc.disable()  # thousands of short calls
    try:
        timings = in_turn(calls, SINGLES).timings
    finally:
        gc.enable()
    return [row(step, timings)]


def save(contenders: list[Contender], live: Live, folder: Path) -> Rows:
    """To files that stay; faiss with an fsync of ours, and ours without its own."""
    rows = []
    for durable, step in ((True, "save, fsync included"), (False, "save, no fsync")):
        calls: dict[str, Call] = {
            by.name: lambda _, by=by, durable=durable: by.save(
                live[by.name], file_of(folder, by.name), durable=durable
            )
            for by in contenders
        }
        rows.append(row(step, in_turn(calls, times=7).timings))
    for by in contenders:
        size = file_of(folder, by.name).stat().st_size
        rows[0]["contenders"][by.name]["file_bytes"] = size
    return rows


def load(given: Problem, contenders: list[Contender], folder: Path) -> tuple[Rows, Live]:
    """Rows, and the mapped indexes; the files are in the page cache, having been written."""
    rows, mapped = [], {}
    for how, step in (
        ("checked", "load, checksums verified"),
        ("unchecked", "load, not verified"),
        ("mapped", "load, mapped"),
    ):
        calls: dict[str, Call] = {
            by.name: lambda _, by=by, how=how: by.load(file_of(folder, by.name), how)
            for by in contenders
        }
        if how == "checked":  # faiss has no checksums
            calls = {Ours.name: calls[Ours.name]}
        turns = in_turn(calls, times=7)
        rows.append(row(step, turns.timings))
        found = {
            by.name: by.search(turns.results[by.name], given.queries)
            for by in contenders
            if by.name in calls
        }
        problem.check(given, given.queries, found)
        if how == "mapped":
            mapped = turns.results
    return rows, mapped


def remove(given: Problem, contenders: list[Contender], live: Live) -> Rows:
    """A tenth of all ids, one of them after another first; the answers are checked after."""
    singles, rest = given.gone[: SINGLES // 10], given.gone[SINGLES // 10 :]
    calls: dict[str, Call] = {
        by.name: lambda number, by=by: by.remove(live[by.name], singles[number : number + 1])
        for by in contenders
    }
    one = in_turn(calls, len(singles))
    left = {
        by.name: np.concatenate([singles[len(one.timings[by.name].wall_ns) :], rest])
        for by in contenders
    }
    calls = {by.name: lambda _, by=by: by.remove(live[by.name], left[by.name]) for by in contenders}
    return [
        row("remove one code", one.timings),
        row("remove a tenth, one call", in_turn(calls, times=1).timings),
    ]


def alive(given: Problem) -> np.ndarray:
    """`(n_codes,) bool`: what removal leaves."""
    return ~np.isin(given.numbers(), given.gone)
