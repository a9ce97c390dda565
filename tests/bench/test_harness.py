"""The harness on a clock of its own: every figure here is chosen, none is measured."""

from __future__ import annotations

import gc

import pytest

from bench.harness import Budget, Clock, Timing, measure

MS = 1_000_000


class World:
    """Time passes only inside calls: `wall` ms by the clock, `cpu` ms of work."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0
        self.log: list[str] = []

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, cpu=lambda: self.cpu)

    def call(self, name: str, *, wall: float, cpu: float):
        def run(number: int) -> None:
            self.log.append(name)
            self.wall += int(wall * MS)
            self.cpu += int(cpu * MS)

        return run


def test_both_clocks_are_recorded() -> None:
    world = World()
    calls = {"a": world.call("a", wall=30, cpu=20)}
    timings = measure(calls, Budget(seconds=0, min_rounds=3), world.clock)
    assert timings["a"].wall_ns == [30 * MS] * 3
    assert timings["a"].cpu_ns == [20 * MS] * 3


def test_rounds_stop_when_the_time_has_passed_but_not_before_the_least() -> None:
    for seconds, rounds in ((0.0, 2), (0.1, 4), (99.0, 6)):
        world = World()
        calls = {"a": world.call("a", wall=30, cpu=30)}
        budget = Budget(seconds=seconds, min_rounds=2, max_rounds=6)
        assert len(measure(calls, budget, world.clock)["a"].wall_ns) == rounds


def test_short_calls_are_repeated_in_a_turn_and_long_ones_are_not() -> None:
    world = World()
    calls = {
        "tiny": world.call("tiny", wall=0.001, cpu=0.001),
        "short": world.call("short", wall=4, cpu=4),
        "long": world.call("long", wall=50, cpu=50),
    }
    budget = Budget(seconds=0, min_rounds=1, burst_seconds=0.02, max_burst=25)
    timings = measure(calls, budget, world.clock)
    assert {name: len(t.wall_ns) for name, t in timings.items()} == {
        "tiny": 25,
        "short": 5,
        "long": 1,
    }


def test_contenders_take_turns_and_another_begins_each_round() -> None:
    world = World()
    calls = {name: world.call(name, wall=30, cpu=30) for name in "abc"}
    measure(calls, Budget(seconds=0, min_rounds=3), world.clock)
    assert "".join(world.log) == "abc" + "abc" + "bca" + "cab"  # the first three are the warm-up


def test_calls_are_numbered_so_that_they_can_vary_their_input() -> None:
    numbers: list[int] = []
    world = World()
    advance = world.call("a", wall=30, cpu=30)

    def call(number: int) -> None:
        numbers.append(number)
        advance(number)

    measure({"a": call}, Budget(seconds=0, min_rounds=4), world.clock)
    assert numbers == [0, 0, 1, 2, 3]


def test_the_summary() -> None:
    wall = [number * MS for number in (5, 1, 2, 3, 4, 10, 6, 7, 8, 9, 11)]
    summary = Timing(wall, [value // 2 for value in wall]).summary()
    assert summary == pytest.approx(
        {
            "calls": 11,
            "wall_min_s": 0.001,
            "wall_p50_s": 0.006,
            "wall_p90_s": 0.010,
            "cpu_min_s": 0.0005,
            "cpu_median_s": 0.003,
        }
    )


def test_the_garbage_collector_is_off_while_timing_and_on_again_after_a_failure() -> None:
    states: list[bool] = []

    def call(number: int) -> None:
        states.append(gc.isenabled())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure({"a": call}, Budget(seconds=0))
    assert states == [False]
    assert gc.isenabled()
