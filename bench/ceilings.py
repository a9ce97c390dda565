"""What the machine could do at best: read memory, and compare codes that lie in the nearest cache.

No exact search reads less than the whole database once, or compares fewer codes than there are, so
min(comparisons in L1, bandwidth * n_queries / bytes of a code) bounds its throughput.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .harness import Budget, measure
from .native import library

MEMORY_BYTES = 256 * 1024 * 1024  # several times the last-level cache
_TILE_BYTES = 16 * 1024  # a third to a half of an L1 cache


def read_bandwidth(threads: int, *, n_bytes: int = MEMORY_BYTES, seconds: float = 4) -> dict:
    """The best read bandwidth that any of several plain reductions reaches.

    Args:
        threads: how many threads read, each its own part.
        n_bytes: size of the array; a small one is read from a cache.
        seconds: time to measure for.

    Returns:
        The name of the best, its GB/s (1e9 bytes a second, fastest wall time), and all candidates'.
    """
    array = np.full(n_bytes // 8, 0x0101010101010101, np.int64)  # written, so each page is its own
    other = array.copy()
    readers = _readers(array.nbytes)
    with ThreadPoolExecutor(threads) as pool:
        parts = [*zip(np.array_split(array, threads), np.array_split(other, threads), strict=True)]

        def reader(read: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[int], object]:
            if threads == 1:
                return lambda _: read(array, other)
            return lambda _: list(pool.map(lambda part: read(*part), parts))

        calls = {name: reader(read) for name, (_, read) in readers.items()}
        timings = measure(calls, Budget(seconds, burst_seconds=0))
    rates = {
        name: array.nbytes * readers[name][0] / min(timing.wall_ns)
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

_Reader = Callable[[np.ndarray, np.ndarray], object]


def _readers(n_bytes: int) -> dict[str, tuple[int, _Reader]]:
    """By name: how many times a call reads an array of that size, and the call."""
    found: dict[str, tuple[int, _Reader]] = {
        "numpy max": (1, lambda a, _: a.max()),
        "numpy sum": (1, lambda a, _: a.sum()),
        "numpy bitwise_xor.reduce": (1, lambda a, _: np.bitwise_xor.reduce(a)),
        # For a byte that is not there.
        "libc memchr": (1, lambda a, _: _LIBC.memchr(a.ctypes.data, 2, a.nbytes)),
        "libc memcmp, two arrays": (
            2,
            lambda a, b: _LIBC.memcmp(a.ctypes.data, b.ctypes.data, a.nbytes),
        ),
    }
    loops = next(
        (lib for lib in map(library, ("avx512", "neon")) if not isinstance(lib, str)), None
    )
    if loops is not None:
        times = max(1, 64 * 1024**2 // n_bytes)  # in a cache, a call's own cost must not count
        found["C loop"] = (times, lambda a, _: loops.read_all(a.ctypes.data, a.size, times))
    return found


def popcount(backend: str, n_bits: int, *, threads: int = 1, seconds: float = 0.3) -> dict:
    """1e9 comparisons a second of the loop of ceilings.c, over codes in L1.

    Args:
        backend: of `hamming`; the loop uses the same instructions.
        n_bits: of a code; rounded up to 32, 64, or whole words of 64.
        threads: how many threads do so, each over its own codes.
        seconds: time to measure for.

    Returns:
        {"gcmp_per_s": ..., "instructions": ...}, or {"missing": why}.
    """
    loops = library(backend)
    width = 32 if n_bits <= 32 else -(-n_bits // 64) * 64
    if isinstance(loops, str):
        return {"missing": loops}
    if width > 1024:
        return {"missing": "not measured: the loop ends at 1024 bits"}
    step_bytes = 8 * loops.vector_bytes() * max(1, width // 64)
    n_steps = max(1, _TILE_BYTES // step_bytes)
    n_queries = 2048  # neither a call nor waking a thread must count
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 2**63, (n_queries, max(1, width // 64)), np.uint64)
    tiles = [_aligned(rng.bytes(n_steps * step_bytes)) for _ in range(threads)]

    def sweep(tile: np.ndarray) -> int:
        # No code is nearer than 0: the branch is never taken, as in a search that has its k.
        return loops.scan(tile.ctypes.data, n_steps, width, queries.ctypes.data, n_queries, 0)

    with ThreadPoolExecutor(threads) as pool:
        calls = {"loop": lambda _: list(pool.map(sweep, tiles)) if threads > 1 else sweep(tiles[0])}
        budget = Budget(seconds, max_rounds=100, burst_seconds=0.005)
        fastest = min(measure(calls, budget)["loop"].wall_ns)
    codes = threads * n_steps * step_bytes * 8 // width
    return {
        "gcmp_per_s": codes * n_queries / fastest,
        "instructions": loops.instructions().decode(),
    }


def _aligned(data: bytes) -> np.ndarray:
    """A copy that begins at a multiple of 64 bytes."""
    buffer = np.empty(len(data) + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    buffer[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return buffer[start : start + len(data)]


class Ceilings:
    """The ceilings of one run, each measured once, when it is first asked for."""

    def __init__(self, threads: int, *, seconds: float) -> None:
        self._threads, self._seconds = threads, seconds
        self._read: dict[int, dict] = {}
        self._popcount: dict[str, dict] = {}

    def read(self, n_bytes: int, *, again: bool = False) -> dict:
        """`read_bandwidth` of that much memory, or of main memory; a second time can only help."""
        size = min(n_bytes, MEMORY_BYTES)
        if again or size not in self._read:
            seconds = self._seconds * (1 if size == MEMORY_BYTES else 0.1)
            found = read_bandwidth(self._threads, n_bytes=size, seconds=seconds)
            known = self._read.get(size, found)
            self._read[size] = max(found, known, key=lambda rate: rate["gb_per_s"])
        return self._read[size]

    def popcount(self, backend: str, n_bits: int) -> dict:
        key = f"{backend}, {n_bits} bits"
        if key not in self._popcount:
            seconds = 0.1 * self._seconds
            self._popcount[key] = popcount(backend, n_bits, threads=self._threads, seconds=seconds)
        return self._popcount[key]

    def of_scan(
        self, backend: str, n_bits: int, n_codes: int, n_queries: int
    ) -> dict[str, float | str | None]:
        """The least of both for a search that compares every query with every code.

        Returns:
            {"rate": 1e9 comparisons a second, "bound": "popcount" or "memory"}, with None for the
            rate and the reason where the comparisons could not be measured.
        """
        n_bytes = -(-n_bits // 8)
        memory = self.read(n_codes * n_bytes)["gb_per_s"] * n_queries / n_bytes
        compare = self.popcount(backend, n_bits)
        if "missing" in compare:
            return {"rate": None, "bound": compare["missing"]}
        if memory < compare["gcmp_per_s"]:
            return {"rate": memory, "bound": "memory"}
        return {"rate": compare["gcmp_per_s"], "bound": "popcount"}

    def record(self) -> dict:
        """Everything that was measured, for a result file."""
        return {
            "read": self.read(MEMORY_BYTES),
            "read_gb_per_s": {str(size): r["gb_per_s"] for size, r in sorted(self._read.items())},
            "popcount": self._popcount,
        }
