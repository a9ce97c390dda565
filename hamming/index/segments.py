"""Parts of an index: rows that are stored together, and searches over one of them.

A segment never changes: what adds to it or removes from it makes another one, which may share its
memory. So a search holds on to the segments it began with, and a writer need not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .. import arrays
from ..dispatch import choose
from ..layout import NO_INDEX, RadiusResult, TopK
from .ids import Ids, ascends

# An id filter that leaves fewer rows than one of so many is searched in a copy of these rows, else
# under a mask of all rows. A copied row costs about as much as comparing so many codes.
GATHER = 32


class Scope(NamedTuple):
    """What of a segment is searched.

    Attributes:
        codes: `(n, n_bytes)`.
        mask: `(n,) bool` of those that are searched, or None for all.
        rows: the row in the segment of each of `codes`, ascending, or None if it is its index.
    """

    codes: np.ndarray
    mask: np.ndarray | None
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class Segment:
    """Rows in the order they were added.

    Attributes:
        codes: `(n, n_bytes) uint8`, n >= 1, on any device.
        ids: of the rows.
        alive: `(n,) bool`, False = removed; None = no row is.
        n_alive: rows that are not removed, at least 1.
        owned: whether the memory is the index's own, so that a copy without removed rows frees it.
    """

    codes: np.ndarray
    ids: Ids
    alive: np.ndarray | None
    n_alive: int
    owned: bool

    def __len__(self) -> int:
        return len(self.codes)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id; -1 for those it does not have, or has no longer."""
        rows = self.ids.find(ids)
        if self.alive is None:
            return rows
        xp = arrays.module(rows)
        found: np.ndarray = xp.where(self.alive[xp.maximum(rows, 0)], rows, NO_INDEX)
        return found

    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest id, of removed rows too."""
        return self.ids.bounds

    def without(self, rows: np.ndarray) -> Segment | None:
        """The segment with these rows removed, or None if none is left."""
        alive = full_mask(self) if self.alive is None else self.alive.copy()
        alive[rows] = False
        n_alive = int(arrays.module(alive).count_nonzero(alive))
        if n_alive == 0:
            return None
        left = replace(self, alive=alive, n_alive=n_alive)
        return left.compacted() if self.owned and 2 * n_alive < len(self) else left

    def compacted(self) -> Segment:
        """A copy without the removed rows."""
        if self.alive is None:
            return self
        ids = Ids(self.live_ids(), ascending=self.ids.ascending)
        return Segment(self.codes[self.alive], ids, None, self.n_alive, owned=True)

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Segment:
        """A segment of which nothing is removed, where `move` puts arrays."""
        values = self.ids.values
        there = values if isinstance(values, range) else move(values)
        ids = Ids(there, ascending=self.ids.ascending)
        return Segment(move(self.codes), ids, None, len(self), owned=True)

    def live_ids(self) -> np.ndarray:
        """`(n_alive,) int64`."""
        return self.ids.array(self.codes, slice(None) if self.alive is None else self.alive)

    def live_codes(self) -> np.ndarray:
        """`(n_alive, n_bytes)`; without removed rows the codes themselves."""
        return self.codes if self.alive is None else self.codes[self.alive]

    def scope(self) -> Scope:
        """All that is not removed."""
        return Scope(self.codes, self.alive)

    def scope_where(self, live: np.ndarray) -> Scope:
        """The rows of which `(n_alive,) bool` says so."""
        if self.alive is None:
            return Scope(self.codes, live)
        xp = arrays.module(live)
        if xp is not np:  # an assignment under a mask would wait for the device
            return Scope(self.codes, self.alive & live[xp.maximum(xp.cumsum(self.alive) - 1, 0)])
        mask = self.alive.copy()
        mask[self.alive] = live
        return Scope(self.codes, mask)

    def scope_of(self, ids: np.ndarray) -> Scope | None:
        """The rows of these ids, which ascend, or None if it has none of them."""
        xp = arrays.module(ids)
        rows = self.find(ids)
        rows = rows[rows >= 0]
        if len(rows) == 0:
            return None
        if len(rows) * GATHER > len(self):
            mask = xp.zeros(len(self), bool)
            mask[rows] = True
            return Scope(self.codes, mask)
        rows = xp.sort(rows)
        if len(rows) > 1:
            rows = xp.concatenate([rows[:1], rows[1:][rows[1:] != rows[:-1]]])
        return Scope(self.codes[rows], None, rows)

    def topk(self, queries: np.ndarray, k: int, scope: Scope, threads: int) -> TopK:
        """As `hamming.topk`, with ids; at most as many columns as the scope has codes.

        Args:
            queries: `(n_queries, n_bytes)`, contiguous and checked, as are the others: the public
                search would look at everything again, which takes as long as 1e4 codes do.
            k: at least 1.
            scope: what is searched.
            threads: at least 1.
        """
        backend = choose(arrays.device_of(scope.codes, "codes"))
        k = min(k, len(scope.codes))
        found = backend.topk(queries, scope.codes, k, mask=scope.mask, threads=threads)
        return TopK(found.distances, self._ids_of(found.indices, scope))

    def radius_search(
        self, queries: np.ndarray, radius: int, scope: Scope, threads: int
    ) -> RadiusResult:
        """As `hamming.radius_search`, with ids; arguments as for `topk`, radius 0..bits."""
        backend = choose(arrays.device_of(scope.codes, "codes"))
        found = backend.radius_search(
            queries, scope.codes, radius, mask=scope.mask, threads=threads
        )
        return RadiusResult(found.offsets, found.distances, self._ids_of(found.indices, scope))

    def _ids_of(self, indices: np.ndarray, scope: Scope) -> np.ndarray:
        if scope.rows is not None:
            xp = arrays.module(indices)
            indices = xp.where(indices < 0, NO_INDEX, scope.rows[xp.maximum(indices, 0)])
        return self.ids.take(indices)


def live_ids(segments: Sequence[Segment], step: int) -> Iterator[np.ndarray]:
    """Ids of the rows that are not removed, of at most `step` rows at a time."""
    for segment, rows, alive in _pieces(segments, step):
        ids = segment.ids.array(segment.codes, rows)
        yield ids if alive is None else ids[alive]


def live_codes(segments: Sequence[Segment], step: int) -> Iterator[np.ndarray]:
    """Their codes, of the same rows at a time."""
    for segment, rows, alive in _pieces(segments, step):
        codes = segment.codes[rows]
        yield codes if alive is None else codes[alive]


def _pieces(
    segments: Sequence[Segment], step: int
) -> Iterator[tuple[Segment, slice, np.ndarray | None]]:
    """Rows at a time, and which of them are not removed."""
    for segment in segments:
        for begin in range(0, len(segment), step):
            rows = slice(begin, begin + step)
            yield segment, rows, None if segment.alive is None else segment.alive[rows]


def full_mask(segment: Segment) -> np.ndarray:
    """`(n,) bool`, all True."""
    mask: np.ndarray = arrays.module(segment.codes).full(len(segment), True)
    return mask


def joined(segments: Sequence[Segment]) -> Segment:
    """One segment, its own, of the rows that are not removed."""
    xp = arrays.module(segments[0].codes)
    codes = xp.concatenate([segment.live_codes() for segment in segments])
    ids = joined_ids(segments)
    ascending = isinstance(ids, range) or ascends(ids)
    return Segment(codes, Ids(ids, ascending=ascending), None, len(codes), owned=True)


def joined_ids(segments: Sequence[Segment]) -> range | np.ndarray:
    """The ids of the rows that are not removed, as a range if they are one."""
    whole = id_range(segments)
    if whole is not None:
        return whole
    xp = arrays.module(segments[0].codes)
    ids: np.ndarray = xp.concatenate([segment.live_ids() for segment in segments])
    return ids


def id_range(segments: Sequence[Segment]) -> range | None:
    """The ids of the rows, if nothing is removed and they follow each other."""
    ranges = [s.ids.values for s in segments if s.alive is None and isinstance(s.ids.values, range)]
    if len(ranges) < len(segments) or any(a.stop != b.start for a, b in pairwise(ranges)):
        return None
    return range(ranges[0].start, ranges[-1].stop) if ranges else range(0)
