"""Runs cases in a process of their own, within a budget, and keeps every outcome at once.

A kernel that hangs or faults takes its process with it: the next case finds a new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.report import save

from .card import EmulatedCard, GpuCard
from .frame import FAILED, NOT_RUN, RAN, Case, Step, attempt, outcome

Load = Callable[[], Sequence[Step]]

# A case may take so many seconds, and so many times what it says, before it counts as hung: more in
# a process that has to start.
_START_SECONDS = 60.0
_MORE_SECONDS = 20.0
_SLACK = 6.0
_PR_SET_PDEATHSIG = 1  # of prctl: the signal that comes when the parent ends


def every_step() -> Sequence[Step]:
    """Those of this package."""
    from . import STEPS

    return STEPS


@dataclass
class Session:
    """A run: its record, where that is kept, and how long it may take.

    Attributes:
        record: what becomes the result file. `record["steps"]` holds the outcomes,
            `record["banned"]` the variants that have hung.
        out: the file.
        ends: `time.monotonic()` when the budget is spent.
        say: shows a line.
        load: gives the process of the cases its steps; a function of a module.
    """

    record: dict[str, Any]
    out: Path
    ends: float
    say: Callable[[str], None]
    dry: bool
    load: Load = every_step

    def run(self, steps: Sequence[Step]) -> None:
        """Runs what the record does not have yet."""
        worker = Worker(self.dry, self.load)
        try:
            for step in steps:
                kept = self.record["steps"].setdefault(step.name, {"title": step.title, "rows": {}})
                for case in step.cases(self.dry):
                    if finished(kept["rows"].get(case.name)):
                        continue
                    found = self._case(worker, step, case)
                    kept["rows"][case.name] = found
                    save(self.record, self.out)
                    self.say(line(step, case, found))
        finally:
            worker.stop()

    def _case(self, worker: Worker, step: Step, case: Case) -> dict[str, Any]:
        left = self.ends - time.monotonic()
        if case.seconds > left:
            reason = f"needs about {case.seconds:.0f} s, {max(0, left):.0f} s of the budget left"
            return outcome(NOT_RUN, reason)
        if case.variant in self.record["banned"]:
            return outcome(NOT_RUN, f"{case.variant} has hung before")
        patience = _MORE_SECONDS if worker.runs else _START_SECONDS
        limit = min(patience + _SLACK * case.seconds, max(left, case.seconds))
        found = worker.ask(step.name, case.name, self.record["banned"], limit)
        if found.get("lost") == "hung" and case.variant:
            self.record["banned"] = sorted({*self.record["banned"], case.variant})
        return found


def finished(found: dict[str, Any] | None) -> bool:
    """Whether a resumed run has nothing to do: what failed or did not fit is tried again.

    What has hung is not: waiting for it costs a minute.
    """
    if found is None or found.get("lost") == "hung":
        return found is not None
    return found["status"] not in (FAILED, NOT_RUN)


def line(step: Step, case: Case, found: dict[str, Any]) -> str:
    """One case as it is shown while the run goes on."""
    words = found["status"] + (f": {found['reason']}" if "reason" in found else "")
    return f"{step.name}: {case.name}: {words} ({found.get('seconds', 0):.1f} s)"


class Worker:
    """The process that holds the card; started when first asked, and again after it is lost."""

    def __init__(self, dry: bool, load: Load) -> None:
        self._dry, self._load = dry, load
        self._process: Any = None
        self._pipe: Connection | None = None

    @property
    def runs(self) -> bool:
        """Whether there is a process, which has answered before."""
        return self._process is not None

    def ask(self, step: str, case: str, banned: list[str], limit: float) -> dict[str, Any]:
        """The outcome of a case, or of waiting `limit` seconds for it."""
        begin = time.monotonic()
        pipe = self._pipe or self._start()
        reason = lost = ""
        try:
            pipe.send((step, case, banned))
            if pipe.poll(limit):
                found, healthy = pipe.recv()
                if not healthy:
                    self.stop()
                return found
            reason, lost = f"no answer for {limit:.0f} s", "hung"
        except (EOFError, OSError):
            self._process.join(5)
            reason, lost = f"its process ended with {self._process.exitcode}", "died"
        self.stop()
        return outcome(FAILED, reason, lost=lost, seconds=round(time.monotonic() - begin, 1))

    def stop(self) -> None:
        """Ends the process and all that it started."""
        if self._process is None:
            return
        if self._pipe is not None:
            self._pipe.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join(30)
        self._process = self._pipe = None

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._dry, self._load))
        self._process.start()
        theirs.close()
        return self._pipe


def serve(pipe: Connection, dry: bool, load: Load) -> None:
    """The other end of `Worker.ask`."""
    os.setpgrp()  # a group of its own, which can be ended as a whole
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # no hung kernel stays behind
    sys.stdout = sys.stderr  # what libraries print is no part of the report
    card = EmulatedCard() if dry else GpuCard()
    cases = {(step.name, case.name): case for step in load() for case in step.cases(dry)}
    while True:
        try:
            step, case, banned = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        card.banned = set(banned)
        found = attempt(cases[step, case], card)
        healthy = True
        try:
            card.synchronize()
            card.release()
        except Exception as error:  # one that stays with the process: it can do no more
            healthy = False
            if found["status"] == RAN:
                found |= outcome(FAILED, f"the card, afterwards: {error}")
        pipe.send((found, healthy))
