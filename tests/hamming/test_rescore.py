"""Asymmetric re-scoring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hamming
from hamming import arrays
from hamming.backends.cpu import CpuBackend
from tests.conftest import VARIANTS
from tests.hamming import oracle


@given(
    seed=st.integers(0, 2**32 - 1),
    n_bits=st.sampled_from([1, 7, 8, 9, 31, 33, 63, 64, 65, 300, 1024, 1025, 2111]),
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


@given(
    seed=st.integers(0, 2**32 - 1),
    n_bits=st.sampled_from([1, 9, 24, 64, 100, 1024, 1100]),
    values=st.sampled_from(["normal", "huge", "few"]),
)
def test_native_backends_agree_bit_for_bit(seed, n_bits, values) -> None:
    """More candidates than are prefetched at a time, some missing, and equal scores."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(2, n_bits))
    if values == "huge":
        queries *= 3e38 / np.abs(queries).sum(1, keepdims=True)
    elif values == "few":
        queries = np.sign(queries)
    db = rng.integers(0, 256, (40, (n_bits + 7) // 8), np.uint8)
    indices = rng.integers(-1, 40, (2, 150))
    results = []
    for variant in VARIANTS.values():
        if isinstance(variant, CpuBackend) and variant.missing is None:
            with hamming.use_backend(variant):
                results.append(hamming.rescore(queries, db, indices, 70))
    for result in results:
        np.testing.assert_array_equal(result.scores, results[0].scores)
        np.testing.assert_array_equal(result.indices, results[0].indices)


@pytest.mark.parametrize("n_bits", [8, 64, 1024])
@pytest.mark.parametrize("m", [1, 31, 32, 33, 64, 65, 3000])
def test_the_best_k_in_every_order(backend: str, n_bits: int, m: int) -> None:
    """Ascending, descending and equal scores, where a selection would go wrong first."""
    rng = np.random.default_rng(m)
    db = rng.integers(0, 256, (m, n_bits // 8), np.uint8)
    query = np.sign(rng.normal(size=n_bits)).astype(np.float32)
    scores = oracle.scores(query[None], db, np.arange(m)[None])[0]
    best = np.lexsort((np.arange(m), -scores))
    for given_order in (best, best[::-1], np.arange(m)):
        for k in sorted({1, min(m, 10), m}):
            result = hamming.rescore(query, db, given_order, k)
            assert result.indices.tolist() == best[:k].tolist()
            assert result.scores.tolist() == scores[best[:k]].tolist()


def test_an_empty_database_has_missing_candidates_only(backend: str) -> None:
    db = np.zeros((0, 2), np.uint8)
    result = hamming.rescore(np.ones((3, 16), np.float32), db, np.full((3, 4), -1), 2)
    assert result.indices.tolist() == [[-1, -1]] * 3
    assert result.scores.tolist() == [[-np.inf, -np.inf]] * 3


def test_a_score_of_the_largest_float(backend: str) -> None:
    """What rounding adds must not make it infinite."""
    # Half a step below 2^118 each: rounded up, 1024 of them are 2^128.
    query = np.full((1, 1024), (2**20 - 0.5) * 2.0**98, np.float32)
    result = hamming.rescore(query, np.full((1, 128), 255, np.uint8), np.array([[0]]), 1)
    assert np.isfinite(result.scores[0, 0])
    np.testing.assert_allclose(result.scores[0, 0], np.finfo(np.float32).max, rtol=1e-5)


def test_candidates_that_change_after_their_check_are_no_rows_elsewhere(backend: str) -> None:
    """Another thread may write to them while they are scored: any number must be survived."""
    native = VARIANTS[backend]
    if not isinstance(native, CpuBackend):
        pytest.skip("NumPy itself checks, and a GPU does not read what the host changes")
    candidates = np.array([[2**62, -(2**62), 5, 2**40, -7]])
    db = np.zeros((3, 8), np.uint8)
    queries = np.ones((1, 64), np.float32)
    found = native.rescore(queries, db, candidates, 2, bitorder="big", threads=1)
    assert found.scores.shape == (1, 2)
