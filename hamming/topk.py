"""The k nearest codes."""

from __future__ import annotations

from typing import Any

from . import arrays, checks
from .dispatch import choose
from .layout import TopK


def topk(
    query_codes: Any, db_codes: Any, k: int, *, mask: Any = None, threads: int | None = None
) -> TopK:
    """The k nearest codes of each query, exactly, by distance and then by smaller index.

    The order is the same bit for bit on every backend and at every thread count. Bare code arrays
    do not know n_bits: non-zero padding bits count as distance. Contiguous databases and masks in
    host memory are not copied, so they may be memory maps. Beside the result, a call holds a copy
    of the queries, 64 * n_bits bytes a thread (at least 160 KiB), and at most 64 MiB of candidates,
    or 16 * k bytes a thread where that is more. Ctrl-C is seen when the call returns.

    On a GPU nothing is copied to the host and nothing waited for: the call starts its kernels on
    the current stream of the library that `query_codes` come from, whose allocator gives at most
    1 GiB beside the result.

    Args:
        query_codes: `(n_queries, n_bytes) uint8`, or one code `(n_bytes,)`.
        db_codes: `(n_codes, n_bytes) uint8`.
        k: 1..n_codes; on a GPU at most 2**20.
        mask: `(n_codes,) bool`, True = searchable; None = all. With fewer than k searchable codes
            the tail is index -1, distance 2**31 - 1.
        threads: CPU threads; None = HAMMING_THREADS, else the CPUs this process may use.

    Returns:
        `TopK(distances int32, indices int64)`, each `(n_queries, k)`, of the kind of `query_codes`;
        each `(k,)` for one code.

    Raises:
        TypeError: an argument is no array, or of a wrong dtype.
        ValueError: k, shapes or devices do not fit.

    Example:
        >>> import numpy as np
        >>> db = np.array([[0b1111], [0b0001], [0b0011]], np.uint8)
        >>> topk(np.array([0b0001], np.uint8), db, 2)
        TopK(distances=array([0, 1], dtype=int32), indices=array([1, 2]))
    """
    device = arrays.search_device(query_codes, db_codes, mask)
    backend = choose(device)
    with arrays.placed(query_codes, "query_codes"):
        given = arrays.search_arrays(query_codes, db_codes, mask)
        result = backend.topk(
            given.queries,
            given.db,
            checks.top_k(k, len(given.db), device),
            mask=given.mask,
            threads=checks.thread_count(threads),
        )
        if given.single:
            result = TopK(result.distances[0], result.indices[0])
        return arrays.result_like(given.kind, result)
