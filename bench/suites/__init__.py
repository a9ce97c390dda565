"""Everything that can be measured: one suite a concept, `SUITES[name]` in suites/name.py."""

from __future__ import annotations

from . import batch_size, large_k, mask, pack, radius_search, rescore, threads, topk
from .frame import Suite

SUITES: dict[str, Suite] = {
    module.__name__.rpartition(".")[2]: module.SUITE
    for module in (topk, threads, batch_size, large_k, mask, radius_search, rescore, pack)
}

# What README shows.
DEFAULT = ("topk", "threads", "batch_size")
