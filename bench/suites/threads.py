"""`hamming.topk` and faiss, each on one thread and on two; `--threads` does not matter here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..harness import Call
from ..rivals import FAISS, OURS, Rival
from ..shapes import Shape
from . import topk


def _on(rival: Rival, count: int) -> Rival:
    def prepare(problem: Any, threads: int) -> Call:
        del threads
        return topk.searching(rival).prepare(problem, count)

    plural = "s" * (count != 1)
    return replace(rival, name=f"{rival.name}, {count} thread{plural}", prepare=prepare)


SUITE = replace(
    topk.SUITE,
    title="Two threads and one",
    shapes=(
        Shape(64, 1_000_000, 1, 10),
        Shape(64, 10_000_000, 1, 10),
        Shape(64, 1_000_000, 100, 10),
        Shape(64, 10_000_000, 100, 10),
        Shape(256, 1_000_000, 100, 10),
    ),
    quick=(Shape(64, 1_000_000, 1, 10), Shape(64, 100_000, 100, 10)),
    # Ours on two threads first: it is what the others' times are a multiple of.
    contenders=(_on(OURS, 2), _on(OURS, 1), _on(FAISS, 2), _on(FAISS, 1)),
    ceiling=None,
)
