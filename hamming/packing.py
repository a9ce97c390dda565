"""Values to packed codes and back."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from . import arrays, checks
from .dispatch import choose
from .layout import BitOrder


def pack(
    x: Any, *, threshold: Any = 0, bitorder: BitOrder = "big", check_finite: bool | None = None
) -> Any:
    """Packs values to codes: bit = `x > threshold`.

    The comparison is exact whatever the dtype of `x`: the threshold is rounded towards the values
    it separates, never the values. On the host half and bfloat16 are widened to float32 first,
    strided arrays copied; beside those and the result a call holds a few bytes a threshold.

    Args:
        x: `(..., n_bits)` bool, integer, float16, bfloat16, float32 or float64; gradients are
            ignored.
        threshold: a number, or `(n_bits,)` one per bit, which may lie on the GPU of a float `x`.
        bitorder: "big" puts the first bit highest in its byte (`numpy.packbits`), "little" lowest.
        check_finite: whether a NaN raises; None = True on host arrays and False on a GPU,
            which would have to be waited for. Unchecked, NaN packs as 0.

    Returns:
        `(..., ceil(n_bits / 8)) uint8`, padding bits zero, of the kind of `x`.

    Raises:
        TypeError: `x` is no array or of another dtype.
        ValueError: no bits, a wrong threshold, or a NaN.

    Example:
        >>> pack(np.array([[0.5, -1.0, 2.0, 0.0]]))
        array([[160]], dtype=uint8)
    """
    device = arrays.device_of(x, "x")
    backend = choose(device)
    order, checked = checks.bit_order(bitorder), checks.finite_flag(check_finite)
    with arrays.placed(x, "x"):
        values, kind = arrays.view(x, "x")
        element = arrays.element(x, values)
        checks.packable(values)
        n_bits = values.shape[-1]
        compared = np.dtype(np.float32 if element.endswith("float16") else values.dtype)
        native, always = _thresholds(threshold, n_bits, compared, device)
        codes, nan_row = backend.pack(
            arrays.contiguous(values.reshape(-1, n_bits)).view(
                np.uint8 if values.dtype.kind == "b" else values.dtype
            ),
            _where(values, native),
            element=element,
            bitorder=order,
            check_nan=compared.kind == "f" and (device == "cpu" if checked is None else checked),
            threads=checks.thread_count(None),
        )
        if nan_row >= 0:
            raise ValueError(
                f"x: expected numbers, got NaN in row {nan_row}; "
                "remove it, or pass check_finite=False to pack NaN as 0"
            )
        if always is not None:
            codes |= arrays.module(values).asarray(np.packbits(always, bitorder=order))
        return arrays.like(kind, codes.reshape(*values.shape[:-1], codes.shape[1]))


def unpack(codes: Any, n_bits: int | None = None, *, bitorder: BitOrder = "big") -> Any:
    """Unpacks codes to one 0/1 byte per bit.

    Args:
        codes: `(..., n_bytes) uint8`.
        n_bits: bits of a code; None = all `8 * n_bytes`.
        bitorder: as given to `pack`.

    Returns:
        `(..., n_bits) uint8` of zeros and ones, of the kind of `codes`.

    Raises:
        TypeError: `codes` is no array or not uint8.
        ValueError: `n_bits` does not fit.

    Example:
        >>> unpack(np.array([160], np.uint8), 4)
        array([1, 0, 1, 0], dtype=uint8)
    """
    backend = choose(arrays.device_of(codes, "codes"))
    order = checks.bit_order(bitorder)
    with arrays.placed(codes, "codes"):
        array, kind = arrays.view(codes, "codes")
        checks.code_dtype(array, "codes")
        if array.ndim == 0 or array.shape[-1] == 0:
            raise ValueError(
                f"codes: expected shape (..., n_bytes), n_bytes at least 1, got "
                f"{checks.shape_text(array)}; pass an array of codes"
            )
        count = checks.unpack_bits(n_bits, array.shape[-1])
        rows = arrays.contiguous(array.reshape(-1, array.shape[-1]))
        bits = backend.unpack(rows, count, bitorder=order)
        return arrays.like(kind, bits.reshape(*array.shape[:-1], count))


def threshold_array(threshold: Any, n_bits: int) -> np.ndarray:
    """`threshold` in host memory as `(n_bits,)`, checked, in its own dtype."""
    if isinstance(threshold, (bool, int, float, list, tuple, np.generic)):
        try:
            array = np.asarray(_small(threshold))
        except ValueError:
            raise ValueError(
                "threshold: expected a number or (n_bits,) numbers, got a ragged list; "
                "give one threshold per bit"
            ) from None
    else:
        arrays.common_device({"threshold": threshold})
        array = arrays.host(threshold, "threshold").array
    checks.pack_threshold(array, n_bits)
    return np.broadcast_to(array, (n_bits,))


def _small(threshold: Any) -> Any:
    """An int beyond 64 bits as the largest float64 not above it: no value lies between the two."""
    if not isinstance(threshold, int) or abs(threshold) < 2**63:
        return threshold
    try:
        near = float(threshold)
    except OverflowError:
        return sys.float_info.max if threshold > 0 else -math.inf
    return near if int(near) <= threshold else math.nextafter(near, -math.inf)


def _thresholds(
    threshold: Any, n_bits: int, compared: np.dtype, device: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Thresholds of the values' dtype whose `>` gives the exact comparison of the originals.

    Beside them, where a threshold lies below all that an integer dtype can say: which bits are set
    whatever the value.
    """
    if device != "cpu" and arrays.lies_on(threshold, "threshold", device):
        return _on_device(threshold, n_bits, compared), None
    limits = threshold_array(threshold, n_bits)
    if compared.kind == "f":
        # The largest float not above the threshold separates the same floats. Long double holds
        # every float64 and every int64, so the test for "above" is exact.
        with np.errstate(over="ignore"):
            native = limits.astype(compared)
            too_high = native.astype(np.longdouble) > limits.astype(np.longdouble)
            below = np.nextafter(native, -np.inf, dtype=compared)
        return np.ascontiguousarray(np.where(too_high, below, native)), None
    # Integers: x > t is x > floor(t).
    info = np.iinfo(np.uint8 if compared.kind == "b" else compared)
    floors = [_floor(limit, info.min - 1, info.max) for limit in limits.tolist()]
    native = np.array([max(floor, info.min) for floor in floors], info.dtype)
    always = np.array([floor < info.min for floor in floors])
    return native, always if always.any() else None


def _where(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Thresholds where the values are; one for all bits is written there, not copied.

    A copy from the host is refused while a CUDA graph is captured, and slow otherwise.
    """
    xp = arrays.module(values)
    if xp is np or not isinstance(thresholds, np.ndarray):
        return thresholds
    same = bool((thresholds == thresholds[0]).all())
    there: np.ndarray = (
        xp.full(len(thresholds), thresholds[0], thresholds.dtype)
        if same
        else xp.asarray(thresholds)
    )
    return there


def _on_device(threshold: Any, n_bits: int, compared: np.dtype) -> np.ndarray:
    """Thresholds that lie on a GPU, for float values there: exact for floats up to 64 bits."""
    limits = arrays.view(threshold, "threshold").array
    checks.device_threshold(limits, n_bits, compared)
    xp = arrays.module(limits)
    wide = limits.astype(np.float64)
    native = wide.astype(compared)
    too_high = native.astype(np.float64) > wide
    rounded: np.ndarray = xp.where(too_high, xp.nextafter(native, compared.type(-np.inf)), native)
    return rounded


def _floor(limit: float | int, least: int, most: int) -> int:
    """floor(limit) within [least, most]; infinities included."""
    if limit >= most:
        return most
    return max(least, int(limit // 1)) if limit > least else least
