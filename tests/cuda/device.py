"""A device that runs the kernels on the CPU, and backends over it for the property tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamming.backends.cuda import CudaBackend
from hamming.backends.cuda_plan import Facts, Kernel, Tuning
from tests.cuda.emulation.emulation import Emulator, guarded_empty

HOPPER = Facts((9, 0), 4)
AMPERE = Facts((8, 0), 3)
TURING = Facts((7, 5), 2)

# Everything happens on a few hundred codes: samples, several segments, floods, parts of queries.
SMALL = Tuning(
    workspace_bytes=40_000,
    hits_per_k=4,
    least_hits=16,
    sample_codes=64,
    growth=2,
    tie_chunks=3,
    blocks_per_sm=1,
    mma_queries=2,
    wgmma_queries=5,
    wgmma_words=1,
)


class EmulatedDevice:
    """Memory and kernels on the CPU; see `hamming.backends.cuda_launch.Device`."""

    def __init__(self, facts: Facts, seed: int = 0) -> None:
        self.facts = facts
        self.launched: list[str] = []
        self._emulator = Emulator(seed=seed, sanitize=True)

    def empty(self, count: int, dtype: type[np.generic]) -> np.ndarray:
        # Poisoned, and what is past its end must not be touched.
        return guarded_empty(count, dtype)

    def address(self, array: Any) -> int:
        return 0 if array is None else int(array.ctypes.data)

    def launch(self, kernel: Kernel, grid: tuple[int, int], args: Sequence[Any]) -> None:
        self.launched.append(kernel.entry)
        self._emulator.launch(
            kernel.file,
            kernel.entry,
            dict(kernel.defines),
            (*grid, 1),
            kernel.block,
            kernel.shared,
            args,
        )

    def read(self, array: np.ndarray) -> np.ndarray:
        return array.copy()


class EmulatedBackend(CudaBackend):
    """The GPU backend on host arrays."""

    @property
    def missing(self) -> str | None:
        return None

    def takes(self, device: str) -> bool:
        return device == "cpu"


def emulated(facts: Facts, tuning: Tuning = SMALL, seed: int = 0) -> EmulatedBackend:
    device = EmulatedDevice(facts, seed)
    return EmulatedBackend("emulated", lambda: device, tuning)
