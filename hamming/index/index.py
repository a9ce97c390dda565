"""Codes with ids that can be added, removed, filtered, saved and searched."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from .. import arrays, checks
from ..dispatch import choose
from ..layout import RadiusResult, Rescored, TopK, bytes_for
from . import checks as index_checks
from . import file as index_file
from . import search as segment_search
from .ids import Ids
from .positions import gathered, positions_of
from .segments import Segment, joined, joined_ids, live_codes, live_ids
from .state import (
    State,
    after,
    appended,
    check_disjoint,
    check_distinct,
    check_known,
    check_new,
    compact_ids,
    segment_ids,
    without_rows,
)
from .tail import Tail


class Index:
    """Codes with ids: exact search as by `hamming.topk`, while codes come and go.

    Results carry ids. Ties go to the code that was added earlier, which with ids 0, 1, 2, ... is
    that of the smaller id. Any number of threads may search while one adds or removes: a search
    sees an add or a removal whole or not at all, and waits for none. Writers wait for each other.
    What needs two calls that agree, such as a bool filter in the order of `ids`, is asked of a
    `snapshot()`. A process that is forked while another thread adds cannot add to this index.

    Codes are stored in a few segments. An add writes behind the last one, and when that is full
    into a new one as large as all before, so that nothing that is stored is copied; a removal marks
    rows (a byte a code, from the first removal in a segment on), and a segment of which less than
    half is left is copied without the others, if its memory is the index's own.

    Args:
        n_bits: of a code; bits behind the last one must be zero, which on a GPU nobody looks for in
            queries.

    Example:
        >>> index = Index(8)
        >>> index.add(np.array([[0b1111], [0b0001], [0b0011]], np.uint8), ids=[30, 10, 20])
        >>> index.topk(np.array([0b0001], np.uint8), 2)
        TopK(distances=array([0, 1], dtype=int32), indices=array([10, 20]))
    """

    def __init__(self, n_bits: int) -> None:
        self.n_bits = index_checks.bits(n_bits)
        self._like = np.empty((0, bytes_for(self.n_bits)), np.uint8)
        self._state = State((), 0, 0)
        self._tail: Tail | None = None  # the room behind the last segment
        self._lock = threading.Lock()

    @classmethod
    def from_codes(cls, codes: Any, n_bits: int | None = None, ids: Any = None) -> Self:
        """An index over an array that is not copied: what a search of the array itself costs.

        Args:
            codes: `(n_codes, n_bytes) uint8` on any device, also a memory map; it must not be
                written to as long as the index is used. Copied only where it is not contiguous.
            n_bits: None = all bits of the bytes.
            ids: `(n_codes,)` integers, distinct, 0..2**63 - 2; None = 0, 1, 2, ...

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: shapes or devices do not fit, an id comes twice or is negative, or there are
                ones behind the last bit.
        """
        rows = arrays.plain(arrays.view(codes, "codes").array)
        checks.database(rows, "codes")
        index = cls(8 * rows.shape[1] if n_bits is None else n_bits)
        index_checks.codes_of(rows, "codes", index.n_bits)
        index_checks.padding(rows, "codes", index.n_bits)
        index._like = arrays.contiguous(rows[:0])
        new = index._new_ids(ids, len(rows), index._state)
        if not isinstance(new, range):
            new = new.copy()  # the caller's, who may write to it
        if len(rows):
            segment = Segment(arrays.contiguous(rows), segment_ids(new), None, len(rows), False)
            index._state = State((segment,), len(rows), after(new, 0))
        return index

    @classmethod
    def concat(cls, indexes: Sequence[Index]) -> Self:
        """One index of several, in their order, without copying their codes.

        Each search looks into every part: join dozens, not thousands.

        Raises:
            TypeError: an item is no index.
            ValueError: none is given, n_bits or devices differ, or two have an id in common.
        """
        given = index_checks.indexes_alike(indexes, Index)
        states = [index._state for index in given]
        check_disjoint(states)
        whole = cls(given[0].n_bits)
        whole._like = given[0]._like
        whole._state = State(
            tuple(s for state in states for s in state.segments),
            sum(state.n_codes for state in states),
            max(state.next_id for state in states),
        )
        return whole

    def __len__(self) -> int:
        return self._state.n_codes

    def __repr__(self) -> str:
        return f"Index(n_bits={self.n_bits}, {len(self)} codes, {self.device})"

    @property
    def device(self) -> str:
        """Where codes lie and are searched: "cpu", "cuda:0", ..."""
        return arrays.device_of(self._like, "index")

    @property
    def ids(self) -> np.ndarray:
        """`(len(index),) int64`, in the order they were added; not to be written to."""
        segments = self._state.segments
        if not segments:
            return arrays.module(self._like).empty(0, np.int64)  # type: ignore[no-any-return]
        return arrays.read_only(Ids(joined_ids(segments)).array(self._like))

    @property
    def codes(self) -> np.ndarray:
        """`(len(index), n_bytes) uint8`, in the order of `ids`, where the index lies.

        The stored array itself while there is one segment and nothing removed from it, else a copy;
        not to be written to.
        """
        segments = self._state.segments
        if len(segments) == 1:
            return arrays.read_only(segments[0].live_codes())
        parts = [segment.live_codes() for segment in segments]
        return arrays.module(self._like).concatenate([self._like, *parts])  # type: ignore[no-any-return]

    def codes_of(self, ids: Any) -> np.ndarray:
        """The codes of ids, copied.

        Args:
            ids: integers of any shape, or one; the same id may come again.

        Returns:
            `(*ids.shape, n_bytes) uint8`, where the index lies, which is waited for.

        Raises:
            TypeError: `ids` are no integers.
            ValueError: the index does not have one of them.
        """
        segments = self._state.segments
        wanted = index_checks.id_array(ids, "ids", self._like)
        positions = positions_of(segments, wanted).reshape(-1)
        check_known(wanted.reshape(-1), [positions])
        codes = gathered(segments, positions) if segments else self._like
        return codes.reshape(*wanted.shape, self._like.shape[1])

    def __contains__(self, id: int) -> bool:
        """Whether the index has a code of this id."""
        index_checks.one_id(id)
        if not 0 <= id <= index_checks.MAX_ID:
            return False
        wanted = arrays.module(self._like).full(1, int(id), np.int64)
        return bool((positions_of(self._state.segments, wanted) >= 0).all())

    def chunks(self, size: int = 65_536) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Ids and codes in their order, some at a time: the whole without a copy of the whole.

        Args:
            size: most codes at a time, at least 1.

        Yields:
            `(n,) int64` and `(n, n_bytes) uint8`, where the index lies, as it was at the call.
        """
        step = checks.integer(size, "size", least=1, remedy="ask for at least one code at a time")
        segments = self._state.segments
        pairs = zip(live_ids(segments, step), live_codes(segments, step), strict=True)
        return ((ids, codes) for ids, codes in pairs if len(ids))

    def add(self, codes: Any, ids: Any = None) -> None:
        """Add codes behind all others.

        Args:
            codes: `(n, n_bytes) uint8`, on the device of the index.
            ids: `(n,)` integers, 0..2**63 - 2, none of which the index has; None = the numbers that
                follow the largest id so far.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: shapes or devices do not fit, an id comes twice or is negative, or there are
                ones behind the last bit; nothing is added then.
        """
        index_checks.device(codes, "codes", self.device)
        with arrays.placed(codes, "codes"):
            rows = arrays.view(codes, "codes").array
            index_checks.codes_of(rows, "codes", self.n_bits)
            index_checks.padding(rows, "codes", self.n_bits)
            with self._lock:
                state = self._state
                new = self._new_ids(ids, len(rows), state)
                if len(rows) == 0:
                    return
                tail = self._tail
                self._tail = None  # what fails leaves rows in it that no search shall see
                segments, tail = appended(state, tail, rows, new)
                arrays.settle(self._like)
                self._tail = tail
                next_id = after(new, state.next_id)
                self._state = State(segments, state.n_codes + len(rows), next_id)

    def remove(self, ids: Any) -> None:
        """Remove codes by id; the order of the others stays.

        A call copies the marks of the segments it removes from, a byte a code: give many ids at
        once.

        Args:
            ids: integers of any shape, or one; the same id may come again.

        Raises:
            TypeError: `ids` are no integers.
            ValueError: the index does not have one of them; nothing is removed then.
        """
        given = index_checks.id_array(ids, "ids", self._like).reshape(-1)
        wanted = arrays.module(given).sort(given)  # neighbours are found in one cache line
        with self._lock:
            state = self._state
            rows = [segment.find(wanted) for segment in state.segments]
            check_known(wanted, rows)
            segments = without_rows(state.segments, rows)
            if not segments or segments[-1].codes is not state.segments[-1].codes:
                self._tail = None
            arrays.settle(self._like)
            n_codes = sum(segment.n_alive for segment in segments)
            self._state = State(segments, n_codes, state.next_id)

    def topk(
        self, query_codes: Any, k: int, *, filter: Any = None, threads: int | None = None
    ) -> TopK:
        """The k nearest codes of each query, exactly, by distance; ties: the one added earlier.

        Ctrl-C is seen when the call returns.

        Args:
            query_codes: `(n_queries, n_bytes) uint8`, or one code `(n_bytes,)`, on the device of
                the index.
            k: 1..len(index); on a GPU at most 2**20.
            filter: what may be found: `(len(index),) bool` in the order of `ids`, or ids (integers
                of 16 bits or more, a list or a set), of which those that the index does not have
                are ignored. Ids are looked up in each call: where many are searched again and
                again, make bools of them once, `numpy.isin(index.ids, wanted)`. On a GPU filters by
                id wait for the device.
            threads: CPU threads; None = HAMMING_THREADS, else the CPUs this process may use.

        Returns:
            `TopK(distances int32, indices int64)`, each `(n_queries, k)`, of the kind of
            `query_codes`; `indices` are ids. With fewer than k codes that may be found the tail is
            id -1, distance 2**31 - 1.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: k, shapes or devices do not fit, or there are no codes.
        """
        state = self._state
        index_checks.device(query_codes, "query_codes", self.device)
        index_checks.searchable(state.n_codes)
        count = checks.top_k(k, state.n_codes, self.device)
        with arrays.placed(query_codes, "query_codes"):
            queries, kind = self._queries(query_codes)
            rows = arrays.contiguous(queries.reshape(-1, queries.shape[-1]))
            scopes = segment_search.scopes(state, filter, self._like)
            found = segment_search.topk(rows, scopes, count, checks.thread_count(threads))
            if queries.ndim == 1:
                found = TopK(found.distances[0], found.indices[0])
            return arrays.result_like(kind, found)

    def radius_search(
        self, query_codes: Any, radius: int, *, filter: Any = None, threads: int | None = None
    ) -> RadiusResult:
        """All codes within a radius of each query, by distance; ties: the one added earlier.

        Ctrl-C is seen when the call returns.

        Args:
            query_codes: as for `topk`.
            radius: at least 0, in bits; `d <= radius` is a hit.
            filter: as for `topk`.
            threads: as for `topk`.

        Returns:
            `RadiusResult(offsets, distances, indices)` of the kind of `query_codes`; `indices` are
            ids, and the hits of query q are `offsets[q]:offsets[q + 1]`.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: radius, shapes or devices do not fit.
        """
        state = self._state
        index_checks.device(query_codes, "query_codes", self.device)
        limit = checks.integer(radius, "radius", least=0, remedy="give a distance in bits")
        with arrays.placed(query_codes, "query_codes"):
            queries, kind = self._queries(query_codes)
            rows = arrays.contiguous(queries.reshape(-1, queries.shape[-1]))
            scopes = segment_search.scopes(state, filter, self._like)
            limit = min(limit, 8 * rows.shape[1])
            found = segment_search.radius_search(rows, scopes, limit, checks.thread_count(threads))
            return arrays.result_like(kind, found)

    def rescore(self, queries: Any, ids: Any, k: int) -> Rescored:
        """The k candidates of each query with the highest inner product, codes read as +-1.

        As `hamming.rescore`, with ids; equal scores: the code added earlier.

        Args:
            queries: `(n_queries, n_bits)` floats, or one query `(n_bits,)`, on the device of the
                index.
            ids: `(n_queries, m)` ids as `topk` returns them; -1 = no candidate. On a GPU, which is
                not waited for, ids that the index does not have count as none.
            k: 1..m.

        Returns:
            `Rescored(scores float32, indices int64)`, each `(n_queries, k)`, of the kind of
            `queries`; `indices` are ids. With fewer than k candidates the tail is id -1, score
            -inf.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: shapes, devices or k do not fit, the index does not have an id, or a query
                is not finite.
        """
        state = self._state
        index_checks.device(queries, "queries", self.device)
        with arrays.placed(queries, "queries"):
            index_checks.value_width(arrays.view(queries, "queries").array, self.n_bits)
            wanted = index_checks.id_array(ids, "ids", self._like)
            index_checks.candidates(wanted, arrays.view(queries, "queries").array)
            return segment_search.rescored(queries, state.segments, self._like, wanted, k)

    def snapshot(self) -> Self:
        """The index as it is now, which later changes of this one do not touch, in no time.

        Both can be changed: they share what is stored and write to room of their own.
        """
        other = type(self)(self.n_bits)
        other._like, other._state = self._like, self._state
        return other

    def to(self, device: str) -> Self:
        """The index with its codes on another device; on its own device a snapshot.

        On a GPU codes and ids lie in one array each, and searches take and give arrays of torch or
        CuPy there. Adding and removing wait for their own stream: where others search on streams of
        their own, wait for those before codes are removed, whose memory may be used again.

        Args:
            device: "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: there is no such device, or no CuPy.
        """
        place = index_checks.device_name(device)
        if place == self.device:
            return self.snapshot()
        if place != "cpu":
            choose(place, "keep the index on 'cpu'")  # or what is missing, in one sentence
        other = type(self)(self.n_bits)
        state = self._state
        with arrays.on_device(place) as moved:
            other._like = moved(self._like)
            there = (joined(state.segments).moved(moved),) if state.segments else ()
            other._state = state._replace(segments=there)
            arrays.settle(other._like)
        return other

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index as one file; a failure leaves what was there. Missing folders are made.

        The file is a safetensors file: `ids` (n,) int64, left out if they follow each other, and
        `codes` (n, n_bytes) uint8, without what was removed; docs/index-file.md has its metadata.
        Other threads may go on adding: the file has what was there when the call began.

        Raises:
            OSError: it cannot be written.
        """
        state = self._state
        index_file.write(
            index_checks.file_path(path),
            self.n_bits,
            state.segments,
            self._like.shape[1],
            state.next_id,
        )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, mmap: bool = False, verify: bool | None = None
    ) -> Self:
        """An index from a file.

        Args:
            path: what `save` wrote.
            mmap: search the file in place: it is not read now, and the machine keeps of it in
                memory what it has room for. What is added lies in memory. The file may be replaced
                or removed meanwhile, but not changed in place.
            verify: read all codes and compare them with the file's checksums; None = where they are
                read anyway, that is without `mmap`. The header is always verified.

        Raises:
            ValueError: the file is no index, or a torn or newer one, or its checksums are wrong.
            OSError: it cannot be read.
        """
        checked = not mmap if verify is None else verify
        stored = index_file.read(index_checks.file_path(path), mmap=mmap, verify=checked)
        index = cls(stored.n_bits)
        codes, n_codes = stored.codes, len(stored.codes)
        segments = (Segment(codes, stored.ids, None, n_codes, owned=not mmap),) if n_codes else ()
        index._state = State(segments, n_codes, stored.next_id)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        host = self.to("cpu")
        ids = joined_ids(host._state.segments) if len(host) else None
        return _restored, (type(self), self.n_bits, host.codes, ids, host._state.next_id)

    def _queries(self, query_codes: Any) -> arrays.View:
        given = arrays.view(query_codes, "query_codes")
        index_checks.query_width(given.array, self.n_bits)
        if arrays.module(given.array) is np:  # elsewhere a look at the values would wait
            index_checks.padding(given.array, "query_codes", self.n_bits)
        return given

    def _new_ids(self, ids: Any, n_codes: int, state: State) -> range | np.ndarray:
        """Checked ids of new codes; a range where none are given."""
        if ids is None:
            index_checks.numbers_left(state.next_id, n_codes)
            return range(state.next_id, state.next_id + n_codes)
        new = index_checks.id_array(ids, "ids", self._like)
        index_checks.new_ids(new, n_codes)
        if n_codes:
            check_distinct(new)
            if int(new.min()) < state.next_id:
                check_new(new, state.segments)
        return compact_ids(new)


def _restored(
    kind: type[Index], n_bits: int, codes: np.ndarray, ids: range | np.ndarray | None, next_id: int
) -> Index:
    index = kind(n_bits)
    segments: tuple[Segment, ...] = ()
    if ids is not None:
        segments = (Segment(codes, segment_ids(ids), None, len(codes), owned=True),)
    index._state = State(segments, len(codes), next_id)
    return index
