"""Exact top-k and the merge of its per-shard lists."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hamming
from tests.hamming import oracle
from tests.hamming.strategies import WIDTHS, Problem, codes, ks, problems


def assert_topk(result: hamming.TopK, expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert result.distances.dtype == np.int32
    assert result.indices.dtype == np.int64
    np.testing.assert_array_equal(result.distances, expected[0])
    np.testing.assert_array_equal(result.indices, expected[1])


@given(problem=problems(), data=st.data())
def test_equals_the_oracle(backend: str, problem: Problem, data: st.DataObject) -> None:
    queries, db, mask, threads = problem
    k = data.draw(ks(len(db)))
    result = hamming.topk(queries, db, k, mask=mask, threads=threads)
    assert_topk(result, oracle.topk(queries, db, k, mask))


@cache
def width_problem(n_bytes: int) -> tuple[np.ndarray, ...]:
    """Queries some of which differ from a code in every bit: the largest sums there are."""
    rng = np.random.default_rng(n_bytes)
    db = codes(rng, 400 if n_bytes <= 2048 else 150, n_bytes, "random")
    queries = np.concatenate([db[:2], ~db[64:66], codes(rng, 1, n_bytes, "random")])
    mask = rng.random(len(db)) < 0.5
    ranking = oracle.topk(queries, db, len(db))
    return queries, db, mask, *ranking, *oracle.topk(queries, db, 9, mask)


@pytest.mark.parametrize("n_bytes", [*WIDTHS, 256, 1024, 1025, 2048, 8191, 8192, 8193])
def test_every_width(backend: str, n_bytes: int) -> None:
    queries, db, mask, distances, indices, *masked = width_problem(n_bytes)
    for k in (9, len(db)):
        assert_topk(hamming.topk(queries, db, k), (distances[:, :k], indices[:, :k]))
    assert_topk(hamming.topk(queries, db, 9, mask=mask), tuple(masked))
    for q in range(len(queries)):  # a query alone reads rows in place, at most widths
        one = slice(q, q + 1)
        assert_topk(hamming.topk(queries[one], db, 9), (distances[one, :9], indices[one, :9]))


@cache
def large_problem(kind: str, n_bytes: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n_bytes)
    db = codes(rng, 100_000, n_bytes, kind)
    queries = np.concatenate([codes(rng, 2, n_bytes, "random"), np.zeros((1, n_bytes), np.uint8)])
    mask = rng.random(len(db)) < 0.3
    ranking = oracle.topk(queries, db, 1000)
    return queries, db, mask, *ranking, *oracle.topk(queries, db, 100, mask)


@pytest.mark.parametrize("kind", ["random", "equal", "few", "hundred", "descending", "low_entropy"])
@pytest.mark.parametrize("n_bytes", [1, 8, 12, 32])
def test_large_databases(backend: str, kind: str, n_bytes: int) -> None:
    """100,000 codes reach many tiles, compactions and shards."""
    queries, db, mask, distances, indices, *masked = large_problem(kind, n_bytes)
    for k in (1, 10, 1000):
        for threads in (1, 3):
            result = hamming.topk(queries, db, k, threads=threads)
            assert_topk(result, (distances[:, :k], indices[:, :k]))
    assert_topk(hamming.topk(queries, db, 100, mask=mask, threads=2), tuple(masked))


@cache
def masked_problem(kind: str, n_bytes: int, share: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n_bytes)
    db = codes(rng, 100_000, n_bytes, kind)
    queries = np.concatenate([codes(rng, 1, n_bytes, "random"), np.zeros((1, n_bytes), np.uint8)])
    mask = rng.random(len(db)) < share
    return queries, db, mask, *oracle.topk(queries, db, 300, mask)


@pytest.mark.parametrize("kind", ["random", "equal", "hundred", "descending", "low_entropy"])
@pytest.mark.parametrize("n_bytes", [8, 17])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.9])
def test_masks(backend: str, kind: str, n_bytes: int, share: float) -> None:
    """At 0.001 most tiles hold nothing searchable, and k = 300 is more than all that is."""
    queries, db, mask, distances, indices = masked_problem(kind, n_bytes, share)
    for k in (10, 300):
        for threads in (1, 3):
            result = hamming.topk(queries, db, k, mask=mask, threads=threads)
            assert_topk(result, (distances[:, :k], indices[:, :k]))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_whole_ranking(backend: str, threads: int) -> None:
    rng = np.random.default_rng(0)
    db, queries = codes(rng, 20_000, 2, "random"), codes(rng, 5, 2, "random")
    expected = oracle.topk(queries, db, len(db))
    assert_topk(hamming.topk(queries, db, len(db), threads=threads), expected)


@pytest.mark.parametrize("n_bits", [1, 8, 63, 64, 65, 1000])
def test_any_n_bits(backend: str, n_bits: int) -> None:
    rng = np.random.default_rng(n_bits)
    bits = rng.integers(0, 2, (300, n_bits), dtype=np.uint8)
    db, queries = hamming.pack(bits), hamming.pack(bits[::50])
    assert_topk(hamming.topk(queries, db, 65), oracle.topk(queries, db, 65))


def test_ties_go_to_the_smaller_index(backend: str) -> None:
    db = np.zeros((1000, 8), np.uint8)
    result = hamming.topk(db[:6], db, 5, threads=3)
    np.testing.assert_array_equal(result.indices, np.tile(np.arange(5), (6, 1)))


def test_any_byte_but_zero_makes_a_code_searchable(backend: str) -> None:
    db = np.random.default_rng(0).integers(0, 256, (200, 8), np.uint8)
    mask = (np.arange(200) % 3 * 2).astype(np.uint8).view(bool)  # bytes 0, 2 and 4
    expected = oracle.topk(db[:3], db, 5, np.arange(200) % 3 > 0)
    assert_topk(hamming.topk(db[:3], db, 5, mask=mask), expected)


def test_one_query_gives_one_row(backend: str) -> None:
    db = np.arange(200, dtype=np.uint8).reshape(100, 2)
    result = hamming.topk(db[3], db, 4)
    assert result.distances.shape == result.indices.shape == (4,)
    assert result.indices[0] == 3


def test_padding_counts_as_distance(backend: str) -> None:
    result = hamming.topk(np.array([0b1], np.uint8), np.array([[0]], np.uint8), 1)
    assert result.distances[0] == 1


def test_strided_and_unaligned_inputs(backend: str) -> None:
    rng = np.random.default_rng(1)
    for n_bytes in (8, 16, 5):
        base = codes(rng, 800, n_bytes, "random")
        queries = np.asfortranarray(base[::100])
        db = base[::2]
        expected = oracle.topk(np.ascontiguousarray(queries), np.ascontiguousarray(db), 9)
        assert_topk(hamming.topk(queries, db, 9, mask=np.ones(800, bool)[::2]), expected)
        buffer = np.empty(db.size + 3, np.uint8)  # rows that start at an odd address
        unaligned = buffer[3:].reshape(db.shape)
        unaligned[:] = db
        assert_topk(hamming.topk(queries, unaligned, 9), expected)


def test_read_only_and_memory_mapped_databases(backend: str, tmp_path) -> None:
    db = codes(np.random.default_rng(2), 500, 8, "random")
    np.save(tmp_path / "codes.npy", db)
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    assert_topk(hamming.topk(db[:3], mapped, 7), oracle.topk(db[:3], db, 7))


def test_from_several_python_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(3)
    db, queries = codes(rng, 5000, 8, "random"), codes(rng, 16, 8, "random")
    expected = oracle.topk(queries, db, 20)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: hamming.topk(queries, db, 20, threads=2), range(16)):
            assert_topk(result, expected)


@given(problem=problems(max_codes=300), data=st.data())
def test_merging_shards_equals_one_search(problem: Problem, data: st.DataObject) -> None:
    queries, db, mask, _ = problem
    cuts = data.draw(st.lists(st.integers(1, len(db) - 1), max_size=4)) if len(db) > 1 else []
    bounds = [0, *sorted(set(cuts)), len(db)]
    k = data.draw(ks(len(db)))
    parts = []
    for begin, end in pairwise(bounds):
        part_mask = None if mask is None else mask[begin:end]
        part = hamming.topk(queries, db[begin:end], min(k, end - begin), mask=part_mask)
        parts.append(hamming.TopK(part[0], np.where(part[1] < 0, -1, part[1] + begin)))
    parts = data.draw(st.permutations(parts))
    assert_topk(hamming.merge_topk(parts, k), oracle.topk(queries, db, k, mask))
