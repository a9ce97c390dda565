"""Times of calls on a card: warm, interleaved, every one kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from .card import Call, Card


def interleaved(
    card: Card,
    calls: Mapping[str, Call],
    *,
    seconds: float = 0.6,
    least: int = 5,
    most: int = 40,
    warm_seconds: float = 0.05,
) -> dict[str, dict[str, Any]]:
    """Milliseconds of every call, in rounds in which each has its turn.

    Args:
        card: whose clock is read; on an emulation each call runs once.
        calls: name -> call.
        seconds: rounds stop when these have passed.
        least: rounds there are at least.
        most: rounds there are at most.
        warm_seconds: calls before the first round, so that clocks have risen.

    Returns:
        name -> {"ms": all of them, "median_ms", "min_ms"}.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    if not card.dry:
        _warm(card, calls, warm_seconds)
    begin = time.perf_counter()
    names = list(calls)
    for turn in range(1 if card.dry else most):
        if turn >= least and time.perf_counter() - begin > seconds:
            break
        at = turn % max(1, len(names))
        for name in names[at:] + names[:at]:
            times[name].append(card.elapsed(calls[name]))
    return {name: summary(found) for name, found in times.items()}


def _warm(card: Card, calls: Mapping[str, Call], seconds: float) -> None:
    begin = time.perf_counter()
    for turn in range(100):
        for call in calls.values():
            call()
        card.synchronize()
        if turn >= 1 and time.perf_counter() - begin > seconds:
            break


def summary(times: list[float]) -> dict[str, Any]:
    """Of at least one time."""
    return {
        "ms": [round(ms, 5) for ms in times],
        "median_ms": round(median(times), 5),
        "min_ms": round(min(times), 5),
    }
