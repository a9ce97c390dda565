"""What cases run on: a GPU through CuPy, or the emulation of the tests for a dry run."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.rivals import CannotRunError
from hamming.backends.cuda import CudaBackend
from hamming.backends.cuda_device import CupyDevice, missing
from hamming.backends.cuda_plan import Facts, Tuning

from . import codes
from .codes import Order

Call = Callable[[], Any]


class Card:
    """A device, its arrays and its clock.

    Attributes:
        xp: the module of its arrays, CuPy or NumPy.
        facts: what plans depend on.
        dry: whether it is an emulation, whose times mean nothing.
        clock: what `elapsed` reads.
        torch_device: where torch has the same memory.
        banned: variants that have hung; nobody may start them again.
    """

    xp: Any
    facts: Facts
    dry: bool
    clock: str
    torch_device: str

    def __init__(self) -> None:
        self.banned: set[str] = set()
        self._kept: tuple[tuple[int, int, Order], Any] | None = None

    def backend(self, tuning: Tuning, capability: tuple[int, int] | None = None) -> CudaBackend:
        """Of these sizes; plans for a card of another capability, where one is given."""
        raise NotImplementedError

    def elapsed(self, call: Call) -> float:
        """Milliseconds of one call."""
        raise NotImplementedError

    def replayed(self, call: Call) -> Call:
        """The same work as a CUDA graph, captured now."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Waits for all that was started; raises what went wrong."""

    def free_bytes(self) -> int:
        """Memory that can be had."""
        raise NotImplementedError

    def release(self) -> None:
        """Gives back memory that nobody uses."""

    def get(self, array: Any) -> np.ndarray:
        """A copy in host memory."""
        raise NotImplementedError

    def database(self, n_bits: int, n_codes: int, order: Order = "random") -> Any:
        """`codes.database`; the last one is kept."""
        key = (n_bits, n_codes, order)
        if self._kept is None or self._kept[0] != key:
            self.forget()
            self._kept = key, codes.database(self.xp, *key)
        return self._kept[1]

    def keeps(self, n_bits: int, n_codes: int, order: Order = "random") -> bool:
        """Whether that is the kept database."""
        return self._kept is not None and self._kept[0] == (n_bits, n_codes, order)

    def forget(self) -> None:
        """Drops the kept database: two may not fit."""
        self._kept = None
        self.release()


@dataclass(frozen=True)
class Replay:
    """A captured call.

    Attributes:
        result: what it fills each time.
        pool: the memory that the graph works in.
    """

    graph: Any
    result: Any
    pool: Any

    def __call__(self) -> Any:
        self.graph.launch()
        return self.result


class GpuCard(Card):
    """The current GPU."""

    dry = False
    clock = "CUDA events"
    torch_device = "cuda"

    def __init__(self) -> None:
        super().__init__()
        import cupy

        self.xp = cupy
        self.facts = CupyDevice().facts

    def backend(self, tuning: Tuning, capability: tuple[int, int] | None = None) -> CudaBackend:
        return CudaBackend(make_device=lambda: _device(capability), tuning=tuning)

    def elapsed(self, call: Call) -> float:
        start, end = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, end))

    def replayed(self, call: Call) -> Call:
        cuda = self.xp.cuda
        stream, pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
        self.synchronize()
        with stream, cuda.using_allocator(pool.malloc):
            for _ in range(2):  # compiles, and leaves in the pool what the capture needs
                call()
            stream.synchronize()
            stream.begin_capture()
            try:
                result = call()
            except BaseException:
                with contextlib.suppress(Exception):  # the capture is lost, the error is not
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return Replay(graph, result, pool)

    def synchronize(self) -> None:
        self.xp.cuda.runtime.deviceSynchronize()

    def free_bytes(self) -> int:
        self.release()
        return int(self.xp.cuda.runtime.memGetInfo()[0])

    def release(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()

    def get(self, array: Any) -> np.ndarray:
        host: np.ndarray = self.xp.asnumpy(array)
        return host


def _device(capability: tuple[int, int] | None) -> CupyDevice:
    device = CupyDevice()
    if capability is not None:
        device.facts = replace(device.facts, capability=capability)
    return device


class EmulatedCard(Card):
    """Kernels on the CPU (tests/cuda/emulation), as if on a small Hopper."""

    xp = np
    dry = True
    clock = "host clock over an emulation"
    torch_device = "cpu"

    def __init__(self) -> None:
        super().__init__()
        from tests.cuda.device import HOPPER

        self.facts = HOPPER

    def backend(self, tuning: Tuning, capability: tuple[int, int] | None = None) -> CudaBackend:
        from tests.cuda.device import emulated

        return emulated(replace(self.facts, capability=capability or (9, 0)), tuning)

    def elapsed(self, call: Call) -> float:
        begin = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - begin)

    def free_bytes(self) -> int:
        return 2**40

    def get(self, array: Any) -> np.ndarray:
        return np.array(array)


def torch_module() -> Any:
    """Torch, for cases that are about it.

    Raises:
        CannotRunError: it is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise CannotRunError("torch is not installed")
    import torch

    return torch


def missing_gpu() -> str | None:
    """Why there is no card here, or None."""
    return missing()


def missing_compiler() -> str | None:
    """Why nothing can be compiled here, or None; CuPy calls NVRTC, which needs no card."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # whatever a broken installation raises
        return f"NVRTC does not load ({str(error).splitlines()[0]})"
    return None
