"""What every sequence of launches needs: a device, arguments, and lists that are sorted on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .cuda_plan import SORT_TILE, Facts, Kernel

# Its twin is the struct of csrc/cuda/sort.cu; pointers are addresses.
LISTS = np.dtype(
    [
        *((name, np.uint64) for name in ("keys", "spare", "starts", "counts")),
        ("n_lists", np.int64),
    ],
    align=True,
)


class Device(Protocol):
    """Where kernels run: a GPU through CuPy, or the tests' emulation."""

    @property
    def facts(self) -> Facts:
        """What plans depend on."""

    def empty(self, count: int, dtype: type[np.generic]) -> Any:
        """Uninitialised memory, as an array that keeps it alive."""

    def address(self, array: Any) -> int:
        """Where an array lies; 0 for None."""

    def launch(self, kernel: Kernel, grid: tuple[int, int], args: Sequence[Any]) -> None:
        """Starts a kernel. Arguments: arrays, and NumPy scalars of exactly the parameter's type."""

    def read(self, array: Any) -> np.ndarray:
        """A copy in host memory; waits for what was started."""


def record_of(dtype: np.dtype, fields: dict[str, int] | None = None, **more: int) -> np.void:
    """A struct that a kernel takes by value."""
    record: np.void = np.zeros(1, dtype)[0]
    for name, value in {**(fields or {}), **more}.items():
        record[name] = value
    return record


def int64(*values: int) -> list[np.int64]:
    """Kernel arguments."""
    return [np.int64(value) for value in values]


def sort(device: Device, lists: np.void, longest: int) -> None:
    """Sorts lists of up to `longest` keys each; see csrc/cuda/sort.cu."""
    over_lists(device, "sort_tiles", lists, longest, [], items=SORT_TILE)
    run, merges = SORT_TILE, 0
    while run < longest:
        over_lists(device, "merge_runs", lists, longest, [np.int64(run), np.int32(merges)])
        run, merges = 2 * run, merges + 1


def over_lists(
    device: Device,
    entry: str,
    lists: np.void,
    longest: int,
    args: Sequence[Any],
    *,
    items: int = 256,
) -> None:
    """A kernel of sort.cu whose blocks take `items` places of one list each."""
    # A grid has less than 2**31 blocks, and more than some thousand of a list's have no work.
    most = min(4096, (2**31 - 1) // int(lists["n_lists"]))
    blocks = max(1, min(-(-longest // items), most))
    device.launch(Kernel("sort.cu", entry), (blocks * int(lists["n_lists"]), 1), [lists, *args])
