"""What all suites share: equal results first, then the time.

A suite is data: its shapes, what is done with them, by whom, and when two answers are the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import hamming

from .. import harness, machine
from ..rivals import CannotRunError, Rival

EXACT = "distances and indices"
DISTANCES = "distances; other indices at equal distance"

# A contender that needs longer for one call is left out of a shape, with a note.
SLOW_SECONDS = 2.0


class WrongResultError(Exception):
    """A contender's answer is not the exact one; its time would mean nothing."""


@dataclass(frozen=True)
class Suite:
    """One concept, measured.

    Attributes:
        title: over its tables.
        shapes: dataclasses whose `str` names them, of which `quick` are small.
        make: shape -> problem: the inputs, with `n_calls`, how many different ones there are.
        contenders: ours first. `prepare(problem, threads)` -> `call(number)` -> its answer.
        check: `(problem, number, found, expected)` -> in what they agree.
            Raises WrongResultError, with the first difference, where they do not.
        reference: prepares like a contender; its answers are the expected ones.
        work: shape -> what one call does, counted in `unit`s * 1e9 seconds.
        unit: of a rate.
        ceiling: what bounds the rate: comparing every query with every code, reading, or neither
            is known.
        memory: whether to measure how much memory a call needs.
    """

    title: str
    shapes: tuple[Any, ...]
    quick: tuple[Any, ...]
    make: Callable[[Any], Any]
    contenders: tuple[Rival, ...]
    check: Callable[[Any, int, Any, Any], str]
    reference: Rival
    work: Callable[[Any], float]
    unit: str = "Gcmp/s"
    ceiling: Literal["scan", "read"] | None = "scan"
    memory: bool = False
    budget: harness.Budget = field(default_factory=lambda: harness.Budget(seconds=10))


def run(
    suite: Suite,
    shape: Any,
    *,
    backend: str,
    threads: int,
    budget: harness.Budget | None = None,
) -> dict:
    """One row of the results: what was measured, every timing, ratios and rates.

    Args:
        suite: what to do with the shape.
        shape: one of the suite's kind.
        backend: the backend of `hamming`, unless the shape names its own.
        threads: for all contenders that have threads.
        budget: how long to measure; None = the suite's.

    Raises:
        WrongResultError: a contender's answer differs from the reference's.
    """
    problem = suite.make(shape)
    backend = getattr(shape, "backend", None) or backend
    with hamming.use_backend(backend), _threads(threads):
        calls, missing = _prepared(suite, problem, threads)
        agreement = verify(suite, problem, calls, missing, threads)
        peaks = {name: machine.peak_memory(call) for name, call in calls.items() if suite.memory}
        timings = harness.measure(calls, budget or suite.budget)
    row: dict = {"name": str(shape), "shape": asdict(shape), "backend": backend, "unit": suite.unit}
    row["contenders"] = {}
    for contender in suite.contenders:
        if contender.name in missing:
            row["contenders"][contender.name] = {"missing": missing[contender.name]}
            continue
        timing = timings[contender.name]
        row["contenders"][contender.name] = {
            "version": contender.version,
            "configuration": contender.note,
            "agrees_in": agreement[contender.name],
            **timing.summary(),
            "rate": suite.work(shape) / min(timing.wall_ns),
            **({"peak_bytes": peaks[contender.name]} if suite.memory else {}),
            "wall_ns": timing.wall_ns,
            "cpu_ns": timing.cpu_ns,
        }
    row["ratios"] = ratios(row["contenders"])
    return row


def ratios(contenders: dict[str, dict]) -> dict[str, dict[str, float]]:
    """How many times the time of the first, ours, each other takes, by the fastest calls."""
    ours, *others = contenders
    base = contenders[ours]
    return {
        name: {
            "cpu": contenders[name]["cpu_min_s"] / base["cpu_min_s"],
            "wall": contenders[name]["wall_min_s"] / base["wall_min_s"],
        }
        for name in others
        if "missing" not in contenders[name]
    }


def verify(
    suite: Suite,
    problem: Any,
    calls: dict[str, harness.Call],
    missing: dict[str, str],
    threads: int = 1,
) -> dict[str, str]:
    """Holds every contender's answer to every input against the reference's.

    Takes those that are too slow out of `calls`, and puts them into `missing` with the reason.

    Returns:
        name -> in what it agrees.

    Raises:
        WrongResultError: naming the contender and the first difference.
    """
    ours = suite.contenders[0].name
    reference = calls.get(suite.reference.name) or suite.reference.prepare(problem, threads)
    agreement: dict[str, set[str]] = {}
    for number in range(problem.n_calls):
        begin = time.perf_counter()
        expected = reference(number)
        took = {suite.reference.name: time.perf_counter() - begin}
        for name, call in calls.items():
            begin = time.perf_counter()
            found = expected if call is reference else call(number)
            took.setdefault(name, time.perf_counter() - begin)
            try:
                agrees = suite.check(problem, number, found, expected)
            except WrongResultError as error:
                raise WrongResultError(f"{name}: input {number}: {error}") from None
            if name == ours and agrees == DISTANCES:
                raise WrongResultError(f"{name}: input {number}: other indices at equal distance")
            agreement.setdefault(name, set()).add(agrees)
        for name in [n for n in calls if took[n] > SLOW_SECONDS and n != ours]:
            del calls[name]
            missing[name] = f"left out: {took[name]:.1f} s a call"
    return {name: " | ".join(sorted(found)) for name, found in agreement.items()}


def _prepared(
    suite: Suite, problem: Any, threads: int
) -> tuple[dict[str, harness.Call], dict[str, str]]:
    calls: dict[str, harness.Call] = {}
    missing: dict[str, str] = {}
    for contender in suite.contenders:
        if contender.missing:
            missing[contender.name] = contender.missing
            continue
        try:
            calls[contender.name] = contender.prepare(problem, threads)
        except CannotRunError as error:
            missing[contender.name] = str(error)
    return calls, missing


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    """For what takes no `threads` argument."""
    before = os.environ.get("HAMMING_THREADS")
    os.environ["HAMMING_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HAMMING_THREADS"]
        else:
            os.environ["HAMMING_THREADS"] = before
