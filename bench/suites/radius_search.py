"""`hamming.radius_search` where it finds thousands to millions of codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

import hamming

from .. import shapes
from ..harness import Budget, Call
from ..rivals import FAISS, NUMPY, OURS, faiss_index
from ..shapes import Shape
from .frame import EXACT, Suite, WrongResultError


@dataclass(frozen=True)
class RadiusShape:
    """All codes within `radius` of each query; random codes."""

    n_bits: int
    n_codes: int
    n_queries: int
    radius: int

    @property
    def memory_bytes(self) -> int:
        return 6 * (self.n_codes * self.n_bits // 8 + 24 * self.n_codes * self.n_queries)

    def __str__(self) -> str:
        size = f"{self.n_bits} bits, N={shapes.short(self.n_codes)}, Q={self.n_queries}"
        return f"{size}, radius {self.radius}"


class Problem(NamedTuple):
    """As of `topk`, with a radius for a k."""

    batches: np.ndarray
    db: np.ndarray
    radius: int

    @property
    def n_calls(self) -> int:
        return len(self.batches)


Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""offsets, distances, indices."""


def make(shape: RadiusShape) -> Problem:
    codes = shapes.make(Shape(shape.n_bits, shape.n_codes, shape.n_queries, 1), pool=4)
    return Problem(*codes, shape.radius)


def _ours(problem: Problem, threads: int) -> Call:
    batches, db, radius = problem
    return lambda number: hamming.radius_search(
        batches[number % len(batches)], db, radius, threads=threads
    )


def _faiss(problem: Problem, threads: int) -> Call:
    index = faiss_index(problem.db)
    import faiss

    def call(number: int) -> Found:
        faiss.omp_set_num_threads(threads)
        batch = problem.batches[number % problem.n_calls]
        return index.range_search(batch, problem.radius + 1)  # it finds what is nearer

    return call


def _numpy(problem: Problem, threads: int) -> Call:
    del threads  # NumPy has one
    width = next(size for size in (8, 4, 2, 1) if problem.db.shape[1] % size == 0)
    columns = np.ascontiguousarray(problem.db.view(f"u{width}").T)

    def call(number: int) -> Found:
        distances, indices = [], []
        for query in problem.batches[number % problem.n_calls].view(columns.dtype):
            row = np.bitwise_count(columns[0] ^ query[0]).astype(np.uint16)
            for word, column in zip(query[1:], columns[1:], strict=True):
                row += np.bitwise_count(column ^ word)
            hits = np.flatnonzero(row <= problem.radius)
            order = np.argsort(row[hits], kind="stable")
            indices.append(hits[order])
            distances.append(row[hits][order].astype(np.int32))
        offsets = np.cumsum([0, *map(len, indices)])
        return offsets, np.concatenate(distances), np.concatenate(indices)

    return call


def check(problem: Problem, number: int, found: Found, expected: Found) -> str:
    """Equal; or equal once each query's hits are put in order, as faiss does not."""
    del problem, number
    if all(map(np.array_equal, found, expected)):
        return EXACT
    offsets, distances, indices = found
    if np.array_equal(offsets, expected[0]):
        queries = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(np.int64)))
        order = np.lexsort((indices, distances, queries))
        if np.array_equal(distances[order], expected[1]) and np.array_equal(
            indices[order], expected[2]
        ):
            return "the same hits, in an order of its own"
    raise WrongResultError(
        f"expected {len(expected[2])} hits, got {len(indices)}, or others in their place"
    )


_REFERENCE = replace(NUMPY, prepare=_numpy, note="xor and popcount, then a stable sort, one thread")

SUITE = Suite(
    title="All codes within a radius",
    # Of a million random codes of 64 bits about 2e3, 3e4, 2e5 and 5e5 lie within these radii.
    shapes=(
        *(RadiusShape(64, 1_000_000, 1, radius) for radius in (20, 24, 28, 32)),
        *(RadiusShape(64, 1_000_000, 10, radius) for radius in (20, 24, 28, 32)),
        RadiusShape(256, 1_000_000, 10, 112),
    ),
    quick=(RadiusShape(64, 100_000, 1, 24), RadiusShape(64, 100_000, 10, 28)),
    make=make,
    contenders=(
        replace(OURS, prepare=_ours, note="hamming.radius_search, hits in order"),
        replace(FAISS, prepare=_faiss, note="IndexBinaryFlat.range_search, hits in no order"),
        _REFERENCE,
    ),
    check=check,
    reference=_REFERENCE,
    work=lambda shape: shape.n_codes * shape.n_queries,
    budget=Budget(seconds=8),
)
