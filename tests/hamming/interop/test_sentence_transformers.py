from __future__ import annotations

import sys

import numpy as np
import pytest

from hamming.interop import sentence_transformers as st

EMBEDDINGS = np.random.default_rng(0).standard_normal((50, 96)).astype(np.float32)
# What quantize_embeddings does for precision "ubinary" and "binary".
UBINARY = np.packbits(EMBEDDINGS > 0).reshape(50, -1)
BINARY = (UBINARY.astype(np.int64) - 128).astype(np.int8)


def test_both_ways() -> None:
    np.testing.assert_array_equal(st.from_binary(BINARY), UBINARY)
    np.testing.assert_array_equal(st.to_binary(UBINARY), BINARY)


def test_every_value_and_one_code() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(st.to_binary(every), np.arange(-128, 128))
    np.testing.assert_array_equal(st.from_binary(st.to_binary(every)), every)


def test_strided_and_read_only_stay_as_they_are() -> None:
    given = BINARY[::2, ::-1]
    given.flags.writeable = False
    np.testing.assert_array_equal(st.from_binary(given), UBINARY[::2, ::-1])
    np.testing.assert_array_equal(given, BINARY[::2, ::-1])


def test_torch_stays_torch() -> None:
    torch = pytest.importorskip("torch")
    codes = st.from_binary(torch.from_numpy(BINARY))
    assert codes.dtype == torch.uint8
    np.testing.assert_array_equal(codes.numpy(), UBINARY)
    assert st.to_binary(codes).equal(torch.from_numpy(BINARY))


def test_what_is_no_such_array() -> None:
    with pytest.raises(
        TypeError, match=r"^embeddings: expected int8 .*, got dtype float32; .*pack"
    ):
        st.from_binary(EMBEDDINGS)
    with pytest.raises(TypeError, match=r"^embeddings: expected a NumPy array.* got list"):
        st.from_binary([1, 2])
    with pytest.raises(TypeError, match=r"^codes: .* got dtype int8; .*from_binary"):
        st.to_binary(BINARY)
    assert "sentence_transformers" not in sys.modules
