"""Packing and re-scoring on a GPU: values rather than searches. See `cuda_search` for the frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cuda_launch import LISTS, Device, int64, over_lists, record_of, sort
from .cuda_plan import Kernel

# Numbers of csrc/cuda/pack.cu, by the name of the dtype; thresholds are of the type that values are
# compared as.
ELEMENTS = {
    "bool": 0,
    "uint8": 0,
    "int8": 1,
    "uint16": 2,
    "int16": 3,
    "uint32": 4,
    "int32": 5,
    "uint64": 6,
    "int64": 7,
    "float32": 8,
    "float64": 9,
    "float16": 10,
    "bfloat16": 11,
}
WARPS = 8  # of a block


def pack(
    device: Device,
    values: Any,
    element: str,
    thresholds: Any,
    codes: Any,
    *,
    big_endian_bits: bool,
    has_nan: Any = None,
) -> None:
    """Fills `(n_rows, n_bytes) uint8` codes of `(n_rows, n_bits)` values.

    `element` is the values' dtype, a key of ELEMENTS; `thresholds (n_bits,)` are of that dtype, or
    float32 for halves. `has_nan (1,) int32` becomes 1 where a value is NaN; None = nobody asks.
    """
    n_rows, n_bits = values.shape
    items = n_rows * -(-n_bits // 32)
    kernel = Kernel("pack.cu", "pack", (("HAMMING_ELEMENT", ELEMENTS[element]),))
    args = [values, thresholds, codes, *int64(n_rows, n_bits), np.int32(big_endian_bits), has_nan]
    device.launch(kernel, (_blocks(device, items, WARPS), 1), args)


def unpack(device: Device, codes: Any, bits: Any, *, big_endian_bits: bool) -> None:
    """Fills `(n_rows, n_bits) uint8` zeros and ones of `(n_rows, n_bytes) uint8` codes."""
    (n_rows, n_bytes), n_bits = codes.shape, bits.shape[1]
    kernel = Kernel("pack.cu", "unpack", (("HAMMING_ELEMENT", 0),))
    args = [codes, bits, *int64(n_rows, n_bytes, n_bits), np.int32(big_endian_bits)]
    device.launch(kernel, (_blocks(device, n_rows * n_bits, 256), 1), args)


def rescore(
    device: Device,
    queries: Any,
    db: Any,
    candidates: Any,
    scores: Any,
    indices: Any,
    *,
    big_endian_bits: bool,
) -> None:
    """Fills `(n_queries, k)` float32 scores and int64 indices.

    `queries` are `(n_queries, n_bits) float32`, `db` `(n_codes, n_bytes) uint8` and `candidates`
    `(n_queries, m) int64`, of which rows that there are not count as none.
    """
    (n_queries, n_bits), (n_codes, n_bytes) = queries.shape, db.shape
    m, k = candidates.shape[1], scores.shape[1]
    total = n_queries * m
    every = device.empty(total, np.float32)
    keys, spare = device.empty(total, np.uint64), device.empty(total, np.uint64)
    by_row = device.empty(total, np.uint64)
    starts, counts = device.empty(n_queries + 1, np.int64), device.empty(n_queries, np.uint64)
    sizes = [*int64(n_bits, n_bytes, m, n_codes, total), np.int32(big_endian_bits)]
    args = [queries, db, candidates, every, keys, *sizes]
    device.launch(Kernel("rescore.cu", "score"), (_blocks(device, total, WARPS), 1), args)
    device.launch(
        Kernel("sort.cu", "equal_lists"),
        (_blocks(device, n_queries + 1, 256), 1),
        [starts, counts, *int64(n_queries, m)],
    )
    lists = record_of(
        LISTS,
        keys=device.address(keys),
        spare=device.address(spare),
        starts=device.address(starts),
        counts=device.address(counts),
        n_lists=n_queries,
    )
    sort(device, lists, m)
    over_lists(device, "key_by_score", lists, m, [every, np.int64(m), by_row])
    sort(device, lists, m)
    args = [every, np.int64(m), by_row, np.int64(k), scores, indices]
    over_lists(device, "write_scores", lists, k, args)


def _blocks(device: Device, items: int, per_block: int) -> int:
    return max(1, min(device.facts.n_sms * 8, -(-items // per_block)))
