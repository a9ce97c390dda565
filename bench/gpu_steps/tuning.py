"""Step 12: the sizes of `cuda_plan.Tuning`, one at a time around those that are shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hamming.backends.cuda_plan import TUNING, Tuning

from . import timing
from .card import Card
from .frame import Case, Step
from .searches import Search, prepared
from .worst_cases import BATCH, ONE

Sweeps = dict[str, tuple[int, ...]]

_SWEEPS: Sweeps = {
    "blocks_per_sm": (4, 16, 32, 64, 128),
    "sample_codes": (2**14, 2**16, 2**18, 2**20, 2**22),
    "hits_per_k": (8, 16, 32, 64),
}
# What floods cost, and what sparing them costs a search without.
_FLOODS: Sweeps = {"tally": (0, 1), "first_samples": (1, 2, 4, 8)}
SWEEPS: dict[Search, Sweeps] = {
    BATCH: _FLOODS,
    replace(BATCH, order="equal"): _FLOODS,
    replace(BATCH, order="descending"): _FLOODS,
    Search(256, 2 * 10**7, 1024, 100): _SWEEPS | {"batch_growth": (2, 3, 4, 6, 8), "tally": (0, 1)},
    ONE: _SWEEPS | {"growth": (2, 4, 8, 16)},
}
_DRY_SWEEPS = {Search(64, 6_000, 2, 5): _SWEEPS | {"growth": (2, 8), "tally": (0, 1)}}


def _tuned(name: str, value: int) -> Tuning:
    return replace(TUNING, **{name: type(getattr(TUNING, name))(value)})


def swept(base: Search, name: str, values: Sequence[int]) -> Callable[[Card], dict[str, Any]]:
    """A case: one size at all its values, in turn; replayed as graphs, if there is a GPU."""

    def run(card: Card) -> dict[str, Any]:
        calls = {}
        for value in values:
            search = replace(base, tuning=_tuned(name, value))
            call = prepared(card, search)
            calls[str(value)] = call if card.dry else card.replayed(call)
        times = timing.interleaved(card, calls, seconds=0.8)
        best = min(times, key=lambda value: times[value]["median_ms"])
        return {"shipped": int(getattr(TUNING, name)), "best": int(best), "contenders": times}

    return run


def cases(dry: bool) -> Sequence[Case]:
    return tuple(
        Case(
            f"{name}: {base}",
            swept(base, name, values[-2:] if dry else values),
            3,
            tuple(replace(base, tuning=_tuned(name, value)) for value in values),
        )
        for base, sweeps in (_DRY_SWEEPS if dry else SWEEPS).items()
        for name, values in sweeps.items()
    )


STEP = Step("tuning", "Sizes of the plan", cases)
