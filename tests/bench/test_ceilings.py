"""The ceilings' loops do the work they are named for; no time is asserted."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import hamming
from bench import ceilings, native
from bench.ceilings import Ceilings

NATIVE = [name for name in hamming.backends() if name not in ("cuda", "reference")]


def loops(backend: str) -> ctypes.CDLL:
    found = native.library(backend)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def steps_near(backend: str, tile: np.ndarray, n_bits: int, query: np.ndarray, limit: int) -> int:
    lib = loops(backend)
    n_steps = tile.nbytes // (8 * lib.vector_bytes() * max(1, n_bits // 64))
    return lib.scan(tile.ctypes.data, n_steps, n_bits, query.ctypes.data, 1, limit)


@pytest.mark.parametrize("n_bits", [32, 64, 128, 192, 768, 1024])
@pytest.mark.parametrize("backend", NATIVE)
def test_the_loop_finds_exactly_the_near_codes(backend: str, n_bits: int) -> None:
    """Vectors hold a word of several codes; the next vector the same codes' next word."""
    width, words = (4, 1) if n_bits == 32 else (8, n_bits // 64)
    lanes = loops(backend).vector_bytes() // width
    n_steps = 3
    rng = np.random.default_rng(n_bits)
    codes = rng.integers(0, 2**63, (n_steps, 8, words, lanes), np.uint64).astype(f"u{width}")
    query = rng.integers(0, 2**63, words, np.uint64).astype(f"u{width}")
    distances = np.bitwise_count(codes ^ query[:, None]).sum(axis=2, dtype=int)
    least = distances.min(axis=(1, 2))
    tile = ceilings._aligned(codes.tobytes())
    padded = np.zeros(8, np.uint8) if width == 4 else query
    padded.view(query.dtype)[: len(query)] = query
    padded.view(query.dtype)[-len(query) :] = query  # 32 bits: in both halves of the word
    for limit in (0, int(least.min()), int(least.min()) + 1, int(least.max()) + 1, n_bits + 1):
        expected = int((least < limit).sum())
        assert steps_near(backend, tile, n_bits, padded, limit) == expected


def test_reading_reads_everything() -> None:
    lib = loops(NATIVE[-1])
    words = np.random.default_rng(0).integers(0, 2**63, 1001, np.uint64)
    assert lib.read_all(words.ctypes.data, words.size, 3) == np.bitwise_xor.reduce(words)


def test_every_backend_has_the_loop_of_its_own_instructions() -> None:
    found = {backend: loops(backend).instructions().decode() for backend in NATIVE}
    assert len(set(found.values())) == len(NATIVE)
    assert native.library("reference") == "not measured: no loop like the backend reference"


def test_rates_or_the_reason_for_none() -> None:
    found = ceilings.popcount(NATIVE[-1], 60, seconds=0.001)
    assert found["gcmp_per_s"] > 0
    assert "ends at 1024 bits" in ceilings.popcount(NATIVE[-1], 1025)["missing"]


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    native.library.cache_clear()
    try:
        assert ceilings.popcount(NATIVE[-1], 64) == {"missing": "not measured: no C compiler"}
        assert "C loop" not in ceilings._readers(8)
    finally:
        native.library.cache_clear()


@pytest.mark.parametrize("threads", [1, 2])
def test_read_bandwidth_names_its_best(threads: int) -> None:
    found = ceilings.read_bandwidth(threads, n_bytes=64_000, seconds=0.001)
    assert found["gb_per_s"] == max(found["candidates_gb_per_s"].values()) > 0


def chosen(memory: float, compare: float | None) -> Ceilings:
    """Ceilings with figures of our own."""
    found = Ceilings(1, seconds=0.001)
    found._read = {8000: {"gb_per_s": memory}}
    found._popcount = {
        "avx2, 64 bits": {"missing": "no"} if compare is None else {"gcmp_per_s": compare}
    }
    return found


def test_the_lesser_ceiling_counts() -> None:
    """16 GB/s are 2e9 codes of 8 bytes a second, each compared with every query of the batch."""
    assert chosen(16, 5).of_scan("avx2", 64, 1000, 1) == {"rate": 2.0, "bound": "memory"}
    assert chosen(16, 5).of_scan("avx2", 64, 1000, 2) == {"rate": 4.0, "bound": "memory"}
    assert chosen(16, 5).of_scan("avx2", 64, 1000, 3) == {"rate": 5, "bound": "popcount"}
    assert chosen(16, None).of_scan("avx2", 64, 1000, 1) == {"rate": None, "bound": "no"}
