"""Step 10: the sizes of `cuda_plan.Tuning`, one at a time around those that are shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hamming.backends.cuda_plan import TUNING

from . import timing
from .card import Card
from .frame import Case, Step
from .searches import Search, prepared

SWEEPS: dict[str, tuple[int, ...]] = {
    "blocks_per_sm": (4, 8, 16, 32, 64, 128),
    "sample_codes": (2**14, 2**16, 2**18, 2**20, 2**22),
    "hits_per_k": (8, 16, 32, 64),
    "growth": (2, 4, 8, 16, 64),
}
SHAPES = (Search(64, 10**8, 1, 100), Search(256, 2 * 10**7, 1024, 100))
_DRY_SHAPES = (Search(64, 6_000, 2, 5),)


def swept(base: Search, name: str, values: Sequence[int]) -> Callable[[Card], dict[str, Any]]:
    """A case: one size at all its values, in turn; replayed as graphs, if there is a GPU."""

    def run(card: Card) -> dict[str, Any]:
        calls = {}
        for value in values:
            search = replace(base, tuning=replace(TUNING, **{name: value}))
            call = prepared(card, search)
            calls[str(value)] = call if card.dry else card.replayed(call)
        times = timing.interleaved(card, calls, seconds=0.8)
        best = min(times, key=lambda value: times[value]["median_ms"])
        return {"shipped": getattr(TUNING, name), "best": int(best), "contenders": times}

    return run


def cases(dry: bool) -> Sequence[Case]:
    return tuple(
        Case(f"{name}: {base}", swept(base, name, values[-2:] if dry else values), 3, (base,))
        for base in (_DRY_SHAPES if dry else SHAPES)
        for name, values in SWEEPS.items()
    )


STEP = Step("tuning", "Sizes of the plan", cases)
