"""`hamming.topk` beside its rivals: the shapes of the design's table."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import shapes
from ..harness import Call
from ..rivals import NUMPY, OURS, RIVALS, Rival
from ..shapes import Shape
from .frame import DISTANCES, EXACT, Suite, WrongResultError

# Shapes of one database follow each other: rivals build their indexes of it once.
SHAPES: tuple[Shape, ...] = (
    Shape(64, 10_000, 1, 10),
    Shape(64, 100_000, 1, 10),
    Shape(64, 100_000, 100, 10),
    Shape(64, 1_000_000, 1, 10),
    Shape(64, 1_000_000, 10, 10),
    Shape(64, 1_000_000, 100, 10),
    Shape(64, 1_000_000, 100, 1000),
    Shape(64, 1_000_000, 1, 10, backend="avx2"),
    Shape(64, 1_000_000, 100, 10, backend="avx2"),
    Shape(64, 1_000_000, 100, 10, order="descending"),
    Shape(64, 1_000_000, 100, 1000, order="descending"),
    Shape(64, 1_000_000, 100, 10, order="equal"),
    Shape(64, 10_000_000, 1, 10),
    Shape(64, 10_000_000, 100, 10),
    Shape(16, 1_000_000, 1, 10),
    Shape(16, 1_000_000, 1, 10, backend="avx2"),
    Shape(32, 1_000_000, 100, 10),
    Shape(72, 1_000_000, 1, 10),
    Shape(72, 1_000_000, 1, 10, backend="avx2"),
    Shape(72, 1_000_000, 100, 10),
    Shape(128, 1_000_000, 100, 10),
    Shape(200, 1_000_000, 1, 10),
    Shape(200, 1_000_000, 1, 10, backend="avx2"),
    Shape(256, 1_000_000, 1, 10),
    Shape(256, 1_000_000, 1, 10, backend="avx2"),
    Shape(256, 1_000_000, 100, 10),
    Shape(512, 1_000_000, 1, 10),
    Shape(512, 1_000_000, 100, 10),
    Shape(768, 1_000_000, 1, 10),
    Shape(768, 1_000_000, 100, 10),
    Shape(1024, 1_000_000, 1, 10),
    Shape(1024, 1_000_000, 100, 10),
)

QUICK: tuple[Shape, ...] = (
    Shape(64, 100_000, 1, 10),
    Shape(64, 1_000_000, 1, 10),
    Shape(256, 100_000, 1, 10),
    Shape(64, 100_000, 100, 10),
    Shape(64, 100_000, 100, 100),
    Shape(256, 100_000, 100, 10),
)


class Problem(NamedTuple):
    """`batches (n_calls, n_queries, n_bytes)` to search for in turn, in `db (n_codes, n_bytes)`."""

    batches: np.ndarray
    db: np.ndarray
    k: int

    @property
    def n_calls(self) -> int:
        return len(self.batches)


Found = tuple[np.ndarray, np.ndarray]


def make(shape: Shape, pool: int = 32) -> Problem:
    return Problem(*shapes.make(shape, pool=pool), shape.k)


def searching(rival: Rival) -> Rival:
    """A search as a suite's contender: a call searches one batch."""

    def prepare(problem: Problem, threads: int) -> Call:
        search = rival.prepare(problem.db, threads)
        return lambda number: search(problem.batches[number % problem.n_calls], problem.k)

    return replace(rival, prepare=prepare)


def check(problem: Problem, number: int, found: Found, expected: Found) -> str:
    """Equal, or equal in the distances with other codes at the same distance, none twice."""
    right = np.array_equal(found[0], expected[0])
    if right and np.array_equal(found[1], expected[1]):
        return EXACT
    if right and _true_hits(found, problem.batches[number], problem.db):
        return DISTANCES
    raise WrongResultError(_first_difference(found, *expected))


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


SUITE = Suite(
    title="The k nearest codes",
    shapes=SHAPES,
    quick=QUICK,
    make=make,
    contenders=tuple(map(searching, (OURS, *RIVALS))),
    check=check,
    reference=searching(NUMPY),
    work=lambda shape: shape.comparisons,
)
