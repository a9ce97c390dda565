"""All codes within a radius."""

from __future__ import annotations

from typing import Any

from . import arrays, checks
from .dispatch import choose
from .layout import RadiusResult


def radius_search(
    query_codes: Any, db_codes: Any, radius: int, *, mask: Any = None, threads: int | None = None
) -> RadiusResult:
    """All codes within a radius of each query, by distance and then by smaller index.

    Hits are counted before they are placed, so the result is allocated once at its exact size.
    Beside it, a call holds a copy of the queries, 48 * n_bits bytes a thread (at least 160 KiB),
    8 * (radius + 9) bytes a query (a query and thread where there are fewer than four queries a
    thread), and at most 64 MiB of hits; where those are more, the database is read a second time.
    Contiguous databases and masks in host memory are not copied; they must not change meanwhile.
    Ctrl-C is seen when the call returns.

    On a GPU the database is read twice, and the call waits once, for the number of hits; beside the
    result it holds 8 bytes a hit, 16 if a query has more than 2048.

    Args:
        query_codes: `(n_queries, n_bytes) uint8`, or one code `(n_bytes,)`.
        db_codes: `(n_codes, n_bytes) uint8`.
        radius: at least 0, in bits; `d <= radius` is a hit.
        mask: `(n_codes,) bool`, True = searchable; None = all.
        threads: CPU threads; None = HAMMING_THREADS, else the CPUs this process may use.

    Returns:
        `RadiusResult(offsets, distances, indices)` of the kind of `query_codes`; the hits of query
        q are `offsets[q]:offsets[q + 1]`.

    Raises:
        TypeError: an argument is no array, or of a wrong dtype.
        ValueError: radius, shapes or devices do not fit.

    Example:
        >>> import numpy as np
        >>> db = np.array([[0b1111], [0b0001], [0b0011]], np.uint8)
        >>> radius_search(np.array([0b0001], np.uint8), db, 1).indices
        array([1, 2])
    """
    backend = choose(arrays.search_device(query_codes, db_codes, mask))
    with arrays.placed(query_codes, "query_codes"):
        given = arrays.search_arrays(query_codes, db_codes, mask)
        limit = checks.integer(radius, "radius", least=0, remedy="give a distance in bits")
        result = backend.radius_search(
            given.queries,
            given.db,
            min(limit, 8 * given.db.shape[1]),
            mask=given.mask,
            threads=checks.thread_count(threads),
        )
        return arrays.result_like(given.kind, result)
