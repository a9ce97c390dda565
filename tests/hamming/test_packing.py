"""Values to codes and back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import hamming
from hamming import arrays

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64"]


def exactly_above(x: np.ndarray, threshold) -> np.ndarray:
    """`x > threshold` in exact arithmetic."""
    limits = np.broadcast_to(np.asarray(threshold, object), x.shape[-1:])

    def above(value, limit) -> bool:
        finite = np.isfinite(float(value)) and np.isfinite(float(limit))
        return Fraction(value) > Fraction(limit) if finite else bool(value > limit)

    rows = [
        [above(v, t) for v, t in zip(r, limits, strict=True)]
        for r in x.reshape(-1, len(limits)).tolist()
    ]
    return np.array(rows, bool).reshape(x.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_the_comparison_is_exact(backend: str, dtype: str, data: st.DataObject) -> None:
    shape = data.draw(npst.array_shapes(min_dims=1, max_dims=3, max_side=20))
    elements = {"allow_nan": False} if dtype.startswith("float") else {}
    x = data.draw(npst.arrays(dtype, shape, elements=elements))
    numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.integers(-3, 3)
    per_bit = st.lists(numbers, min_size=shape[-1], max_size=shape[-1])
    threshold = data.draw(numbers | per_bit.map(lambda t: [float(v) for v in t]))
    order = data.draw(st.sampled_from(["big", "little"]))
    codes = hamming.pack(x, threshold=threshold, bitorder=order)
    expected = np.packbits(exactly_above(x, threshold), axis=-1, bitorder=order)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, expected)


@given(n_bits=st.integers(1, 300), order=st.sampled_from(["big", "little"]))
def test_unpack_undoes_pack(backend: str, n_bits: int, order: str) -> None:
    bits = np.random.default_rng(n_bits).integers(0, 2, (4, n_bits), dtype=np.uint8)
    codes = hamming.pack(bits, bitorder=order)
    assert codes.shape == (4, -(-n_bits // 8))
    np.testing.assert_array_equal(hamming.unpack(codes, n_bits, bitorder=order), bits)
    assert hamming.unpack(codes, bitorder=order).shape == (4, 8 * codes.shape[1])


def test_rows_longer_than_a_chunk_and_many_threads(backend: str) -> None:
    x = np.random.default_rng(0).normal(size=(300, 1003)).astype(np.float32)
    np.testing.assert_array_equal(hamming.pack(x), np.packbits(x > 0, axis=1))
    np.testing.assert_array_equal(hamming.pack(x[::2, ::3]), np.packbits(x[::2, ::3] > 0, axis=1))


@pytest.mark.parametrize("dtype", [t for t in DTYPES if np.dtype(t).itemsize > 1])
def test_values_at_odd_addresses(backend: str, dtype: str) -> None:
    """A load of a misaligned value is undefined behaviour: they are copied first."""
    x = np.random.default_rng(0).integers(0, 100, (7, 21)).astype(dtype)
    odd = np.frombuffer(b"." + x.tobytes(), dtype, offset=1).reshape(x.shape)
    assert not odd.flags.aligned
    assert arrays.contiguous(odd).flags.aligned
    limits = np.frombuffer(b"." + x[0].tobytes(), dtype, offset=1)
    np.testing.assert_array_equal(
        hamming.pack(odd, threshold=limits), np.packbits(x > x[0], axis=1)
    )


def test_nan(backend: str) -> None:
    x = np.array([[1.0, 2.0], [3.0, np.nan]])
    with pytest.raises(ValueError, match=r"x: expected numbers, got NaN in row 1; remove it"):
        hamming.pack(x)
    np.testing.assert_array_equal(hamming.pack(x, check_finite=False), [[192], [128]])
    np.testing.assert_array_equal(hamming.pack(np.array([[np.inf, -np.inf]])), [[128]])


def test_thresholds_beyond_64_bits(backend: str) -> None:
    x = np.array([[2.0**70, 2.0**71, np.inf]])
    assert hamming.pack(x, threshold=2**70).tolist() == [[0b01100000]]
    assert hamming.pack(x, threshold=10**400).tolist() == [[0b00100000]]
    assert hamming.pack(x, threshold=-(10**400)).tolist() == [[0b11100000]]
    assert hamming.pack(np.array([[5]]), threshold=-(2**70)).tolist() == [[128]]


def test_no_rows(backend: str) -> None:
    assert hamming.pack(np.empty((0, 12))).shape == (0, 2)
    assert hamming.pack(np.empty((2, 0, 12), np.float32)).shape == (2, 0, 2)


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ">i4", ">u2"])
def test_bytes_in_the_other_order_are_the_same_numbers(dtype: str) -> None:
    values = np.arange(-8, 8).reshape(2, 8) * (dtype[1] != "u")
    expected = hamming.pack(values)
    np.testing.assert_array_equal(hamming.pack(values.astype(dtype)), expected)
