"""`hamming.pack`: float32 values to bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

import hamming

from .. import shapes
from ..harness import Budget, Call
from ..rivals import NUMPY, OURS, TORCH, passive_openmp
from .frame import Suite, WrongResultError


@dataclass(frozen=True)
class PackShape:
    """`(n_rows, n_bits)` values."""

    n_bits: int
    n_rows: int

    @property
    def read_bytes(self) -> int:
        return 4 * self.n_bits * self.n_rows

    @property
    def memory_bytes(self) -> int:
        return 4 * self.read_bytes

    def __str__(self) -> str:
        return f"{shapes.short(self.n_rows)} rows of {self.n_bits} float32"


class Problem(NamedTuple):
    """`values (n_rows, n_bits) float32`."""

    values: np.ndarray

    @property
    def n_calls(self) -> int:
        return 1


def make(shape: PackShape) -> Problem:
    rng = np.random.default_rng(0)
    return Problem(rng.standard_normal((shape.n_rows, shape.n_bits), np.float32))


def _ours(problem: Problem, threads: int) -> Call:
    del threads  # HAMMING_THREADS
    return lambda _: hamming.pack(problem.values)


def _numpy(problem: Problem, threads: int) -> Call:
    del threads  # NumPy has one
    return lambda _: np.packbits(problem.values > 0, axis=1)


def _torch(problem: Problem, threads: int) -> Call:
    """Comparisons to bytes, eight of them weighted and summed to one."""
    passive_openmp()
    import torch

    values = torch.from_numpy(problem.values)
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)

    def call(number: int) -> np.ndarray:
        del number
        torch.set_num_threads(threads)
        bits = (values > 0).view(torch.uint8).unflatten(1, (-1, 8))
        return (bits * weights).sum(dim=2, dtype=torch.uint8).numpy()

    return call


def check(problem: Problem, number: int, found: np.ndarray, expected: np.ndarray) -> str:
    del problem, number
    if not np.array_equal(found, expected):
        raise WrongResultError(f"expected {len(expected)} codes like NumPy's, got others")
    return "every bit"


_REFERENCE = replace(NUMPY, prepare=_numpy, note="np.packbits(x > 0), one thread")

SUITE = Suite(
    title="Packing float32 values",
    shapes=(*(PackShape(bits, 100_000) for bits in (64, 256, 1024)), PackShape(64, 1_000_000)),
    quick=(PackShape(64, 10_000), PackShape(256, 10_000)),
    make=make,
    contenders=(
        replace(OURS, prepare=_ours, note="hamming.pack, which also looks for NaN"),
        _REFERENCE,
        replace(TORCH, prepare=_torch, note="x > 0, times powers of two, summed"),
    ),
    check=check,
    reference=_REFERENCE,
    work=lambda shape: shape.read_bytes,
    unit="GB/s",
    ceiling="read",
    budget=Budget(seconds=5),
)
