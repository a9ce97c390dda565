"""`hamming.topk` where k is thousands to all of the database, and the memory that takes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..harness import Budget
from ..rivals import USEARCH
from ..shapes import Shape
from . import topk

SUITE = replace(
    topk.SUITE,
    title="Large k",
    shapes=(
        Shape(64, 1_000_000, 10, 1_000),
        Shape(64, 1_000_000, 10, 10_000),
        Shape(64, 1_000_000, 10, 100_000),
        Shape(64, 1_000_000, 1, 1_000_000),
        Shape(64, 10_000_000, 10, 1_000),
        Shape(64, 10_000_000, 10, 10_000),
        Shape(64, 10_000_000, 1, 100_000),
        Shape(64, 10_000_000, 1, 1_000_000),
    ),
    quick=(Shape(64, 100_000, 10, 1_000), Shape(64, 100_000, 1, 100_000)),
    # usearch needs 12 s a call at k=1e5 and 31 s at k=1e6, of a million codes.
    contenders=tuple(rival for rival in topk.SUITE.contenders if rival.name != USEARCH.name),
    make=partial(topk.make, pool=2),  # inputs to check, not to time, are what takes long here
    memory=True,
    budget=Budget(seconds=8),
)
