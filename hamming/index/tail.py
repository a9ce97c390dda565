"""Room that an index fills as codes are added."""

from __future__ import annotations

import numpy as np

from .. import arrays
from .ids import Ids, Run, ascends, joined_runs, sorted_run


class Tail:
    """Memory for codes and ids with room for more; what is in use is never written again.

    A view of the rows in use stays as it is while rows are added behind it. Memory that nothing was
    written to is the machine's still, so room costs addresses, not bytes (on a GPU it costs bytes).

    Args:
        capacity: rows.
        like: `(any, n_bytes) uint8`, on the device where codes shall lie.
    """

    def __init__(self, capacity: int, like: np.ndarray) -> None:
        xp = arrays.module(like)
        self._codes = xp.empty((capacity, like.shape[1]), np.uint8)
        self._ids: np.ndarray | None = None
        self._marks: np.ndarray | None = None
        self._alive: np.ndarray | None = None
        self._used = 0

    @property
    def room(self) -> int:
        """Rows that can still be added."""
        return len(self._codes) - self._used

    def append(
        self, codes: np.ndarray, ids: range | np.ndarray, before: Ids | None
    ) -> tuple[np.ndarray, Ids]:
        """All rows with these at their end.

        Args:
            codes: `(n, n_bytes)`, 1 <= n <= room.
            ids: of the codes.
            before: what this gave last for the rows in use; None if there are none.
        """
        begin, self._used = self._used, self._used + len(codes)
        self._codes[begin : self._used] = codes
        return self._codes[: self._used], self._with_ids(begin, ids, before)

    def alive(self, former: np.ndarray) -> np.ndarray:
        """The marks of all rows in use, those of new ones True.

        Args:
            former: `(n,) bool`, n <= rows in use. Copied unless it is what this gave last.
        """
        if self._marks is None or former is not self._alive:
            self._marks = arrays.module(former).empty(len(self._codes), bool)
            self._marks[: len(former)] = former
        self._marks[len(former) : self._used] = True
        self._alive = self._marks[: self._used]
        return self._alive

    def _with_ids(self, begin: int, ids: range | np.ndarray, before: Ids | None) -> Ids:
        former = range(0) if before is None else before.values
        if isinstance(ids, range) and isinstance(former, range):
            if before is None:
                return Ids(ids)
            if former.stop == ids.start:
                return Ids(range(former.start, ids.stop))
        xp = arrays.module(self._codes)
        if self._ids is None:
            self._ids = xp.empty(len(self._codes), np.int64)
            self._ids[:begin] = _array(xp, former)
        self._ids[begin : self._used] = _array(xp, ids)
        new, every = self._ids[begin : self._used], self._ids[: self._used]
        ascending = (before is None or before.ascending) and ascends(
            self._ids[max(begin - 1, 0) : self._used]
        )
        if ascending:
            return Ids(every, ascending=True)
        runs = () if before is None else _runs(before, self._ids[:begin])
        return Ids(every, runs=joined_runs(runs, sorted_run(new, begin)))


def _array(xp: object, ids: range | np.ndarray) -> np.ndarray:
    if not isinstance(ids, range):
        return ids
    array: np.ndarray = xp.arange(ids.start, ids.stop)  # type: ignore[attr-defined]
    return array


def _runs(before: Ids, values: np.ndarray) -> tuple[Run, ...]:
    return (Run(values, 0),) if before.ascending else before.runs
