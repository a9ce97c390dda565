"""Packing and re-scoring on the emulated device, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hamming
from hamming.backends import cuda_values
from tests.cuda.device import SMALL, TURING, EmulatedDevice, emulated
from tests.hamming import oracle

BACKEND = emulated(TURING, SMALL, 1)
DTYPES = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float32", "float64"),
]


def values(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 256, (*shape, 8), np.uint8).view(np.uint64)[..., 0].astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bitorder", ["big", "little"])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(0, 9), n_bits=st.integers(1, 130))
def test_pack(dtype: str, bitorder: str, seed: int, n_rows: int, n_bits: int) -> None:
    x = values(np.random.default_rng(seed), dtype, (n_rows, n_bits))
    for threshold in (0, x[0] if n_rows else 1, -3.5, 10**30):
        if dtype == "bool" and not isinstance(threshold, int):
            continue
        with hamming.use_backend(BACKEND):
            found = hamming.pack(x, threshold=threshold, bitorder=bitorder)
        with hamming.use_backend("reference"):
            expected = hamming.pack(x, threshold=threshold, bitorder=bitorder)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("element", "exponent", "kept"), [("float16", 5, 10), ("bfloat16", 8, 7)])
def test_every_half(element: str, exponent: int, kept: int) -> None:
    """All 65536 of them against thresholds among them: NaN is above nothing."""
    bits = np.arange(65536, dtype=np.uint16).reshape(-1, 64)
    if element == "float16":
        floats = bits.view(np.float16).astype(np.float32)
    else:
        floats = (bits.astype(np.uint32) << 16).view(np.float32)
    device = EmulatedDevice(TURING)
    for threshold in (0.0, -0.0, 6e-8, -6e-8, 1.0, 65504.0, -np.inf, np.inf):
        codes = np.empty((len(bits), 8), np.uint8)
        thresholds = np.full(64, threshold, np.float32)
        has_nan = np.zeros(1, np.int32)
        cuda_values.pack(
            device, bits, element, thresholds, codes, big_endian_bits=True, has_nan=has_nan
        )
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(codes, np.packbits(floats > threshold, axis=1))
        assert has_nan[0] == 1


def test_nan_is_named_by_its_row() -> None:
    x = np.ones((5, 40), np.float32)
    x[3, 39] = np.nan
    with hamming.use_backend(BACKEND):
        with pytest.raises(ValueError, match=r"^x: expected numbers, got NaN in row 3; "):
            hamming.pack(x)
        assert hamming.pack(x, check_finite=False)[3].tolist() == [255, 255, 255, 255, 254]


@given(seed=st.integers(0, 2**32 - 1), n_bytes=st.integers(1, 20), big=st.booleans())
@settings(max_examples=10)
def test_unpack(seed: int, n_bytes: int, big: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (4, n_bytes), np.uint8)
    n_bits, order = int(rng.integers(8 * n_bytes - 7, 8 * n_bytes + 1)), "big" if big else "little"
    with hamming.use_backend(BACKEND):
        found = hamming.unpack(codes, n_bits, bitorder=order)
    np.testing.assert_array_equal(found, np.unpackbits(codes, axis=1, count=n_bits, bitorder=order))


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_bits=st.integers(1, 140),
    m=st.integers(1, 60) | st.sampled_from([2048, 2049, 5000]),
    big=st.booleans(),
)
def test_rescore(seed: int, n_bits: int, m: int, big: bool) -> None:
    rng = np.random.default_rng(seed)
    n_bytes, order = (n_bits + 7) // 8, "big" if big else "little"
    db = rng.integers(0, 256, (300, n_bytes), np.uint8)
    db[100:200] = db[:100]  # equal codes have equal scores
    queries = rng.standard_normal((3, n_bits)).astype(np.float32)
    rows = rng.integers(-1, 300, (3, m))
    k = int(rng.integers(1, m + 1))
    with hamming.use_backend(BACKEND):
        found = hamming.rescore(queries, db, rows, k, bitorder=order)
    exact = oracle.scores(queries, db, np.where(rows < 0, 0, rows), order)
    exact[rows < 0] = -np.inf
    best = -np.sort(-exact, axis=1)[:, :k]
    norms = np.abs(queries).sum(axis=1, dtype=np.float64)[:, None]
    real = np.isfinite(best)
    assert (np.isfinite(found.scores) == real).all()
    limits = np.broadcast_to(1e-5 * norms, real.shape)[real]
    assert (np.abs(found.scores[real] - best[real]) <= limits).all()  # -inf has no difference
    assert (found.indices[~real] == -1).all()
    for scores, indices in zip(*found, strict=True):
        order_found = np.lexsort((indices, -scores, indices < 0))
        np.testing.assert_array_equal(order_found, np.arange(k))
    for q in range(3):  # each is a candidate's own score, as often as it was offered
        offered = dict(zip(rows[q].tolist(), exact[q].tolist(), strict=True))
        for score, index in zip(found.scores[q].tolist(), found.indices[q].tolist(), strict=True):
            assert index == -1 or abs(offered[index] - score) <= 1e-5 * norms[q]


def test_rows_that_are_not_there_are_no_candidates() -> None:
    device = EmulatedDevice(TURING)
    db = np.full((2, 1), 255, np.uint8)
    scores, indices = np.empty((1, 3), np.float32), np.empty((1, 3), np.int64)
    candidates = np.array([[7, 1, -5]])
    query = np.ones((1, 8), np.float32)
    cuda_values.rescore(device, query, db, candidates, scores, indices, big_endian_bits=True)
    assert indices.tolist() == [[1, -1, -1]]
    assert scores.tolist() == [[8.0, -np.inf, -np.inf]]
