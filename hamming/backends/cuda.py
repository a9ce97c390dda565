"""The GPU backend: the kernels of csrc/cuda through CuPy, or through the emulation of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layout import BitOrder, RadiusResult, Rescored, TopK, bytes_for
from . import cuda_device, cuda_values
from .cuda_launch import Device
from .cuda_plan import TUNING, Tuning
from .cuda_search import Searcher


@dataclass(frozen=True)
class CudaBackend:
    """See `hamming.backends.base.Backend` for the methods; arrays lie where the device's do.

    Attributes:
        make_device: the device that calls on this thread are for.
    """

    name: str = "cuda"
    make_device: Callable[[], Device] = cuda_device.CupyDevice
    tuning: Tuning = TUNING

    @property
    def missing(self) -> str | None:
        return cuda_device.missing()

    def takes(self, device: str) -> bool:
        return device.startswith("cuda")

    def pack(
        self,
        values: Any,
        thresholds: Any,
        *,
        element: str,
        bitorder: BitOrder,
        check_nan: bool,
        threads: int,
    ) -> tuple[Any, int]:
        device = self.make_device()
        n_rows, n_bits = values.shape
        codes = _empty(device, (n_rows, bytes_for(n_bits)), np.uint8)
        has_nan = device.empty(1, np.int32) if check_nan else None
        if has_nan is not None:
            has_nan[:] = 0
        if n_rows:
            cuda_values.pack(
                device,
                values,
                element,
                thresholds,
                codes,
                big_endian_bits=bitorder == "big",
                has_nan=has_nan,
            )
        if has_nan is None or device.read(has_nan)[0] == 0:
            return codes, -1
        host = device.read(values)
        if element == "bfloat16":
            host = (host.astype(np.uint32) << 16).view(np.float32)
        return codes, int(np.argmax(np.isnan(host).any(axis=1)))

    def unpack(self, codes: Any, n_bits: int, *, bitorder: BitOrder) -> Any:
        device = self.make_device()
        bits = _empty(device, (codes.shape[0], n_bits), np.uint8)
        if len(codes):
            cuda_values.unpack(device, codes, bits, big_endian_bits=bitorder == "big")
        return bits

    def distance(self, query_codes: Any, db_codes: Any, *, threads: int) -> Any:
        device = self.make_device()
        out = _empty(device, (len(query_codes), len(db_codes)), np.int32)
        if out.size:
            Searcher(device, db_codes, None, self.tuning).distance(query_codes, out)
        return out

    def topk(
        self,
        query_codes: Any,
        db_codes: Any,
        k: int,
        *,
        mask: Any,
        threads: int,
    ) -> TopK:
        device = self.make_device()
        distances = _empty(device, (len(query_codes), k), np.int32)
        indices = _empty(device, (len(query_codes), k), np.int64)
        if len(query_codes):
            searcher = Searcher(device, db_codes, mask, self.tuning)
            searcher.topk(query_codes, k, distances, indices)
        return TopK(distances, indices)

    def radius_search(
        self,
        query_codes: Any,
        db_codes: Any,
        radius: int,
        *,
        mask: Any,
        threads: int,
    ) -> RadiusResult:
        device = self.make_device()
        if len(query_codes) == 0 or len(db_codes) == 0:
            offsets = device.empty(len(query_codes) + 1, np.int64)
            offsets[:] = 0
            return RadiusResult(offsets, device.empty(0, np.int32), device.empty(0, np.int64))
        searcher = Searcher(device, db_codes, mask, self.tuning)
        found = searcher.count_within(query_codes, radius)
        distances = device.empty(found.total, np.int32)
        indices = device.empty(found.total, np.int64)
        if found.total:
            searcher.write_within(found, distances, indices)
        return RadiusResult(found.offsets, distances, indices)

    def rescore(
        self,
        queries: Any,
        db_codes: Any,
        candidates: Any,
        k: int,
        *,
        bitorder: BitOrder,
        threads: int,
    ) -> Rescored:
        device = self.make_device()
        scores = _empty(device, (len(queries), k), np.float32)
        indices = _empty(device, (len(queries), k), np.int64)
        if len(queries):
            cuda_values.rescore(
                device,
                queries,
                db_codes,
                candidates,
                scores,
                indices,
                big_endian_bits=bitorder == "big",
            )
        return Rescored(scores, indices)


def _empty(device: Device, shape: tuple[int, int], dtype: type[np.generic]) -> Any:
    return device.empty(shape[0] * shape[1], dtype).reshape(shape)


CUDA = CudaBackend()
