"""Xor and population count in Triton, all distances of a block to memory, and torch's `topk`."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from bench.rivals import CannotRunError

from . import Peer, Search, blocks

# Queries and codes of a program, and its warps.
CONFIGURATIONS = {
    "few": ((1, 1024, 4), (1, 2048, 8)),
    "many": ((16, 256, 4), (32, 128, 4), (16, 512, 8)),
}


def word_columns(codes: Any) -> Any:
    """`(n, n_bytes) uint8` as `(n_words, n) int32`: neighbouring codes are neighbours in memory."""
    import torch

    return codes.contiguous().view(torch.int32).t().contiguous()


def prepare(db: Any, k: int) -> Search:
    import torch

    if importlib.util.find_spec("triton") is None:
        raise CannotRunError("Triton is not installed")
    if not db.is_cuda:
        raise CannotRunError("no GPU")
    if db.shape[1] % 4:
        raise CannotRunError("its kernel wants whole words")
    from . import triton_kernel

    n_codes, columns = len(db), word_columns(db)
    chosen: dict[int, tuple[int, tuple[int, int, int]]] = {}

    def found(queries: Any, block: int, configuration: tuple[int, int, int]) -> tuple[Any, Any]:
        words = queries.contiguous().view(torch.int32)

        def distances(begin: int, end: int) -> Any:
            out = torch.empty(len(queries), end - begin, dtype=torch.int16, device=queries.device)
            triton_kernel.launch(words, columns, begin, out, configuration)
            return out

        values, rows = blocks.nearest(distances, n_codes, block, k, largest=False)
        return values.to(torch.int32), rows

    def search(queries: Any) -> tuple[Any, Any]:
        n_queries = len(queries)
        if n_queries not in chosen:
            several = CONFIGURATIONS["few" if n_queries < 8 else "many"]
            sizes = [blocks.block_codes(n, n_queries, 2, k) for n in blocks.BLOCK_BYTES]
            tried = [(sizes[1], configuration) for configuration in several]
            best = tried[_fastest(found, queries, tried)][1]
            tried = [(size, best) for size in sizes]
            chosen[n_queries] = tried[_fastest(found, queries, tried)]
        return found(queries, *chosen[n_queries])

    return search


def _fastest(found: Any, queries: Any, tried: list[Any]) -> int:
    return blocks.fastest([functools.partial(found, queries, *choice) for choice in tried])


PEER = Peer(
    "triton",
    prepare,
    "xor and popc over columns of words, topk in blocks, the best of several tiles and blocks",
    lambda n_codes, n_bits: n_codes * n_bits // 8 + 2**33,
)
