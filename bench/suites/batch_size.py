"""`hamming.topk` for one query and for ever larger batches: the figure of README."""

from __future__ import annotations

from dataclasses import replace

from ..harness import Budget
from ..shapes import Shape
from . import topk

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)

SUITE = replace(
    topk.SUITE,
    title="Larger and larger batches",
    shapes=tuple(Shape(bits, 1_000_000, q, 10) for bits in (64, 256) for q in _BATCHES),
    quick=tuple(Shape(64, 100_000, q, 10) for q in (1, 8, 64)),
    budget=Budget(seconds=5, min_rounds=3),
)
