"""Step 11: small searches by every variant under the tools of compute-sanitizer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

from .card import Card
from .frame import Case, Step
from .guarantees import PROBE

TOOLS = {"memcheck": 60, "racecheck": 90}  # and about how many seconds each takes
_FOUND = 86  # the status that says an error was found
_TAIL = 15  # lines of the output that are kept


def watched(tool: str) -> Callable[[Card], dict[str, Any]]:
    """A case: what the tool says."""

    def run(card: Card) -> dict[str, Any]:
        if shutil.which("compute-sanitizer") is None:
            raise CannotRunError("no compute-sanitizer")
        options = ["--tool", tool, "--error-exitcode", str(_FOUND)]
        without = [word for name in sorted(card.banned) for word in ("--without", name)]
        command = [sys.executable, str(PROBE), "variants", *without]
        done = subprocess.run(
            ["compute-sanitizer", *options, *command], capture_output=True, text=True
        )
        tail = (done.stdout + done.stderr).strip().splitlines()[-_TAIL:]
        if done.returncode == _FOUND:
            raise WrongResultError(f"{tool}: {' / '.join(tail)}")
        if done.returncode != 0:
            raise RuntimeError(f"{tool} ended with {done.returncode}: {' / '.join(tail)}")
        return {"tail": tail}

    return run


def cases(dry: bool) -> Sequence[Case]:
    del dry
    return tuple(
        Case(tool, watched(tool), seconds, needs_gpu=True) for tool, seconds in TOOLS.items()
    )


STEP = Step("sanitizers", "Memory and races, as compute-sanitizer sees them", cases)
