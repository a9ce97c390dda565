"""The plain NumPy backend: obvious, slow, and always there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layout import NO_DISTANCE, NO_INDEX, BitOrder, RadiusResult, Rescored, TopK


@dataclass(frozen=True)
class ReferenceBackend:
    """NumPy only, one thread; see `hamming.backends.base.Backend` for the methods."""

    name: str = "reference"
    missing: str | None = None

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
        nan_rows = np.flatnonzero(np.isnan(values).any(axis=1)) if check_nan else np.array([])
        codes = np.packbits(values > thresholds, axis=1, bitorder=bitorder)
        return codes, int(nan_rows[0]) if nan_rows.size else -1

    def unpack(self, codes: np.ndarray, n_bits: int, *, bitorder: BitOrder) -> np.ndarray:
        return np.unpackbits(codes, axis=1, count=n_bits, bitorder=bitorder)

    def distance(
        self, query_codes: np.ndarray, db_codes: np.ndarray, *, threads: int
    ) -> np.ndarray:
        out = np.empty((len(query_codes), len(db_codes)), np.int32)
        for row, query in zip(out, query_codes, strict=True):
            np.bitwise_count(db_codes ^ query).sum(axis=1, dtype=np.int32, out=row)
        return out

    def topk(
        self,
        query_codes: np.ndarray,
        db_codes: np.ndarray,
        k: int,
        *,
        mask: np.ndarray | None,
        threads: int,
    ) -> TopK:
        distances = np.full((len(query_codes), k), NO_DISTANCE, np.int32)
        indices = np.full((len(query_codes), k), NO_INDEX, np.int64)
        rows = np.arange(len(db_codes)) if mask is None else np.flatnonzero(mask)
        for q, query in enumerate(query_codes):
            row = np.bitwise_count(db_codes[rows] ^ query).sum(axis=1, dtype=np.int32)
            order = np.argsort(row, kind="stable")[:k]
            distances[q, : len(order)] = row[order]
            indices[q, : len(order)] = rows[order]
        return TopK(distances, indices)

    def radius_search(
        self,
        query_codes: np.ndarray,
        db_codes: np.ndarray,
        radius: int,
        *,
        mask: np.ndarray | None,
        threads: int,
    ) -> RadiusResult:
        offsets = np.zeros(len(query_codes) + 1, np.int64)
        distances, indices = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for q, query in enumerate(query_codes):
            row = self.distance(query[None], db_codes, threads=1)[0]
            near = np.flatnonzero((row <= radius) if mask is None else (row <= radius) & mask)
            order = near[np.argsort(row[near], kind="stable")]
            distances.append(row[order])
            indices.append(order)
            offsets[q + 1] = offsets[q] + len(order)
        return RadiusResult(offsets, np.concatenate(distances), np.concatenate(indices))

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
        scores = np.full(candidates.shape, -np.inf, np.float32)
        for row, query, rows in zip(scores, queries.astype(np.float64), candidates, strict=True):
            real = rows != NO_INDEX
            bits = np.unpackbits(db_codes[rows[real]], axis=1, bitorder=bitorder)
            row[real] = (2.0 * bits - 1.0) @ query
        order = np.lexsort((candidates, -scores, candidates == NO_INDEX), axis=-1)[:, :k]
        return Rescored(
            np.take_along_axis(scores, order, axis=1),
            np.take_along_axis(candidates, order, axis=1),
        )


REFERENCE = ReferenceBackend()
