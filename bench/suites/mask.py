"""`hamming.topk` with a mask that leaves few, some or most of the codes to be found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

import hamming

from .. import shapes
from ..harness import Budget, Call
from ..rivals import FAISS, NUMPY, OURS, faiss_index
from ..shapes import Shape
from . import topk
from .topk import Found


@dataclass(frozen=True)
class MaskedShape(Shape):
    """A shape of which a share of the codes, drawn at random, may be found."""

    share: float = 1.0

    def __str__(self) -> str:
        return f"{super().__str__()}, {100 * self.share:g} % searchable"


class Problem(NamedTuple):
    """Of `topk.Problem`, with `mask (n_codes,) bool`."""

    batches: np.ndarray
    db: np.ndarray
    k: int
    mask: np.ndarray

    @property
    def n_calls(self) -> int:
        return len(self.batches)


def make(shape: MaskedShape) -> Problem:
    rng = np.random.default_rng(1)
    mask = np.zeros(shape.n_codes, bool)
    mask[rng.permutation(shape.n_codes)[: max(shape.k, round(shape.share * shape.n_codes))]] = True
    return Problem(*shapes.make(shape), shape.k, mask)


def _ours(problem: Problem, threads: int) -> Call:
    batches, db, k, mask = problem
    return lambda number: hamming.topk(
        batches[number % len(batches)], db, k, mask=mask, threads=threads
    )


def _faiss(problem: Problem, threads: int) -> Call:
    index = faiss_index(problem.db)
    import faiss

    bits = np.packbits(problem.mask, bitorder="little")
    parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))

    def call(number: int) -> Found:
        faiss.omp_set_num_threads(threads)
        batch = problem.batches[number % problem.n_calls]
        return index.search(batch, problem.k, params=parameters)

    return call


def _numpy(problem: Problem, threads: int) -> Call:
    """A search of the searchable rows alone; taking them out is part of the call."""

    def call(number: int) -> Found:
        rows = np.flatnonzero(problem.mask)
        search = NUMPY.prepare(problem.db[rows], threads)
        distances, indices = search(problem.batches[number % problem.n_calls], problem.k)
        return distances, rows[indices]

    return call


_SELECTION = "xor and popcount of the searchable rows, taken out in the call, one thread"
_REFERENCE = replace(NUMPY, prepare=_numpy, note=_SELECTION)

SUITE = replace(
    topk.SUITE,
    title="The k nearest codes under a mask",
    shapes=tuple(
        MaskedShape(64, 1_000_000, q, 10, share=share)
        for q in (1, 100)
        for share in (0.001, 0.1, 0.9)
    ),
    quick=tuple(MaskedShape(64, 100_000, 10, 10, share=share) for share in (0.001, 0.1, 0.9)),
    make=make,
    contenders=(
        replace(OURS, prepare=_ours, note="hamming.topk(mask=)"),
        replace(FAISS, prepare=_faiss, note="IndexBinaryFlat with IDSelectorBitmap"),
        _REFERENCE,
    ),
    reference=_REFERENCE,
    ceiling=None,  # codes that may not be found need not be compared
    budget=Budget(seconds=8),
)
