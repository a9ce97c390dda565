"""Products of +-1 vectors and `topk`: d = (n_bits - a.b) / 2, exact in float16 and in int8.

Halves hold every whole number up to 2048, and are summed in float32 on the tensor cores.
"""

from __future__ import annotations

import functools
from typing import Any

from bench.rivals import CannotRunError

from . import Peer, Search, blocks

_CHUNK = 2**20  # codes that are unpacked at a time
_LEAST_ROWS = 32  # torch._int_mm refuses fewer than 17


def signs(codes: Any, dtype: Any) -> Any:
    """`(n, n_bytes) uint8` as `(n, 8 * n_bytes)` of +-1."""
    import torch

    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=codes.device)
    found = torch.empty(len(codes), 8 * codes.shape[1], dtype=dtype, device=codes.device)
    for begin in range(0, len(codes), _CHUNK):
        part = codes[begin : begin + _CHUNK]
        bits = (part[:, :, None] >> shifts) & 1
        found[begin : begin + _CHUNK] = bits.reshape(len(part), -1).to(dtype).mul_(2).sub_(1)
    return found


def prepare(db: Any, k: int, *, kind: str) -> Search:
    import torch

    if kind == "int8" and (len(db) % 8 or not hasattr(torch, "_int_mm")):
        raise CannotRunError("torch._int_mm wants a multiple of eight codes")
    n_codes, n_bits = len(db), 8 * db.shape[1]
    dtype = getattr(torch, kind)
    stored = signs(db, dtype)
    chosen: dict[int, int] = {}

    def found(queries: Any, block: int) -> tuple[Any, Any]:
        left = signs(queries, dtype)
        if kind == "int8" and len(left) < _LEAST_ROWS:
            left = torch.cat([left, left.new_zeros(_LEAST_ROWS - len(left), n_bits)])

        def products(begin: int, end: int) -> Any:
            right = stored[begin:end].t()
            return torch._int_mm(left, right)[: len(queries)] if kind == "int8" else left @ right

        values, rows = blocks.nearest(products, n_codes, block, k, largest=True)
        return (n_bits - values.to(torch.int32)) // 2, rows

    def search(queries: Any) -> tuple[Any, Any]:
        n_queries = len(queries)
        if n_queries not in chosen:
            item = 4 if kind == "int8" else 2
            sizes = [blocks.block_codes(n, n_queries, item, k) for n in blocks.BLOCK_BYTES]
            calls = [functools.partial(found, queries, size) for size in sizes]
            chosen[n_queries] = sizes[blocks.fastest(calls)]
        return found(queries, chosen[n_queries])

    return search


HALVES = Peer(
    "torch float16",
    functools.partial(prepare, kind="float16"),
    "+-1 float16 matmul and topk in blocks, the best of three block sizes",
    lambda n_codes, n_bits: 2 * n_codes * n_bits + 2**33,
)
BYTES = Peer(
    "torch int8",
    functools.partial(prepare, kind="int8"),
    "+-1 torch._int_mm and topk in blocks, the best of three block sizes",
    lambda n_codes, n_bits: n_codes * n_bits + 2**33,
)
