"""All distances."""

from __future__ import annotations

from typing import Any

from . import arrays, checks
from .dispatch import choose


def distance(query_codes: Any, db_codes: Any) -> Any:
    """The Hamming distance of every query to every code.

    Bare code arrays do not know n_bits: non-zero padding bits count as distance. Beside the result,
    a call holds a copy of the queries and 32 * n_bits bytes a thread (at least 32 KiB); a
    contiguous database in host memory is not copied.

    Args:
        query_codes: `(n_queries, n_bytes) uint8`, or one code `(n_bytes,)`.
        db_codes: `(n_codes, n_bytes) uint8`.

    Returns:
        `(n_queries, n_codes) int32` of the kind of `query_codes`; `(n_codes,)` for one code.

    Raises:
        TypeError: an argument is no array or not uint8.
        ValueError: shapes or devices do not fit.

    Example:
        >>> import numpy as np
        >>> distance(np.array([0b1010], np.uint8), np.array([[0b1010], [0b0101]], np.uint8))
        array([0, 4], dtype=int32)
    """
    backend = choose(arrays.search_device(query_codes, db_codes))
    with arrays.placed(query_codes, "query_codes"):
        given = arrays.search_arrays(query_codes, db_codes)
        result = backend.distance(given.queries, given.db, threads=checks.thread_count(None))
        return arrays.like(given.kind, result[0] if given.single else result)
