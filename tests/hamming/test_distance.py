"""All distances."""

from __future__ import annotations

import numpy as np
from hypothesis import given

import hamming
from tests.hamming import oracle
from tests.hamming.strategies import Problem, problems


@given(problem=problems())
def test_equals_the_oracle(backend: str, problem: Problem) -> None:
    result = hamming.distance(problem.queries, problem.db)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, oracle.distances(problem.queries, problem.db))


def test_one_query_and_an_empty_database(backend: str) -> None:
    db = np.arange(40, dtype=np.uint8).reshape(20, 2)
    np.testing.assert_array_equal(hamming.distance(db[1], db), oracle.distances(db[1:2], db)[0])
    assert hamming.distance(db, db[:0]).shape == (20, 0)


def test_the_largest_codes(backend: str) -> None:
    """Codes wider than a tile, and distances past 16 bits."""
    db = np.zeros((3, 100_000), np.uint8)
    db[1] = 255
    db[2, ::2] = 1
    assert hamming.distance(db[0], db).tolist() == [0, 800_000, 50_000]
