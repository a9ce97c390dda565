"""Asymmetric re-scoring."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import hamming
from hamming import arrays
from tests.hamming import oracle


@given(
    seed=st.integers(0, 2**32 - 1),
    n_bits=st.sampled_from([1, 7, 8, 9, 63, 64, 65, 300, 1024]),
    shape=st.tuples(st.integers(0, 6), st.integers(1, 40), st.integers(1, 30)),
    order=st.sampled_from(["big", "little"]),
    data=st.data(),
)
def test_equals_the_oracle(backend: str, seed, n_bits, shape, order, data) -> None:
    rng = np.random.default_rng(seed)
    n_queries, n_codes, n_candidates = shape
    db = hamming.pack(rng.integers(0, 2, (n_codes, n_bits), dtype=np.uint8), bitorder=order)
    queries = rng.normal(size=(n_queries, n_bits)).astype(np.float32)
    indices = rng.integers(0, n_codes, (n_queries, n_candidates))
    k = data.draw(st.integers(1, n_candidates))
    result = hamming.rescore(queries, db, indices, k, bitorder=order)
    expected = oracle.scores(queries, db, indices, order)
    tolerance = 1e-5 * np.abs(queries.astype(np.float64)).sum(1, keepdims=True)
    best = -np.sort(-expected, axis=1)[:, :k]
    assert (np.abs(result.scores - best) <= tolerance).all()
    for scores, ids, given_ids in zip(*result, indices, strict=True):
        assert set(ids) <= set(given_ids)
        pairs = list(zip(-scores, ids, strict=True))
        assert pairs == sorted(pairs)


def test_missing_candidates_come_last(backend: str) -> None:
    db = np.array([[0b11000000], [0]], np.uint8)
    queries = np.array([[1.0, 2.0]], np.float32)
    result = hamming.rescore(queries, db, np.array([[-1, 1, -1, 0]]), 4)
    assert result.indices.tolist() == [[0, 1, -1, -1]]
    assert result.scores.tolist() == [[3.0, -3.0, -np.inf, -np.inf]]


def test_the_largest_queries(backend: str) -> None:
    """Partial sums stay finite, and a real candidate is never taken for a missing one."""
    queries = np.full((1, 32), 1e37, np.float32)
    result = hamming.rescore(queries, np.zeros((1, 4), np.uint8), np.array([[-1, 0]]), 2)
    assert result.indices.tolist() == [[0, -1]]
    np.testing.assert_allclose(result.scores[0, 0], -3.2e38, rtol=1e-5)


def test_inputs_at_odd_addresses(backend: str) -> None:
    rng = np.random.default_rng(0)
    db, queries = rng.integers(0, 256, (50, 3), np.uint8), rng.normal(size=(4, 24))
    rows = rng.integers(0, 50, (4, 9))
    inputs = [
        np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape)
        for x in (queries, db, rows)
    ]
    assert not inputs[2].flags.aligned
    assert arrays.contiguous(inputs[2]).flags.aligned
    expected = hamming.rescore(queries, db, rows, 5)
    for got, want in zip(hamming.rescore(*inputs, 5), expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_one_query(backend: str) -> None:
    db = np.array([[128], [0]], np.uint8)
    result = hamming.rescore(np.array([1.0]), db, np.array([1, 0], np.int32), 2)
    assert result.indices.tolist() == [0, 1]
    assert result.scores.shape == (2,)
