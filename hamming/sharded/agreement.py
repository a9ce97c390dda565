"""What shards must have in common, and what they must not: one n_bits, and no id twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import arrays
from ..index import Index

Span = tuple[int, int]
"""The least and the largest id."""


def span_of(index: Index) -> Span | None:
    """Of the ids of an index; removed ones may count. None if it is empty."""
    bounds = [segment.bounds() for segment in index._state.segments]
    return (min(b[0] for b in bounds), max(b[1] for b in bounds)) if bounds else None


def held(index: Index, ids: np.ndarray) -> np.ndarray:
    """Which of the ids, of any shape and where the index lies, it has."""
    rows = (segment.find(ids) for segment in index._state.segments)
    nothing: np.ndarray = arrays.module(ids).zeros(ids.shape, np.bool_)
    return sum((found >= 0 for found in rows), start=nothing)


def check_one_width(widths: Sequence[int]) -> None:
    """All shards have codes of the same n_bits."""
    for shard, n_bits in enumerate(widths):
        if n_bits != widths[0]:
            raise ValueError(
                f"shard {shard}: expected codes of {widths[0]} bits like those of shard 0, got "
                f"{n_bits}; put codes of one encoder together"
            )


def check_disjoint(spans: Sequence[Span | None], ids_of: Callable[[int], np.ndarray]) -> None:
    """No id is in two shards; ids are asked for only where spans overlap.

    Args:
        spans: of each shard; None for an empty one.
        ids_of: the ids of a shard, in host memory.
    """
    ordered = sorted((span, shard) for shard, span in enumerate(spans) if span is not None)
    group: list[int] = []
    end = -1
    for (low, high), shard in ordered:
        if low > end:
            _check_apart(group, ids_of)
            group = []
        group.append(shard)
        end = max(end, high)
    _check_apart(group, ids_of)


def _check_apart(shards: Sequence[int], ids_of: Callable[[int], np.ndarray]) -> None:
    if len(shards) < 2:
        return
    parts = [ids_of(shard) for shard in shards]
    owners = np.repeat(np.array(shards), [len(part) for part in parts])
    ids = np.concatenate(parts)
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        at = twice[0]
        first, second = sorted(owners[order[at : at + 2]])
        raise ValueError(
            f"ids: expected each in one shard only, got {ordered[at]} in shards {first} and "
            f"{second}; give every shard ids of its own when its codes are added"
        )
