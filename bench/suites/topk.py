"""`hamming.topk` beside its rivals: equal results first, then the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

import hamming

from .. import harness, shapes
from ..rivals import NUMPY, OURS, Rival, Search
from ..shapes import Codes, Shape

EXACT = "distances and indices"
DISTANCES = "distances; other indices at equal distance"


class WrongResultError(Exception):
    """A contender's answer is not the exact one; its time would mean nothing."""


def run(
    shape: Shape,
    rivals: Sequence[Rival],
    *,
    backend: str,
    threads: int,
    budget: harness.Budget,
) -> dict:
    """One row of the results: what was measured, every timing, ratios and rates.

    Args:
        shape: the problem.
        rivals: those to hold `hamming` against.
        backend: the backend of `hamming`, unless the shape names its own.
        threads: for all contenders that have threads.
        budget: how long to measure.

    Raises:
        WrongResultError: a contender's answer differs from NumPy's ranking.
    """
    codes = shapes.make(shape)
    contenders = [OURS, *rivals]
    searches = {c.name: c.prepare(codes.db, threads) for c in contenders if c.missing is None}
    backend = shape.backend or backend
    with hamming.use_backend(backend):
        agreement = verify(searches, codes, shape.k)
        calls = {name: _caller(search, codes, shape.k) for name, search in searches.items()}
        timings = harness.measure(calls, budget)
    row: dict = {"shape": asdict(shape) | {"backend": backend}, "contenders": {}}
    for contender in contenders:
        if contender.missing:
            row["contenders"][contender.name] = {"missing": contender.missing}
            continue
        timing = timings[contender.name]
        row["contenders"][contender.name] = {
            "version": contender.version,
            "configuration": contender.note,
            "agrees_in": agreement[contender.name],
            **timing.summary(),
            **rates(shape, timing),
            "wall_ns": timing.wall_ns,
            "cpu_ns": timing.cpu_ns,
        }
    row["ratios"] = ratios(row["contenders"])
    return row


def rates(shape: Shape, timing: harness.Timing) -> dict[str, float]:
    """Of the fastest call: 1e9 code comparisons a second; for one query also GB/s read."""
    fastest = min(timing.wall_ns)
    found = {"gcmp_per_s": shape.comparisons / fastest}
    if shape.n_queries == 1:
        found["read_gb_per_s"] = shape.db_bytes / fastest
    return found


def ratios(contenders: dict[str, dict]) -> dict[str, dict[str, float]]:
    """How many times our own time each rival takes, by the fastest calls."""
    ours = contenders[OURS.name]
    return {
        name: {
            "cpu": other["cpu_min_s"] / ours["cpu_min_s"],
            "wall": other["wall_min_s"] / ours["wall_min_s"],
        }
        for name, other in contenders.items()
        if name != OURS.name and "missing" not in other
    }


def verify(searches: dict[str, Search], codes: Codes, k: int) -> dict[str, str]:
    """Holds every contender's answers against NumPy's ranking by (distance, index).

    Ours must be equal in both. A rival must be equal in its distances; where it orders equal
    distances otherwise, its indices must still be codes at those distances, none twice.

    Returns:
        name -> in what it is equal.

    Raises:
        WrongResultError: naming the contender and the first wrong query.
    """
    reference = searches.get(NUMPY.name) or NUMPY.prepare(codes.db, 1)
    agreement = dict.fromkeys(searches, EXACT)
    for number, queries in enumerate(codes.batches):
        distances, indices = reference(queries, k)
        for name, search in searches.items():
            if search is reference:
                continue
            found = search(queries, k)
            right = np.array_equal(found[0], distances)
            if right and np.array_equal(found[1], indices):
                continue
            if name == OURS.name or not (right and _true_hits(found, queries, codes.db)):
                raise WrongResultError(
                    f"{name}: batch {number}: {_first_difference(found, distances, indices)}"
                )
            agreement[name] = DISTANCES
    return agreement


def _caller(search: Search, codes: Codes, k: int) -> harness.Call:
    batches = list(codes.batches)
    return lambda number: search(batches[number % len(batches)], k)


def _true_hits(found: tuple[np.ndarray, np.ndarray], queries: np.ndarray, db: np.ndarray) -> bool:
    for query, distances, indices in zip(queries, *found, strict=True):
        own = np.bitwise_count(db[indices] ^ query).sum(axis=1, dtype=np.int32)
        if not np.array_equal(own, distances) or len(np.unique(indices)) != len(indices):
            return False
    return True


def _first_difference(
    found: tuple[np.ndarray, np.ndarray], distances: np.ndarray, indices: np.ndarray
) -> str:
    wrong = (np.asarray(found[0]) != distances) | (np.asarray(found[1]) != indices)
    query, rank = (int(i) for i in np.argwhere(wrong)[0])
    return (
        f"query {query}, rank {rank}: expected distance {distances[query, rank]} and index "
        f"{indices[query, rank]}, got {found[0][query, rank]} and {found[1][query, rank]}"
    )
