"""The kernel of `triton_scan`; importing it imports Triton."""

from typing import Any

import triton
import triton.language as tl


@triton.jit
def xor_popcount(
    queries,
    columns,
    out,
    n_queries,
    n_codes,
    begin,
    count,
    words: tl.constexpr,
    block_queries: tl.constexpr,
    block_codes: tl.constexpr,
):
    """Distances of `count` codes from `begin` on: out `(n_queries, count) int16`.

    queries `(n_queries, words) int32`, columns `(words, n_codes) int32`.
    """
    code = tl.program_id(0) * block_codes + tl.arange(0, block_codes)
    query = tl.program_id(1) * block_queries + tl.arange(0, block_queries)
    distance = tl.zeros((block_queries, block_codes), tl.int32)
    column = columns + begin + code
    for word in tl.static_range(words):
        y = tl.load(column, mask=code < count, other=0)
        x = tl.load(queries + query * words + word, mask=query < n_queries, other=0)
        both = x[:, None] ^ y[None, :]
        distance += tl.inline_asm_elementwise(
            "popc.b32 $0, $1;", "=r,r", [both], dtype=tl.int32, is_pure=True, pack=1
        )
        column += n_codes
    place = query.to(tl.int64)[:, None] * count + code[None, :]
    inside = (query < n_queries)[:, None] & (code < count)[None, :]
    tl.store(out + place, distance.to(tl.int16), mask=inside)


def launch(
    words: Any, columns: Any, begin: int, out: Any, configuration: tuple[int, int, int]
) -> None:
    """Fills `out`; `configuration` is queries and codes of a program, and its warps."""
    block_queries, block_codes, warps = configuration
    n_queries, count = out.shape
    grid = (triton.cdiv(count, block_codes), triton.cdiv(n_queries, block_queries))
    xor_popcount[grid](
        words,
        columns,
        out,
        n_queries,
        columns.shape[1],
        begin,
        count,
        words=words.shape[1],
        block_queries=block_queries,
        block_codes=block_codes,
        num_warps=warps,
    )
