"""What peers share that compare a batch with a block of codes and keep the best of each block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Scores = Callable[[int, int], Any]
"""`(begin, end)` -> `(n_queries, end - begin)`: of each query and code of the block."""

BLOCK_BYTES = (2**27, 2**29, 2**31)
"""Sizes of a block's scores that are tried: in the L2, and less launches."""


def nearest(scores: Scores, n_codes: int, block: int, k: int, *, largest: bool) -> tuple[Any, Any]:
    """The k best scores of each query over all codes, and their rows; ties in any order."""
    import torch

    values, rows = [], []
    for begin in range(0, n_codes, block):
        end = min(begin + block, n_codes)
        best, columns = scores(begin, end).topk(min(k, end - begin), dim=1, largest=largest)
        values.append(best)
        rows.append(columns.add_(begin))
    if len(values) == 1:
        return values[0], rows[0]
    best, places = torch.cat(values, dim=1).topk(k, dim=1, largest=largest)
    return best, torch.cat(rows, dim=1).gather(1, places)


def block_codes(n_bytes: int, n_queries: int, item_bytes: int, k: int) -> int:
    """Codes of a block whose scores take about `n_bytes`; a multiple of 1024, and several k."""
    codes = max(n_bytes // (n_queries * item_bytes), 4 * k, 1024)
    return codes // 1024 * 1024


def fastest(calls: Sequence[Callable[[], Any]]) -> int:
    """Which call takes least, timed once each after a first time; on a GPU by its own events."""
    import time

    import torch

    def seconds(call: Callable[[], Any]) -> float:
        call()
        _wait(torch)
        begin = time.perf_counter()
        call()
        _wait(torch)
        return time.perf_counter() - begin

    times = [seconds(call) for call in calls]
    return times.index(min(times))


def _wait(torch: Any) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
