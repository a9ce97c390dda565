"""A stand-in for CuPy over host memory: its arrays are not NumPy's, and say they lie on cuda:0.

It has what `hamming` uses of CuPy and nothing else, so that the paths of arrays on a GPU run where
there is none. What it cannot show is CuPy itself: tests/cuda/test_gpu.py does that on a GPU.
"""

from __future__ import annotations

import contextlib
import types
from typing import Any

import numpy as np


class FakeArray:
    """A NumPy array that hides."""

    def __init__(self, array: Any) -> None:
        self.hidden = np.asarray(array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0  # kDLCUDA

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("memory of a GPU")

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __len__(self) -> int:
        return len(self.hidden)

    def __getitem__(self, key: Any) -> Any:
        return wrapped(self.hidden[unwrapped(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.hidden[unwrapped(key)] = unwrapped(value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.hidden, name)
        if name in ("ctypes", "dtype", "shape", "ndim", "size", "nbytes"):
            return found
        return calling(found) if callable(found) else wrapped(found)


def _operator(name: str) -> Any:
    def apply(self: FakeArray, *other: Any) -> Any:
        return wrapped(getattr(self.hidden, name)(*unwrapped(other)))

    return apply


_OPERATORS = "gt ge lt le eq ne and or ior invert neg lshift add sub mul radd"
for _name in _OPERATORS.split():
    setattr(FakeArray, f"__{_name}__", _operator(f"__{_name}__"))


def wrapped(x: Any) -> Any:
    return FakeArray(x) if isinstance(x, np.ndarray) else x


def unwrapped(x: Any) -> Any:
    if isinstance(x, FakeArray):
        return x.hidden
    if isinstance(x, (tuple, list)):
        return type(x)(unwrapped(part) for part in x)
    return x


def calling(function: Any) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        values = {name: unwrapped(value) for name, value in options.items()}
        return wrapped(function(*unwrapped(args), **values))

    return call


def module() -> types.ModuleType:
    """What `import cupy` gives."""
    fake = types.ModuleType("cupy")
    fake.ndarray = FakeArray  # type: ignore[attr-defined]
    names = ("ascontiguousarray", "asarray", "full", "zeros", "empty", "where", "nextafter")
    names += ("concatenate", "argsort", "take_along_axis", "arange", "clip", "cumsum", "maximum")
    names += (
        "minimum",
        "searchsorted",
        "sort",
        "unique",
        "count_nonzero",
        "einsum",
        "isfinite",
        "zeros_like",
    )
    for name in names:
        setattr(fake, name, calling(getattr(np, name)))
    fake.asnumpy = unwrapped  # type: ignore[attr-defined]
    fake.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        Device=lambda index: contextlib.nullcontext(index),
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 1),
        get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: None),
    )
    return fake
