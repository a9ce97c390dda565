"""The exact answer by brute force: an xor, a population count and a stable sort, on any card.

Nothing of `hamming` is used. The database is read in parts, so that it may fill the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.suites.frame import WrongResultError
from hamming.layout import NO_DISTANCE, NO_INDEX

_CHUNK_BYTES = 2**26
_EXCLUDED = 65535  # no distance: codes here have fewer bits


def check(
    xp: Any, found: Any, queries: Any, db: Any, k: int, mask: Any = None, most: int = 3
) -> None:
    """Holds a top-k result against the exact one, for at most `most` queries.

    Raises:
        WrongResultError: with the first difference.
    """
    n_queries = len(queries)
    for query in sorted({number * n_queries // most for number in range(most)}):
        distances, indices = nearest(xp, queries[query], db, k, mask)
        same_distance = xp.array_equal(found.distances[query], distances)
        if not (bool(same_distance) and bool(xp.array_equal(found.indices[query], indices))):
            wrong = (found.distances[query] != distances) | (found.indices[query] != indices)
            rank = int(xp.flatnonzero(wrong)[0])
            raise WrongResultError(
                f"query {query}, rank {rank}: expected distance {int(distances[rank])} and index "
                f"{int(indices[rank])}, got {int(found.distances[query][rank])} and "
                f"{int(found.indices[query][rank])}"
            )


def nearest(xp: Any, query: Any, db: Any, k: int, mask: Any = None) -> tuple[Any, Any]:
    """`(k,)` int32 distances and int64 indices, as `hamming.topk` promises them."""
    n_distances = 8 * db.shape[1] + 1
    counts = np.zeros(n_distances, np.int64)
    for _, distances in _parts(xp, query, db, mask):
        there = distances[distances != _EXCLUDED].astype(np.int64)
        counts += _host(xp.bincount(there, minlength=n_distances))
    limit = int(np.searchsorted(np.cumsum(counts), k))  # the k-th distance, if there is one
    ties = k - int(counts[:limit].sum())
    near: list[Any] = []
    kept: list[Any] = []
    for begin, distances in _parts(xp, query, db, mask):
        below = xp.flatnonzero(distances < min(limit, _EXCLUDED))
        at = xp.flatnonzero(distances == limit)[:ties] if limit < n_distances else below[:0]
        ties -= len(at)
        rows = xp.concatenate([below, at])
        near.append(distances[rows].astype(np.int32))
        kept.append(rows + begin)
    distances, rows = xp.concatenate(near), xp.concatenate(kept).astype(np.int64)
    if len(rows):
        by_row = xp.argsort(rows)
        order = by_row[xp.argsort(distances[by_row], kind="stable")]
        distances, rows = distances[order], rows[order]
    return (
        _padded(xp, distances, k, NO_DISTANCE),
        _padded(xp, rows, k, NO_INDEX),
    )


def distances_of(xp: Any, query: Any, codes: Any) -> Any:
    """`(n_codes,) uint16` of a query `(n_bytes,)`."""
    return xp.bitwise_count(codes ^ query).sum(axis=1, dtype=np.uint16)


def _parts(xp: Any, query: Any, db: Any, mask: Any) -> Iterator[tuple[int, Any]]:
    """First row and distances of part after part; excluded codes are at _EXCLUDED."""
    rows = max(1, _CHUNK_BYTES // db.shape[1])
    wide = db.shape[1] % 8 == 0 and _address(db) % 8 == 0
    query = query.copy().view(np.uint64) if wide else query
    for begin in range(0, len(db), rows):
        part = db[begin : begin + rows]
        distances = distances_of(xp, query, part.view(np.uint64) if wide else part)
        if mask is not None:
            distances[~mask[begin : begin + rows]] = _EXCLUDED
        yield begin, distances


def _address(array: Any) -> int:
    return int(array.data.ptr) if hasattr(array.data, "ptr") else int(array.ctypes.data)


def _host(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else array


def _padded(xp: Any, values: Any, k: int, filler: int) -> Any:
    rest = xp.full(k - len(values), filler, values.dtype)
    return xp.concatenate([values, rest])
