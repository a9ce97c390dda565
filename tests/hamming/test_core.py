"""The compiled module takes no array that it would have to copy: a copy may be gone too soon."""

from __future__ import annotations

import numpy as np
import pytest

from hamming import _core
from hamming.backends.cpu import TUNING

ISA = next(name for name, supported in _core.isas() if supported)
CODES = np.zeros((4, 8), np.uint8)
VALUES = np.zeros((4, 64), np.float32)


@pytest.mark.parametrize(
    "mask", [np.zeros(8, bool)[::2], np.zeros(4, np.uint8), [True, False, True, True]]
)
def test_a_mask_is_bools_in_a_row(mask: object) -> None:
    for search in (_core.topk, _core.radius_search):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            search(ISA, TUNING, 1, CODES, CODES, 1, mask)
    with pytest.raises(ValueError, match=r"^mask: expected one bool per code"):
        _core.topk(ISA, TUNING, 1, CODES, CODES, 1, np.zeros(3, bool))


@pytest.mark.parametrize("codes", [CODES[:, ::2], CODES.astype(bool), CODES.astype(np.int8)])
def test_codes_are_bytes_in_a_row(codes: np.ndarray) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _core.distance(ISA, TUNING, 1, codes, CODES)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _core.topk(ISA, TUNING, 1, CODES, codes, 1, None)


def test_candidates_are_int64() -> None:
    candidates = np.zeros((4, 2), np.int32)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _core.rescore(ISA, TUNING, 1, VALUES, CODES, candidates, 1, True)


@pytest.mark.parametrize("dtype", ["float16", "V3", "complex64", "float128"])
def test_values_have_a_kernel(dtype: str) -> None:
    values = np.zeros((2, 8), dtype)
    with pytest.raises(ValueError, match=r"^values: expected integers, float32 or float64"):
        _core.pack(ISA, TUNING, 1, values, values[0], True, False)
