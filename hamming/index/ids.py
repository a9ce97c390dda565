"""The ids of rows, and the way back from ids to rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .. import arrays
from ..layout import NO_INDEX


class Run(NamedTuple):
    """Ids in ascending order, and the row of each."""

    ids: np.ndarray  # (n,) int64
    rows: np.ndarray | int  # (n,) int64, or the first of n rows that follow each other


class Ids:
    """The ids of a segment's rows; never changed once made, but its arrays may be longer elsewhere.

    An id may stand in several rows if all but the last of them were removed.

    Args:
        values: a `range` of step 1, or `(n,) int64` on any device.
        ascending: whether array values are known to ascend.
        runs: what they are found by, the newest last, if known.
    """

    def __init__(
        self,
        values: range | np.ndarray,
        *,
        ascending: bool = False,
        runs: tuple[Run, ...] | None = None,
    ) -> None:
        self.values = values
        self.ascending = ascending or isinstance(values, range)
        self._given = runs

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Sorted at the first lookup: a file that is only searched is never sorted."""
        if self._given is not None:
            return self._given
        assert not isinstance(self.values, range)
        return (Run(self.values, 0) if self.ascending else sorted_run(self.values, 0),)

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest id."""
        if self.ascending:
            return int(self.values[0]), int(self.values[-1])
        assert not isinstance(self.values, range)
        return int(self.values.min()), int(self.values.max())

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The ids of rows; -1 for row -1."""
        xp = arrays.module(rows)
        if not isinstance(self.values, range):
            taken: np.ndarray = xp.where(rows < 0, NO_INDEX, self.values[xp.maximum(rows, 0)])
        elif self.values.start:
            taken = xp.where(rows < 0, NO_INDEX, rows + self.values.start)
        else:
            taken = rows
        return taken

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id, the last if there are several; -1 for an id that has none."""
        xp = arrays.module(ids)
        if isinstance(self.values, range):
            inside = (ids >= self.values.start) & (ids < self.values.stop)
            within: np.ndarray = xp.where(inside, ids - self.values.start, NO_INDEX)
            return within
        found: np.ndarray = xp.full(ids.shape, NO_INDEX, np.int64)
        for run in self.runs:
            place = xp.minimum(xp.searchsorted(run.ids, ids), len(run.ids) - 1)
            rows = place + run.rows if isinstance(run.rows, int) else run.rows[place]
            found = xp.where(run.ids[place] == ids, rows, found)
        return found

    def array(self, like: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """The ids of rows, a slice or a mask, as an array where `like` lies."""
        if not isinstance(self.values, range):
            values: np.ndarray = self.values[rows]
            return values
        part = self.values[rows] if isinstance(rows, slice) else self.values
        ids: np.ndarray = arrays.module(like).arange(part.start, part.stop, dtype=np.int64)
        return ids if isinstance(rows, slice) else ids[rows]


def ascends(ids: np.ndarray) -> bool:
    """Whether each id is larger than the one before it."""
    return bool((ids[1:] > ids[:-1]).all())


def sorted_run(ids: np.ndarray, first: int) -> Run:
    """The run of distinct ids in any order, whose rows follow each other from `first` on."""
    order = arrays.module(ids).argsort(ids)
    return Run(ids[order], order + first)


def joined_runs(runs: tuple[Run, ...], newer: Run) -> tuple[Run, ...]:
    """`runs` and a newer one, each less than half as long as the one before it.

    So there are few, and an id is sorted again only as often as there are.
    """
    while runs and len(runs[-1].ids) < 2 * len(newer.ids):
        newer = _merged(runs[-1], newer)
        runs = runs[:-1]
    return (*runs, newer)


def _merged(older: Run, newer: Run) -> Run:
    xp = arrays.module(newer.ids)
    ids = xp.concatenate([older.ids, newer.ids])
    rows = xp.concatenate([_rows(older), _rows(newer)])
    order = xp.argsort(ids, kind="stable")
    ids, rows = ids[order], rows[order]
    last = xp.concatenate([ids[1:] != ids[:-1], xp.full(1, True)])
    return Run(ids[last], rows[last])


def _rows(run: Run) -> np.ndarray:
    if not isinstance(run.rows, int):
        return run.rows
    rows: np.ndarray = arrays.module(run.ids).arange(run.rows, run.rows + len(run.ids))
    return rows
