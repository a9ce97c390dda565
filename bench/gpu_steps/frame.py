"""Steps and their cases: what one does on a card, what it costs, and what comes of it.

A case is the unit of everything: it is skipped when it no longer fits the budget, it fails or hangs
alone, and its result is on the disk before the next one begins.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

from .card import Card
from .searches import Search

RAN, WRONG, FAILED, NOT_RUN = "ran", "wrong", "failed", "not run"
NO_GPU = "no GPU"


@dataclass(frozen=True)
class Case:
    """One thing to find out.

    Attributes:
        name: unique in its step.
        run: does it, and returns what to keep as JSON. Reasons under "wrong" make the case wrong.
            Raises WrongResultError, or CannotRunError where it does not apply.
        seconds: about what it costs on a card.
        searches: what it searches for, so that the kernels can be compiled beforehand.
        needs_gpu: the emulation cannot do it.
        variant: the only kernel variant it uses; if that hangs, nobody else tries it.
    """

    name: str
    run: Callable[[Card], dict[str, Any]]
    seconds: float = 2.0
    searches: tuple[Search, ...] = ()
    needs_gpu: bool = False
    variant: str | None = None


@dataclass(frozen=True)
class Step:
    """Cases that belong together.

    Attributes:
        cases: of a card, or the few and small ones of a dry run; pure and quick.
    """

    name: str
    title: str
    cases: Callable[[bool], Sequence[Case]]


def outcome(status: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """What is kept of a case, beside its result."""
    return {"status": status, **({"reason": reason} if reason else {}), **more}


def attempt(case: Case, card: Card) -> dict[str, Any]:
    """Runs a case; whatever goes wrong is in the outcome."""
    begin = time.perf_counter()
    try:
        if case.needs_gpu and card.dry:
            raise CannotRunError(NO_GPU)
        result = case.run(card)
        wrong = result.get("wrong")
        found = outcome(WRONG, wrong[0]) if wrong else outcome(RAN)
        found |= result
    except CannotRunError as error:
        found = outcome(NOT_RUN, str(error))
    except WrongResultError as error:
        found = outcome(WRONG, str(error))
    except Exception as error:  # a case never stops the others
        lines = str(error).strip().splitlines() or [""]
        found = outcome(
            FAILED, f"{type(error).__name__}: {lines[0]}", traceback=traceback.format_exc()
        )
    return found | {"seconds": round(time.perf_counter() - begin, 3)}
