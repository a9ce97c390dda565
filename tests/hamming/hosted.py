"""The GPU backend for tests that hold host arrays: they go there and their results come back."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamming.backends.cuda import CUDA


class HostedCuda:
    """Looks like a CPU backend, runs on the current GPU; see `hamming.backends.base.Backend`."""

    name = "cuda"

    @property
    def missing(self) -> str | None:
        return CUDA.missing

    def takes(self, device: str) -> bool:
        return device == "cpu"

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            there = [_there(x) for x in args]
            return _back(
                getattr(CUDA, method)(*there, **{k: _there(v) for k, v in options.items()})
            )

        return call

    def radius_search(self, *args: Any, **options: Any) -> Any:
        """Named, because `use_backend` looks for it."""
        return self.__getattr__("radius_search")(*args, **options)


def _there(x: Any) -> Any:
    import cupy

    return cupy.asarray(x) if isinstance(x, np.ndarray) else x


def _back(x: Any) -> Any:
    import cupy

    if isinstance(x, cupy.ndarray):
        return cupy.asnumpy(x)
    if isinstance(x, tuple):
        parts = [_back(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return x
