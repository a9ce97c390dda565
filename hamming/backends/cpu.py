"""The native CPU backends, one per instruction set of the compiled extension."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _core
from ..layout import BitOrder, RadiusResult, Rescored, TopK

# Tile: half of a common 32-48 KB L1, so that queries and histograms fit beside it. Block: candidate
# memory of one block of queries. Rows in place: each instruction set's own choice (rows_queries in
# csrc/cpu/isa_*.cpp). Threads: starting one took about 50 us where this was measured, in which one
# query compares 5e5 codes, so two pay from 2e6 codes on. Sample: below k = 64 the worst order costs
# less than twice a random one.
TUNING = _core.Tuning(
    tile_bytes=16 * 1024,
    buffer_extra=0,
    block_bytes=64 * 1024 * 1024,
    rows_queries=-1,
    work_per_thread=1_000_000,
    sampled_k=64,
)


@dataclass(frozen=True)
class CpuBackend:
    """One instruction set; see `hamming.backends.base.Backend` for the methods."""

    name: str
    missing: str | None
    tuning: _core.Tuning = TUNING

    def takes(self, device: str) -> bool:
        return device == "cpu"

    def pack(
        self,
        values: np.ndarray,
        thresholds: np.ndarray,
        *,
        element: str,
        bitorder: BitOrder,
        check_nan: bool,
        threads: int,
    ) -> tuple[np.ndarray, int]:
        return _core.pack(
            self.name, self.tuning, threads, values, thresholds, bitorder == "big", check_nan
        )

    def unpack(self, codes: np.ndarray, n_bits: int, *, bitorder: BitOrder) -> np.ndarray:
        return np.unpackbits(codes, axis=1, count=n_bits, bitorder=bitorder)

    def distance(
        self, query_codes: np.ndarray, db_codes: np.ndarray, *, threads: int
    ) -> np.ndarray:
        return _core.distance(self.name, self.tuning, threads, query_codes, db_codes)

    def topk(
        self,
        query_codes: np.ndarray,
        db_codes: np.ndarray,
        k: int,
        *,
        mask: np.ndarray | None,
        threads: int,
    ) -> TopK:
        return TopK(*_core.topk(self.name, self.tuning, threads, query_codes, db_codes, k, mask))

    def radius_search(
        self,
        query_codes: np.ndarray,
        db_codes: np.ndarray,
        radius: int,
        *,
        mask: np.ndarray | None,
        threads: int,
    ) -> RadiusResult:
        result = _core.radius_search(
            self.name, self.tuning, threads, query_codes, db_codes, radius, mask
        )
        return RadiusResult(*result)

    def rescore(
        self,
        queries: np.ndarray,
        db_codes: np.ndarray,
        candidates: np.ndarray,
        k: int,
        *,
        bitorder: BitOrder,
        threads: int,
    ) -> Rescored:
        big = bitorder == "big"
        return Rescored(
            *_core.rescore(self.name, self.tuning, threads, queries, db_codes, candidates, k, big)
        )


CPU_BACKENDS: tuple[CpuBackend, ...] = tuple(
    CpuBackend(name, None if supported else f"this CPU has no {name}")
    for name, supported in _core.isas()
)
