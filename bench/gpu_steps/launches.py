"""Step 10: what each launch of a search takes, as the profiler sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bench.rivals import CannotRunError

from .card import Call, Card, torch_module
from .frame import Case, Step
from .searches import Search, prepared
from .worst_cases import BATCH, ONE

# Those whose figures say that more than the scan is at work.
SEARCHES = (
    ONE,
    replace(BATCH, k=10),
    replace(BATCH, k=1000),
    replace(BATCH, order="equal"),
    Search(512, 10**7, 64, 100),
    Search(256, 2**24, 1024, 100),
    Search(256, 10**7, 10_000, 100),
    Search(1024, 2**22, 1024, 100),
)
_CALLS = 5


def launched(call: Call) -> list[tuple[str, float, float]]:
    """Kernels of one call in the order of their start.

    Returns:
        Name, microseconds from the first one's start, and microseconds that it took.

    Raises:
        CannotRunError: the profiler sees none.
    """
    torch = torch_module()
    profiler = torch.profiler
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.elapsed_us(), event.name)
        for event in seen.events()
        if "cuda" in str(event.device_type).lower()
    )
    if not spans:
        raise CannotRunError("the profiler sees no kernels here")
    begin = spans[0][0]
    return [(name, round(start - begin, 2), round(took, 2)) for start, took, name in spans]


def timed(search: Search) -> Callable[[Card], dict[str, Any]]:
    """A case: the launches of the last of a few calls, and sums by kernel."""

    def run(card: Card) -> dict[str, Any]:
        call = prepared(card, search)
        for _ in range(_CALLS):
            call()
        card.synchronize()
        found = launched(call)
        sums: dict[str, float] = {}
        for name, _, took in found:
            sums[name] = round(sums.get(name, 0.0) + took, 2)
        last = found[-1]
        return {
            "launches": found,
            "microseconds": dict(sorted(sums.items(), key=lambda one: -one[1])),
            "busy_us": round(sum(sums.values()), 2),
            "span_us": round(last[1] + last[2], 2),
        }

    return run


def cases(dry: bool) -> Sequence[Case]:
    wanted = (replace(ONE, n_codes=6_000, k=20),) if dry else SEARCHES
    return tuple(Case(str(one), timed(one), 3, (one,), needs_gpu=True) for one in wanted)


STEP = Step("launches", "What each launch takes", cases)
