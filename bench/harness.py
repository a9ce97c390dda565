"""Timing: warm-up, then rounds in which every contender has its turn, so that noise hits all alike.

Process CPU time says what a search costs whatever else the machine does; wall time is what a caller
waits. Minima compare contenders, medians and the 90th percentile say what a call is like.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

Call = Callable[[int], object]
"""Does the work once; the argument counts the calls, so that a call can vary its input."""


@dataclass(frozen=True)
class Clock:
    """Wall and process CPU time in nanoseconds."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True)
class Budget:
    """How long to measure.

    Attributes:
        seconds: rounds stop when these have passed, or after `max_rounds`, but not before
            `min_rounds`.
        burst_seconds: a turn repeats a short call for about this long, at most `max_burst` times,
            so that a contender is timed with its own data in the caches, not its neighbour's.
    """

    seconds: float
    min_rounds: int = 5
    max_rounds: int = 40
    burst_seconds: float = 0.02
    max_burst: int = 25


@dataclass
class Timing:
    """Every timed call of one contender, in nanoseconds."""

    wall_ns: list[int] = field(default_factory=list)
    cpu_ns: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Seconds; p50 and p90 are of the wall time of a call."""
        p50, p90 = np.percentile(self.wall_ns, [50, 90])
        return {
            "calls": len(self.wall_ns),
            "wall_min_s": min(self.wall_ns) / 1e9,
            "wall_p50_s": float(p50) / 1e9,
            "wall_p90_s": float(p90) / 1e9,
            "cpu_min_s": min(self.cpu_ns) / 1e9,
            "cpu_median_s": float(np.median(self.cpu_ns)) / 1e9,
        }


def measure(
    calls: Mapping[str, Call], budget: Budget, clock: Clock | None = None
) -> dict[str, Timing]:
    """Times every call, interleaved.

    Args:
        calls: name -> call.
        budget: how many rounds.
        clock: the system's clocks by default.

    Returns:
        name -> all its timings.
    """
    clock = clock or Clock()
    timings = {name: Timing() for name in calls}
    with _no_garbage_collection():
        bursts = {name: _warm_up(call, budget, clock) for name, call in calls.items()}
        begin = clock.wall()
        for turn in range(budget.max_rounds):
            if turn >= budget.min_rounds and clock.wall() - begin >= budget.seconds * 1e9:
                break
            for name in _rotated(list(calls), turn):
                _burst(calls[name], bursts[name], timings[name], clock)
    return timings


def _warm_up(call: Call, budget: Budget, clock: Clock) -> int:
    """Calls until a burst's time has passed; returns how many calls a burst should have."""
    begin = clock.wall()
    fastest = float("inf")
    for number in range(budget.max_burst):
        before = clock.wall()
        call(number)
        after = clock.wall()
        fastest = min(fastest, max(1, after - before))
        if after - begin >= budget.burst_seconds * 1e9:
            break
    return max(1, min(budget.max_burst, int(budget.burst_seconds * 1e9 / fastest)))


def _burst(call: Call, times: int, timing: Timing, clock: Clock) -> None:
    for _ in range(times):
        number = len(timing.wall_ns)
        cpu, wall = clock.cpu(), clock.wall()
        call(number)
        wall_end, cpu_end = clock.wall(), clock.cpu()
        timing.wall_ns.append(wall_end - wall)
        timing.cpu_ns.append(cpu_end - cpu)


def _rotated(names: list[str], turn: int) -> list[str]:
    """Another one begins each round, so that nobody always follows the same neighbour."""
    at = turn % max(1, len(names))
    return names[at:] + names[:at]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
