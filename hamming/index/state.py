"""What an index holds at one moment, and how the next moment is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from .. import arrays
from . import checks as index_checks
from .ids import Ids, ascends
from .segments import Segment, joined
from .tail import Tail

MIN_BYTES = 1 << 20  # of codes; a new segment has room for as many as there are: so they are few
MAX_SEGMENTS = 32  # a search of each costs some 10 us; only many removals leave so many


class State(NamedTuple):
    """What a search sees: replaced as a whole, never changed.

    Attributes:
        segments: in the order of their codes.
        n_codes: without removed ones.
        next_id: the number after the largest id so far.
    """

    segments: tuple[Segment, ...]
    n_codes: int
    next_id: int


def appended(
    state: State, tail: Tail | None, codes: np.ndarray, ids: range | np.ndarray
) -> tuple[tuple[Segment, ...], Tail | None]:
    """The segments with these codes behind them, and the room that is left behind the last one.

    Args:
        state: what there is.
        tail: the room behind its last segment, if there is any.
        codes: `(n, n_bytes)`, where the others lie.
        ids: theirs.
    """
    segments = list(state.segments)
    begin = 0
    while begin < len(codes):
        last = None
        if tail is None or not tail.room:
            if len(segments) >= MAX_SEGMENTS:
                segments = _fewer(segments)
            tail = _room(state.n_codes, codes[begin:])
        else:
            last = segments.pop()
        end = min(len(codes), begin + tail.room)
        former = None if last is None else last.ids
        column = tail.append(codes[begin:end], ids[begin:end], former)
        segments.append(_grown(last, tail, *column))
        begin = end
    return tuple(segments), tail


def without_rows(segments: Sequence[Segment], rows: Sequence[np.ndarray]) -> tuple[Segment, ...]:
    """The segments without these rows of each (-1: none), as far as anything is left of them."""
    left = []
    for segment, found in zip(segments, rows, strict=True):
        found = found[found >= 0]
        rest = segment.without(found) if len(found) else segment
        if rest is not None:
            left.append(rest)
    return tuple(left)


def _room(n_codes: int, codes: np.ndarray) -> Tail:
    """Room for these codes, and where the machine gives it for as many as there are."""
    need = len(codes)
    try:
        return Tail(max(need, n_codes, MIN_BYTES // codes.shape[1]), codes)
    except MemoryError:
        return Tail(need, codes)


def _grown(last: Segment | None, tail: Tail, codes: np.ndarray, ids: Ids) -> Segment:
    if last is None:
        return Segment(codes, ids, None, len(codes), owned=True)
    alive = None if last.alive is None else tail.alive(last.alive)
    return Segment(codes, ids, alive, last.n_alive + len(codes) - len(last), owned=True)


def _fewer(segments: list[Segment]) -> list[Segment]:
    """Neighbours whose memory is the index's own as one segment each."""
    fewer = []
    for owned, group in groupby(segments, key=lambda segment: segment.owned):
        neighbours = list(group)
        fewer += [joined(neighbours)] if owned and len(neighbours) > 1 else neighbours
    return fewer


def segment_ids(ids: range | np.ndarray) -> Ids:
    """Ids that nothing is known of yet."""
    return Ids(ids, ascending=isinstance(ids, range) or ascends(ids))


def after(ids: range | np.ndarray, next_id: int) -> int:
    """The number after all ids so far."""
    if len(ids) == 0:
        return next_id
    return max(next_id, ids.stop if isinstance(ids, range) else int(ids.max()) + 1)


def compact_ids(ids: np.ndarray) -> range | np.ndarray:
    """Ids that follow each other as a range, which takes no memory."""
    if len(ids) and int(ids[-1]) - int(ids[0]) == len(ids) - 1 and ascends(ids):
        return range(int(ids[0]), int(ids[-1]) + 1)
    return ids


def check_distinct(ids: np.ndarray) -> None:
    """No id comes twice."""
    if ascends(ids):
        return
    ordered = arrays.module(ids).sort(ids)
    again = ordered[1:] == ordered[:-1]
    if bool(again.any()):
        raise index_checks.duplicate(int(ordered[1:][again][0]))


def check_new(ids: np.ndarray, segments: Sequence[Segment]) -> None:
    """None of the segments has one of these ids."""
    ids = arrays.module(ids).sort(ids)  # neighbours are found in one cache line
    for segment in segments:
        there = segment.find(ids) >= 0
        if bool(there.any()):
            raise index_checks.duplicate(int(ids[there][0]))


def check_disjoint(states: Sequence[State]) -> None:
    """No two have an id in common; ids are looked at where the ranges of segments overlap."""
    spans = [
        (segment.bounds(), owner, segment)
        for owner, state in enumerate(states)
        for segment in state.segments
    ]
    group: list[tuple[int, Segment]] = []
    end = -1
    for (low, high), owner, segment in sorted(spans, key=lambda span: span[0]):
        if low > end:
            _check_apart(group)
            group = []
        group.append((owner, segment))
        end = max(end, high)
    _check_apart(group)


def _check_apart(group: Sequence[tuple[int, Segment]]) -> None:
    """Segments with overlapping ranges, by their index: one alone has no id twice.

    In the largest, which knows its order from the first time on, the others' ids are looked up.
    """
    if len({owner for owner, _ in group}) > 1:
        *rest, largest = sorted((segment for _, segment in group), key=len)
        ids = arrays.module(largest.codes).concatenate([segment.live_ids() for segment in rest])
        check_distinct(ids)
        check_new(ids, [largest])


def check_known(ids: np.ndarray, rows: Sequence[np.ndarray]) -> None:
    """Each id has a row in one of the segments."""
    known = sum((found >= 0 for found in rows), start=arrays.module(ids).zeros(ids.shape, bool))
    if not bool(known.all()):
        raise index_checks.unknown(int(ids[~known][0]), int((~known).sum()))
