"""What the machine could do at best: the bandwidth at which memory can be read."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .harness import Budget, measure

_ARRAY_BYTES = 256 * 1024 * 1024  # several times the last-level cache


def read_bandwidth(threads: int, *, n_bytes: int = _ARRAY_BYTES, seconds: float = 4) -> dict:
    """The best read bandwidth that any of several plain reductions reaches.

    Args:
        threads: how many threads read, each its own part.
        n_bytes: size of the array.
        seconds: time to measure for.

    Returns:
        The name of the best, its GB/s (1e9 bytes a second, fastest wall time), and all candidates'.
    """
    array = np.full(n_bytes // 8, 0x0101010101010101, np.int64)  # written, so each page is its own
    other = array.copy()
    with ThreadPoolExecutor(threads) as pool:
        parts = [*zip(np.array_split(array, threads), np.array_split(other, threads), strict=True)]

        def reader(read: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[int], object]:
            if threads == 1:
                return lambda _: read(array, other)
            return lambda _: list(pool.map(lambda part: read(*part), parts))

        calls = {name: reader(read) for name, read in _READERS.items()}
        timings = measure(calls, Budget(seconds, burst_seconds=0))
    rates = {
        name: n_bytes * (2 if name in _TWO_ARRAYS else 1) / min(timing.wall_ns)
        for name, timing in timings.items()
    }
    best = max(rates, key=rates.__getitem__)
    return {
        "best": best,
        "gb_per_s": rates[best],
        "candidates_gb_per_s": rates,
        "threads": threads,
        "array_bytes": n_bytes,
    }


# ctypes releases the GIL, so these run in parallel too.
_LIBC = ctypes.CDLL(None)
_LIBC.memchr.restype = ctypes.c_void_p
_LIBC.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_LIBC.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

# Each reads all of the first array and changes nothing; memchr looks for a byte that is not there.
_READERS: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
    "numpy max": lambda a, _: a.max(),
    "numpy sum": lambda a, _: a.sum(),
    "numpy bitwise_xor.reduce": lambda a, _: np.bitwise_xor.reduce(a),
    "libc memchr": lambda a, _: _LIBC.memchr(a.ctypes.data, 2, a.nbytes),
    "libc memcmp, two arrays": lambda a, b: _LIBC.memcmp(a.ctypes.data, b.ctypes.data, a.nbytes),
}
_TWO_ARRAYS = {"libc memcmp, two arrays"}
