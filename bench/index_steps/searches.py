"""Searches for the nearest codes, over all that an index can be made of, and with filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hamming

from .. import shapes
from ..harness import Budget, Call, Timing, measure
from . import problem
from .changes import Live, Rows
from .contenders import Contender, Faiss, Ours
from .problem import Found, K, Problem
from .turns import row

Search = Callable[[np.ndarray], Found]
Variants = list[tuple[str, dict[str, str]]]
"""What a row is, and which call stands for which contender."""


def search(
    given: Problem,
    contenders: list[Contender],
    once: Live,
    often: Live,
    mapped: Live,
    seconds: float,
) -> Rows:
    """The same search over arrays, segments and files, of each so many seconds."""
    ours, theirs = Ours.name, contenders[1].name
    whole = hamming.Index.from_codes(given.codes, ids=given.ids)

    def bare(queries: np.ndarray) -> Found:
        return hamming.topk(queries, given.codes, K, threads=1)

    searches: dict[str, Any] = {
        "array": bare,
        "wrapped": whole,
        "once": once[ours],
        "often": often[ours],
        theirs: once[theirs],
    }
    variants: Variants = [
        ("hamming.topk, no ids", {ours: "array"}),
        ("Index.from_codes", {ours: "wrapped", theirs: theirs}),
        ("added in one call", {ours: "once", theirs: theirs}),
        ("added in 100 calls", {ours: "often", theirs: theirs}),
    ]
    if mapped:
        searches |= {"mapped": mapped[ours], f"{theirs} mapped": mapped[theirs]}
        variants.append(("mapped file", {ours: "mapped", theirs: f"{theirs} mapped"}))
    by = {contender.name: contender for contender in contenders}
    calls = {name: _search(by, theirs, name, index) for name, index in searches.items()}
    found = {name: call(given.queries) for name, call in calls.items()}
    distances, rows = found["array"]
    found["array"] = distances, given.numbers()[rows]
    problem.check(given, given.queries, found)
    return _rows(given, calls, variants, seconds)


def _search(by: dict[str, Contender], theirs: str, name: str, index: Any) -> Search:
    if callable(index):
        return index
    contender = by[theirs if name.startswith(theirs) else Ours.name]
    return lambda queries: contender.search(index, queries)


def _rows(given: Problem, searches: dict[str, Search], variants: Variants, seconds: float) -> Rows:
    rows = []
    for n_queries in (1, len(given.queries)):
        timings = measure(
            {name: _call(given, search, n_queries) for name, search in searches.items()},
            Budget(seconds, min_rounds=2),
        )
        words = "one query" if n_queries == 1 else f"{n_queries} queries"
        for variant, columns in variants:
            found = {name: timings[column] for name, column in columns.items()}
            rows.append(row(f"search, {words}: {variant}", found))
    return rows


def _call(given: Problem, search: Search, n_queries: int) -> Call:
    batches = given.queries.reshape(-1, n_queries, given.queries.shape[1])
    return lambda number: search(batches[number % len(batches)])


def after_removal(
    given: Problem, contenders: list[Contender], live: Live, alive: np.ndarray, seconds: float
) -> Rows:
    """One query and many, as `alive (n_codes,) bool` says what is left."""
    by = {contender.name: contender for contender in contenders[:2]}
    found = {name: one.search(live[name], given.queries) for name, one in by.items()}
    problem.check(given, given.queries, found, alive)
    searches = {name: _search(by, contenders[1].name, name, live[name]) for name in by}
    return _rows(given, searches, [("a tenth removed", {name: name for name in by})], seconds)


def filtered(given: Problem, contenders: list[Contender], live: Live, seconds: float) -> Rows:
    """One query within a few ids, many, and half of all.

    faiss makes an IDSelectorBatch of ids in the call, as ours looks them up in the call; or has an
    IDSelectorBitmap from before.
    """
    rng = np.random.default_rng(7)
    numbers, rows = given.numbers(), []
    for count in (100, 10_000, 1_000_000):
        if count <= len(numbers) // 5:
            some = rng.choice(numbers, count, replace=False)
            rows += _filter(given, contenders, live, some, seconds)
    half = rng.random(len(numbers)) < 0.5
    return rows + _filter(given, contenders, live, half, seconds)


def _filter(
    given: Problem, contenders: list[Contender], live: Live, chosen: np.ndarray, seconds: float
) -> Rows:
    """`chosen` are ids, or bools for all rows."""
    theirs, query = contenders[1], given.queries[:1]
    assert isinstance(theirs, Faiss)
    ours, index = live[Ours.name], live[theirs.name]
    ids = given.numbers()[chosen] if chosen.dtype == np.bool_ else chosen
    searched = chosen if chosen.dtype == np.bool_ else np.isin(given.numbers(), chosen)
    kept = theirs.bitmap(ids)
    calls: dict[str, Call] = {
        Ours.name: lambda _: ours.topk(query, K, filter=chosen, threads=1),
        "kept": lambda _: theirs.filtered(index, query, kept),
    }
    if chosen is ids:
        calls["made"] = lambda _: theirs.filtered(index, query, theirs.batch(ids))
    found = {
        Ours.name: calls[Ours.name](0),
        "faiss with a bitmap": calls["kept"](0),
        **({"faiss with a batch": calls["made"](0)} if "made" in calls else {}),
    }
    problem.check(given, query, found, searched)  # type: ignore[arg-type]
    timings: dict[str, Timing] = measure(calls, Budget(seconds, min_rounds=3))
    words = f"{shapes.short(len(ids))} ids" if chosen is ids else "half of all, as bools"
    rows = []
    for call, selector in (
        ("made", ""),
        ("kept", ", faiss's bitmap made before"),
    ):
        if call in timings:
            both = {Ours.name: timings[Ours.name], theirs.name: timings[call]}
            rows.append(row(f"search, one query within {words}{selector}", both))
    return rows


def choose_selection(given: Problem, budget: float) -> None:
    """Sets how faiss selects, by heap or by counting, to what is faster in so many seconds."""
    flat = Faiss("Flat")
    numbered = given._replace(ids=None)
    seconds: dict[bool, float] = {}
    few = Budget(budget, min_rounds=2)
    for use_heap in (True, False):
        Faiss.use_heap = use_heap
        index = flat.build(numbered)
        timing = measure({"": lambda _: flat.search(index, given.queries[:10])}, few)[""]  # noqa: B023
        seconds[use_heap] = min(timing.cpu_ns)
    Faiss.use_heap = seconds[True] <= seconds[False]
