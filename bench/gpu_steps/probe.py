"""Searches in a process of its own.

`probe.py first` times its first call, `probe.py variants` runs small searches by every variant, for
a memory checker to watch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parents[2])]

from bench.gpu_steps import correctness
from bench.gpu_steps.card import GpuCard
from bench.gpu_steps.searches import FORCED, Search, prepared


def first() -> dict[str, float]:
    """Milliseconds of the first call after CUDA has started, and of the second."""
    card = GpuCard()
    call = prepared(card, Search(64, 10**6, 1, 100))
    card.synchronize()
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        call()
        card.synchronize()
        times.append(1e3 * (time.perf_counter() - begin))
    return {"first_ms": round(times[0], 3), "second_ms": round(times[1], 3)}


def variants(without: Sequence[str]) -> dict[str, int]:
    """Small problems, checked as the step of correctness does."""
    card = GpuCard()
    card.banned = set(without)
    searches = [
        search
        for variant in FORCED
        for n_bits in (64, 104, 256)
        for search in correctness.small(variant, n_bits, dry=True)
    ]
    for variant in correctness.TALLIED:
        searches += correctness.tallied(variant, 256, dry=True)
    found = correctness.differences(searches)(card)
    return {"problems": found["problems"], "n_wrong": found["n_wrong"]}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("first", "variants"))
    parser.add_argument("--without", action="append", default=[], help="variants to leave out")
    options = parser.parse_args()
    found = first() if options.mode == "first" else variants(options.without)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
