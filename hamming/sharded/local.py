"""Shards in this process, on one device or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np

from .. import arrays
from ..index import Index
from ..layout import NO_INDEX
from .agreement import Span, check_disjoint, check_one_width, held, span_of
from .search import Call, ShardedSearch

Answer = tuple[Any, ...]


class Shards(ShardedSearch):
    """One search over several indexes, as if they stood one after the other in one `Index`.

    Indexes may lie on several devices: each device is searched by a thread of its own, all at the
    same time; shards of one device are searched one after the other, on the CPU with all threads.
    Where all shards lie with the queries on one GPU, nothing is copied to the host. Later changes
    of the indexes are not seen.

    Args:
        indexes: one `hamming.Index` per shard, of the same n_bits, some of them may be empty. No
            id may be in two of them: where their ranges of ids overlap, all ids are compared once.

    Raises:
        TypeError: something else than indexes.
        ValueError: no index, different n_bits, or an id in two shards.

    Example:
        >>> import hamming
        >>> codes = np.array([[0b1111], [0b0001], [0b0011]], np.uint8)
        >>> near = hamming.Index.from_codes(codes[:2], ids=[7, 5])
        >>> far = hamming.Index.from_codes(codes[2:], ids=[6])
        >>> Shards([near, far]).topk(codes[1], 2)
        TopK(distances=array([0, 1], dtype=int32), indices=array([5, 6]))
    """

    def __init__(self, indexes: Sequence[Index]) -> None:
        _check(indexes)
        self._indexes = tuple(index.snapshot() for index in indexes)
        check_disjoint(self.spans, self._ids_of)
        super().__init__(self._indexes[0].n_bits, [len(index) for index in self._indexes])

    @property
    def spans(self) -> list[Span | None]:
        """The least and the largest id of each shard; None for an empty one."""
        return [span_of(index) for index in self._indexes]

    @property
    def ids(self) -> np.ndarray:
        """`(n_codes,) int64` in host memory, shard after shard."""
        return np.concatenate([self._ids_of(shard) for shard in range(len(self._indexes))])

    def _ids_of(self, shard: int) -> np.ndarray:
        return arrays.to_host(self._indexes[shard].ids)

    def _ask(self, queries: np.ndarray, calls: Mapping[int, Call]) -> list[Answer]:
        devices: dict[str, list[int]] = {}
        for shard in calls:
            devices.setdefault(self._indexes[shard].device, []).append(shard)
        if list(devices) == [arrays.device_of(queries, "query_codes")]:
            return [self._search(shard, queries, call) for shard, call in calls.items()]
        queries = arrays.to_host(queries)

        def search(device: str) -> dict[int, Answer]:
            # A thread of its own also because CuPy's current stream and allocator are a thread's.
            with arrays.on_device(device) as moved:
                there = moved(queries)
                found = {
                    shard: self._search(shard, there, calls[shard]) for shard in devices[device]
                }
                return {n: tuple(map(arrays.to_host, answer)) for n, answer in found.items()}

        with ThreadPoolExecutor(len(devices)) as pool:
            answers = [pool.submit(copy_context().run, search, device) for device in devices]
            found = {shard: a for answer in answers for shard, a in answer.result().items()}
        return [found[shard] for shard in calls]

    def _search(self, shard: int, queries: np.ndarray, call: Call) -> Answer:
        index, part = self._indexes[shard], call.filter
        if call.method == "rescore":
            return _rescored(index, queries, call)
        if part is not None and index.device == "cpu":
            part = arrays.to_host(part)
        find = index.topk if call.method == "topk" else index.radius_search
        return find(queries, call.limit, filter=part, threads=call.threads)


def _rescored(index: Index, queries: np.ndarray, call: Call) -> Answer:
    """Scores and ids of the candidates that an index has, and which they are."""
    xp = arrays.module(queries)
    ids = arrays.to_host(call.filter) if xp is np else xp.asarray(call.filter)
    known = held(index, ids)
    return *index.rescore(queries, xp.where(known, ids, NO_INDEX), call.limit), known


def _check(indexes: Any) -> None:
    if not isinstance(indexes, Sequence) or not all(isinstance(x, Index) for x in indexes):
        kinds = [type(x).__name__ for x in indexes] if isinstance(indexes, Sequence) else indexes
        raise TypeError(
            f"indexes: expected a list of hamming.Index, got {kinds!r}; pass one Index per shard"
        )
    if not indexes:
        raise ValueError("indexes: expected at least one Index, got none; pass one per shard")
    check_one_width([index.n_bits for index in indexes])
