"""The codes and ids that an index is made of, what is removed from it, and the exact answers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..suites.frame import WrongResultError

IdKind = Literal["gaps", "shuffled", "none"]
"""Ascending with gaps; the same in no order; none given, so rows are numbered."""

K = 10
BATCH = 100
CHECKED = 3  # queries that are held against NumPy; all are held against the other contender
MISSING = np.iinfo(np.uint16).max

Found = tuple[np.ndarray, np.ndarray]


class Problem(NamedTuple):
    """What all contenders are given.

    Attributes:
        codes: `(n_codes, n_bytes) uint8`, random.
        ids: `(n_codes,) int64`, or None.
        queries: `(BATCH, n_bytes) uint8`.
        gone: the ids of a tenth of the codes, in no order; they are removed in the end.
    """

    codes: np.ndarray
    ids: np.ndarray | None
    queries: np.ndarray
    gone: np.ndarray

    @property
    def n_bits(self) -> int:
        return 8 * self.codes.shape[1]

    def numbers(self) -> np.ndarray:
        """The id of each row."""
        return np.arange(len(self.codes)) if self.ids is None else self.ids

    def parts(self, n_calls: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Codes and ids in so many parts."""
        bounds = np.linspace(0, len(self.codes), n_calls + 1).astype(int)
        for begin, end in pairwise(bounds):
            yield self.codes[begin:end], None if self.ids is None else self.ids[begin:end]


def make(n_bits: int, n_codes: int, kind: IdKind) -> Problem:
    """The same one for the same arguments."""
    rng = np.random.default_rng([5, n_bits, n_codes])
    codes = rng.integers(0, 256, (n_codes, n_bits // 8), np.uint8)
    queries = rng.integers(0, 256, (BATCH, n_bits // 8), np.uint8)
    ids = np.cumsum(rng.integers(1, 6, n_codes))  # each fifth number or so lies in a gap of its own
    gone = rng.permutation(n_codes)[: n_codes // 10]
    if kind == "shuffled":
        ids = rng.permutation(ids)
    return Problem(codes, None if kind == "none" else ids, queries, ids[gone])


def store(problem: Problem, folder: Path) -> None:
    for name, array in problem._asdict().items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)


def stored(folder: Path) -> Problem:
    ids = folder / "ids.npy"
    codes, queries, gone = (np.load(folder / f"{n}.npy") for n in ("codes", "queries", "gone"))
    return Problem(codes, np.load(ids) if ids.exists() else None, queries, gone)


def exact(problem: Problem, queries: np.ndarray, searched: np.ndarray | None) -> Found:
    """The K nearest of the rows of which `searched` says so, by NumPy alone."""
    word = next(size for size in (8, 4, 2, 1) if problem.codes.shape[1] % size == 0)
    codes = problem.codes.view(f"u{word}")
    distances, ids = [], []
    for query in queries.view(f"u{word}"):
        every = np.zeros(len(codes), np.uint16)
        for column in range(codes.shape[1]):
            every += np.bitwise_count(codes[:, column] ^ query[column])
        if searched is not None:
            every[~searched] = MISSING
        nearest = np.argsort(every, kind="stable")[:K]
        distances.append(every[nearest].astype(np.int32))
        ids.append(problem.numbers()[nearest])
    return np.stack(distances), np.stack(ids)


def check(
    problem: Problem,
    queries: np.ndarray,
    found: dict[str, Found],
    searched: np.ndarray | None = None,
) -> None:
    """Distances are NumPy's for the first queries, and all contenders'; ids too, where ours.

    Args:
        problem: what was searched.
        queries: `(n_queries, n_bytes)`.
        found: name -> answer; names that begin with "faiss" may have other ids at equal distance.
        searched: `(n_codes,) bool`; None = all rows.

    Raises:
        WrongResultError: naming the contender.
    """
    distances, ids = exact(problem, queries[:CHECKED], searched)
    names = list(found)
    for name, answer in found.items():
        if not np.array_equal(answer[0][:CHECKED], distances):
            raise WrongResultError(f"{name}: other distances than NumPy's")
        if not np.array_equal(answer[0], found[names[0]][0]):
            raise WrongResultError(f"{name}: other distances than {names[0]}")
        if not name.startswith("faiss") and not np.array_equal(answer[1][:CHECKED], ids):
            raise WrongResultError(f"{name}: other ids than NumPy's")
