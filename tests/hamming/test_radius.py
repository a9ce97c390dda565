"""All codes within a radius."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hamming
from tests.hamming import oracle
from tests.hamming.strategies import Problem, codes, problems


def assert_radius(result: hamming.RadiusResult, expected: tuple[np.ndarray, ...]) -> None:
    for got, want in zip(result, expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@given(problem=problems(max_codes=300), data=st.data())
def test_equals_the_oracle(backend: str, problem: Problem, data: st.DataObject) -> None:
    queries, db, mask, threads = problem
    radius = data.draw(st.integers(0, 8 * db.shape[1] + 3))
    result = hamming.radius_search(queries, db, radius, mask=mask, threads=threads)
    assert_radius(result, oracle.radius_search(queries, db, radius, mask))


@pytest.mark.parametrize("kind", ["random", "equal", "descending"])
def test_large_databases(backend: str, kind: str) -> None:
    rng = np.random.default_rng(5)
    db, queries = codes(rng, 100_000, 4, kind), codes(rng, 3, 4, "random")
    expected = oracle.radius_search(queries, db, 12)
    for threads in (1, 4):
        assert_radius(hamming.radius_search(queries, db, 12, threads=threads), expected)


@cache
def masked_problem(kind: str, n_bytes: int, share: float) -> tuple:
    """The radius takes about one code in fifty, or all at one distance."""
    rng = np.random.default_rng(n_bytes)
    db = codes(rng, 100_000, n_bytes, kind)
    queries = np.concatenate([codes(rng, 1, n_bytes, "random"), np.zeros((1, n_bytes), np.uint8)])
    mask = rng.random(len(db)) < share
    radius = int(np.quantile(oracle.distances(queries, db), 0.02))
    return queries, db, mask, radius, oracle.radius_search(queries, db, radius, mask)


@pytest.mark.parametrize("kind", ["random", "equal", "hundred", "descending", "low_entropy"])
@pytest.mark.parametrize("n_bytes", [8, 17])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.9])
def test_masks(backend: str, kind: str, n_bytes: int, share: float) -> None:
    queries, db, mask, radius, expected = masked_problem(kind, n_bytes, share)
    assert len(expected[1]) > 0
    for threads in (1, 3):
        result = hamming.radius_search(queries, db, radius, mask=mask, threads=threads)
        assert_radius(result, expected)


def test_one_query_and_an_empty_database(backend: str) -> None:
    db = np.array([[1], [3], [0]], np.uint8)
    assert_radius(hamming.radius_search(db[0], db, 1), oracle.radius_search(db[:1], db, 1))
    empty = hamming.radius_search(db, np.empty((0, 1), np.uint8), 8)
    assert empty.offsets.tolist() == [0, 0, 0, 0]
    assert empty.indices.shape == (0,)
