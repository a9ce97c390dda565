"""Positions: rows counted through all segments of an index.

On a GPU every segment is asked for every position, which waits for nothing. On the host each is
asked for its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import arrays
from ..layout import NO_INDEX
from .segments import Segment

Segments = tuple[Segment, ...]


def positions_of(segments: Segments, ids: np.ndarray) -> np.ndarray:
    """The position of each id; -1 for those that no segment has."""
    xp = arrays.module(ids)
    if xp is np:
        return _positions_on_host(segments, ids)
    positions: np.ndarray = xp.full(ids.shape, NO_INDEX, np.int64)
    first = 0
    for segment in segments:
        rows = segment.find(ids)
        positions = xp.where(rows >= 0, rows + first, positions)
        first += len(segment)
    return positions


def _positions_on_host(segments: Segments, ids: np.ndarray) -> np.ndarray:
    """Looks up ascending ids, whose neighbours are found in one cache line."""
    flat = ids.reshape(-1)
    order = np.argsort(flat)
    ordered, found = flat[order], np.full(len(flat), NO_INDEX)
    first = 0
    for segment in segments:
        low, high = segment.bounds()
        begin, end = np.searchsorted(ordered, [low, high + 1])
        if begin < end:
            rows = segment.find(ordered[begin:end])
            found[begin:end][rows >= 0] = rows[rows >= 0] + first
        first += len(segment)
    positions = np.empty(len(flat), np.int64)
    positions[order] = found
    return positions.reshape(ids.shape)


def gathered(segments: Segments, positions: np.ndarray) -> np.ndarray:
    """The codes at `(n,)` positions; any code for position -1."""
    xp = arrays.module(positions)
    codes: np.ndarray = xp.zeros((len(positions), segments[0].codes.shape[1]), np.uint8)
    for segment, there, rows in _shares(segments, positions):
        if xp is np:
            codes[there] = segment.codes[rows]
        else:
            codes = xp.where(there[:, None], segment.codes[rows], codes)
    return codes


def ids_at(segments: Segments, positions: np.ndarray) -> np.ndarray:
    """The ids at positions of any shape; -1 for position -1."""
    xp = arrays.module(positions)
    ids: np.ndarray = xp.full(positions.shape, NO_INDEX, np.int64)
    for segment, there, rows in _shares(segments, positions):
        if xp is np:
            ids[there] = segment.ids.take(rows)
        else:
            ids = xp.where(there, segment.ids.take(rows), ids)
    return ids


def _shares(
    segments: Segments, positions: np.ndarray
) -> Iterator[tuple[Segment, np.ndarray, np.ndarray]]:
    """Each segment, which positions are its own, and their rows.

    On the host as many rows as positions are its own; on a GPU one for every position.
    """
    xp = arrays.module(positions)
    first = 0
    for segment in segments:
        there = (positions >= first) & (positions < first + len(segment))
        if xp is np:
            yield segment, there, positions[there] - first
        else:
            yield segment, there, xp.clip(positions - first, 0, len(segment) - 1)
        first += len(segment)
