"""Steps that change an index, or take seconds: no warm-up, each contender in its turn."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..harness import Call, Clock, Timing


class Turns(NamedTuple):
    """What calls took, and what the last one of each contender gave."""

    timings: dict[str, Timing]
    results: dict[str, Any]


def in_turn(calls: Mapping[str, Call], times: int, seconds: float = 1.5) -> Turns:
    """Calls each so many times, or until it has taken so many seconds, but once at least."""
    clock = Clock()
    turns = Turns({name: Timing() for name in calls}, {})
    gc.collect()
    for number in range(times):
        for name, call in calls.items():
            timing = turns.timings[name]
            if number and sum(timing.wall_ns) >= seconds * 1e9:
                continue
            cpu, wall = clock.cpu(), clock.wall()
            result = call(number)
            wall_end, cpu_end = clock.wall(), clock.cpu()
            timing.wall_ns.append(wall_end - wall)
            timing.cpu_ns.append(cpu_end - cpu)
            turns.results[name] = result  # which frees the former one, off the clock
    return turns


def row(step: str, timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Of the record: all timings and their summaries, by contender."""
    return {
        "step": step,
        "contenders": {
            name: {**timing.summary(), "wall_ns": timing.wall_ns, "cpu_ns": timing.cpu_ns}
            for name, timing in timings.items()
        },
    }
