"""Searches in stages: problems, and what their answers should be, in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.hamming import oracle

N_BITS = 40


def made(n: int = 300, seed: int = 0, n_queries: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, N_BITS)).astype(np.float32),
        rng.normal(size=(n_queries, N_BITS)).astype(np.float32),
    )


def expected(
    queries: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    k: int,
    sizes: tuple[int, int],
    threshold: Any = 0.0,
    mask: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """All three stages in plain NumPy, one query at a time; indices are rows."""
    codes = np.packbits(values > threshold, axis=1)
    query_codes = np.packbits(queries > threshold, axis=1)
    _, found = oracle.topk(query_codes, codes, sizes[0], mask)
    signs = np.where(values > threshold, 1.0, -1.0)
    all_scores, all_rows = [], []
    for query, candidates in zip(queries.astype(np.float64), found, strict=True):
        there = np.sort(candidates[candidates >= 0])
        coarse = signs[there] @ (query - threshold)
        kept = np.sort(there[np.argsort(-coarse, kind="stable")][: sizes[1]])
        exact = (rows[kept].astype(np.float64) @ query).astype(np.float32)
        order = np.argsort(-exact, kind="stable")[:k]
        missing = k - len(order)
        all_scores.append(np.pad(exact[order], (0, missing), constant_values=-np.inf))
        all_rows.append(np.pad(kept[order], (0, missing), constant_values=-1))
    return np.array(all_scores), np.array(all_rows)


def equal(result: tuple[Any, Any], scores: np.ndarray, ids: np.ndarray) -> None:
    got, indices = (np.asarray(part) for part in result)
    assert indices.dtype == np.int64
    assert got.dtype == np.float32
    np.testing.assert_array_equal(indices, ids)
    np.testing.assert_allclose(got, scores, rtol=1e-6, atol=1e-6)
