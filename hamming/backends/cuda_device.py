"""A GPU through CuPy: memory, kernels, and what is wrong with it in one sentence."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from .cuda_compile import architecture, cubin_path
from .cuda_plan import Facts, Kernel

_NO_DRIVER = {35: "no NVIDIA driver, or one older than this CuPy's CUDA", 100: "no NVIDIA GPU"}
_SMALL_SHARED = 48 * 1024  # bytes of shared memory that every kernel may have

_lock = threading.Lock()


@functools.cache
def missing() -> str | None:
    """Why this machine cannot search on a GPU, or None; imports CuPy where it is installed."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed; install hamming-kd[cuda12] or hamming-kd[cuda13]"
    try:
        import cupy

        refused: type[Exception] = cupy.cuda.runtime.CUDARuntimeError
    except Exception as error:  # whatever a broken installation raises
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"CuPy does not load ({words})"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except refused as error:
        return _NO_DRIVER.get(getattr(error, "status", 0), str(error))
    return None if count else _NO_DRIVER[100]


class CupyDevice:
    """The current device and stream; see `cuda_launch.Device`."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._id = int(cupy.cuda.Device().id)
        self.facts = facts(self._id)

    def empty(self, count: int, dtype: type[np.generic]) -> Any:
        return self._cupy.empty(count, dtype)

    def address(self, array: Any) -> int:
        return 0 if array is None else int(array.data.ptr)

    def launch(self, kernel: Kernel, grid: tuple[int, int], args: Sequence[Any]) -> None:
        function = _function(kernel, self._id)
        function(grid, (kernel.block,), tuple(args), shared_mem=kernel.shared)

    def read(self, array: Any) -> np.ndarray:
        host: np.ndarray = self._cupy.asnumpy(array)
        return host


@functools.cache
def facts(device: int) -> Facts:
    """What plans need to know of a device."""
    import cupy

    found = cupy.cuda.Device(device)
    number = str(found.compute_capability)
    capability = (int(number[:-1]), int(number[-1]))
    architecture(capability)  # refuses a device that is too old
    return Facts(capability, int(found.attributes["MultiProcessorCount"]))


def _function(kernel: Kernel, device: int) -> Any:
    """A kernel ready to be launched; one thread at a time compiles."""
    with _lock:
        return _loaded(kernel, device)


@functools.cache
def _loaded(kernel: Kernel, device: int) -> Any:
    import cupy

    path = cubin_path(kernel, architecture(facts(device).capability))
    function = cupy.RawModule(path=str(path)).get_function(kernel.entry)
    if kernel.shared > _SMALL_SHARED:
        function.max_dynamic_shared_size_bytes = kernel.shared
    return function
