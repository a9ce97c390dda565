"""Shards on a (stand-in) GPU: queries of either side, results where the queries are."""

from __future__ import annotations

import numpy as np
import pytest

from hamming import Index, arrays
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


@pytest.mark.parametrize("place", [there, np.asarray], ids=["on the GPU", "on the host"])
def test_candidates_are_rescored_where_the_queries_are(shards: Shards, place) -> None:
    values = np.random.default_rng(0).normal(size=(2, 8 * DB.shape[1])).astype(np.float32)
    ids = np.array([[3, 299, 60, -1], [49, 50, 51, 7]])
    scores = np.where(ids < 0, -np.inf, oracle.scores(values, DB, ids))
    found = shards.rescore(place(values), place(ids), 3)
    assert all(isinstance(x, FakeArray) == (place is there) for x in found)
    order = np.argsort(-scores, axis=1)[:, :3]
    np.testing.assert_array_equal(arrays.to_host(found.indices), np.take_along_axis(ids, order, 1))
    expected = np.take_along_axis(scores, order, 1)
    np.testing.assert_allclose(arrays.to_host(found.scores), expected, rtol=1e-5)


def test_ids_come_to_the_host(shards: Shards) -> None:
    assert not isinstance(shards.ids, FakeArray)
    np.testing.assert_array_equal(shards.ids, np.arange(300))
