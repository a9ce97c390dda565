"""Asymmetric re-scoring: float queries against the binary codes of a search's candidates."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, checks
from .dispatch import choose
from .layout import BitOrder, Rescored


def rescore(
    queries: Any, db_codes: Any, indices: Any, k: int, *, bitorder: BitOrder = "big"
) -> Rescored:
    """The k candidates of each query with the highest inner product, codes read as +-1.

    `score = sum_j queries[j] * (+1 if bit j is set else -1)`, within 1e-5 of the query's L1 norm
    of the float64 value; ordered by the returned score, then by smaller index. Beside the result, a
    call holds at most 56 bytes a candidate and 24 a query component; contiguous arrays in host
    memory are not copied, and must not change meanwhile.

    On a GPU, which is not waited for, values are not looked at: a row that the database does not
    have counts as no candidate, and infinite queries have scores without meaning.

    Args:
        queries: `(n_queries, n_bits)` float16, bfloat16, float32 or float64, or one query
            `(n_bits,)`; gradients are ignored.
        db_codes: `(n_codes, n_bytes) uint8`.
        indices: `(n_queries, m)` integer rows of the database, as `topk` returns them; -1 = no
            candidate.
        k: 1..m; on a GPU m is at most 2**24.
        bitorder: as given to `pack`.

    Returns:
        `Rescored(scores float32, indices int64)`, each `(n_queries, k)`, of the kind of `queries`.
        With fewer than k candidates the tail is index -1, score -inf.

    Raises:
        TypeError: an argument is no array, or of a wrong dtype.
        ValueError: shapes, devices, k or an index do not fit, or a query is not finite or of a
            size whose scores float32 cannot hold.

    Example:
        >>> db = np.array([[0b11000000], [0b10000000]], np.uint8)
        >>> rescore(np.array([0.5, -2.0]), db, np.array([0, 1]), 1)
        Rescored(scores=array([2.5], dtype=float32), indices=array([1]))
    """
    named = {"queries": queries, "db_codes": db_codes, "indices": indices}
    device = arrays.common_device(named)
    backend = choose(device)
    order = checks.bit_order(bitorder)
    with arrays.placed(queries, "queries"):
        given, kind = arrays.view(queries, "queries")
        values = arrays.floats(queries, given)
        db = arrays.contiguous(arrays.view(db_codes, "db_codes").array)
        rows = arrays.view(indices, "indices").array
        checks.rescore_shapes(values, db, rows)
        count = checks.rescore_k(k, rows.shape[-1], device)
        if device == "cpu":  # elsewhere a look at the values would wait for the device
            checks.candidates(rows, len(db))
            checks.rescore_range(values)
        result = backend.rescore(
            _padded(values, db.shape[1]),
            db,
            arrays.contiguous(rows.reshape(-1, rows.shape[-1]).astype(np.int64, copy=False)),
            count,
            bitorder=order,
            threads=checks.thread_count(None),
        )
        if values.ndim == 1:
            result = Rescored(result.scores[0], result.indices[0])
        return arrays.result_like(kind, result)


def _padded(values: np.ndarray, n_bytes: int) -> np.ndarray:
    """Queries as `(n_queries, 8 * n_bytes) float32`, zero in the padding."""
    n_bits = values.shape[-1]
    flat = values.reshape(-1, n_bits)
    if values.dtype == np.float32 and n_bits % 8 == 0:
        return arrays.contiguous(flat)
    padded: np.ndarray = arrays.module(values).zeros((len(flat), 8 * n_bytes), np.float32)
    padded[:, :n_bits] = flat
    return padded
