"""Shards on a (stand-in) GPU: queries of either side, results where the queries are."""

from __future__ import annotations

import numpy as np
import pytest

from hamming import Index
from hamming.sharded import Shards
from tests.cuda.fake_cupy import FakeArray
from tests.cuda.test_arrays_on_a_gpu import DB, QUERIES, RNG, check, gpu, there  # noqa: F401
from tests.hamming import oracle

MASK = RNG.random(len(DB)) < 0.4


@pytest.fixture
def shards() -> Shards:
    parts = ((0, 50), (50, 50), (50, 300))
    return Shards([Index.from_codes(there(DB[a:b]), ids=np.arange(a, b)) for a, b in parts])


def test_queries_on_the_gpu_stay_there(shards: Shards) -> None:
    check(shards.topk(there(QUERIES), 60), oracle.topk(QUERIES, DB, 60))
    found = shards.topk(there(QUERIES), 60, filter=there(MASK))
    check(found, oracle.topk(QUERIES, DB, 60, MASK))
    check(shards.radius_search(there(QUERIES), 27), oracle.radius_search(QUERIES, DB, 27))


@pytest.mark.parametrize("filter", [MASK, np.flatnonzero(MASK)])
def test_queries_of_the_host_come_back(shards: Shards, filter: np.ndarray) -> None:
    found = shards.topk(QUERIES, 60, filter=filter)
    for got, wanted in zip(found, oracle.topk(QUERIES, DB, 60, MASK), strict=True):
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, wanted)
    found = shards.radius_search(QUERIES, 27, filter=filter)
    for got, wanted in zip(found, oracle.radius_search(QUERIES, DB, 27, MASK), strict=True):
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, wanted)


def test_ids_come_to_the_host(shards: Shards) -> None:
    assert not isinstance(shards.ids, FakeArray)
    np.testing.assert_array_equal(shards.ids, np.arange(300))
