"""Indexes whose order is hard to keep: many equal distances, ids out of order, codes removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import hamming
from tests.hamming import oracle

N_QUERIES, K = 100, 30
ODD_PATHS = ("", ".", "/", "a\0b", None, 5, b"x")
WIDTHS = pytest.mark.parametrize("n_bits", [1, 13, 64, 100, 256])


class Example(NamedTuple):
    """What is in an index, and what a search of it must give."""

    index: hamming.Index
    ids: np.ndarray
    codes: np.ndarray
    queries: np.ndarray  # (N_QUERIES, n_bytes)
    distances: np.ndarray  # (N_QUERIES, K)
    found: np.ndarray  # (N_QUERIES, K) ids


def example(n_bits: int, *, n_codes: int = 700, seed: int = 0) -> Example:
    rng = np.random.default_rng([seed, n_bits])
    few = random_codes(rng, 6, n_bits)
    few[0] |= np.packbits(np.arange(n_bits) == 0)  # the highest bit of the first word
    codes = few[rng.integers(0, len(few), n_codes)]
    ids = rng.permutation(10 * n_codes)[:n_codes].astype(np.int64)
    ids[::7] += 2**62
    index = hamming.Index(n_bits)
    index.add(codes[:100], ids[:100])
    index.add(codes[100:], ids[100:])
    gone = rng.permutation(n_codes)[: n_codes // 3]
    index.remove(ids[gone])
    kept = np.delete(np.arange(n_codes), gone)
    ids, codes = ids[kept], codes[kept]
    queries = np.concatenate([few, random_codes(rng, N_QUERIES - len(few), n_bits)])
    distances, rows = oracle.topk(queries, codes, K)
    return Example(index, ids, codes, queries, distances, ids[rows])


def random_codes(rng: np.random.Generator, n_codes: int, n_bits: int) -> np.ndarray:
    return np.packbits(rng.integers(0, 2, (n_codes, n_bits), dtype=np.uint8), axis=1)


def assert_takes_an_index(write: Callable[[Any], object]) -> None:
    for other in (np.zeros((2, 8), np.uint8), "codes", None, hamming.Index):
        kind = type(other).__name__
        message = rf"^index: expected a hamming.Index, got {kind}; wrap codes with hamming.Index"
        with pytest.raises(TypeError, match=message):
            write(other)


def assert_takes_a_path(use: Callable[[Any], object]) -> None:
    for path in ODD_PATHS:
        with pytest.raises((TypeError, ValueError), match=r"^path: expected .*, got .*; "):
            use(path)


def assert_holds(index: hamming.Index, ids: np.ndarray, codes: np.ndarray, n_bits: int) -> None:
    assert index.n_bits == n_bits
    np.testing.assert_array_equal(index.ids, ids)
    np.testing.assert_array_equal(index.codes, codes)
