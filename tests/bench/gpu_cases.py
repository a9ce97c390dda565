"""Steps that go wrong in every way, for tests of bench/gpu_steps/session.py, and an nvcc."""

from __future__ import annotations

import os
import time

from bench.gpu_steps.card import Card
from bench.gpu_steps.frame import Case, Step
from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

# The real one takes twenty seconds, which test_gpu_facts.py has.
NVCC = """#!/bin/sh
for last; do :; done
case "$last" in
  --version) echo "a made-up nvcc" ;;
  *) printf compiled > "$last" ;;
esac
"""


def fine(card: Card) -> dict:
    return {"process": os.getpid(), "banned": sorted(card.banned)}


def wrong(card: Card) -> dict:
    raise WrongResultError("query 1, rank 2: ...")


def partly_wrong(card: Card) -> dict:
    return {"wrong": ["query 3 ..."], "n_wrong": 7}


def impossible(card: Card) -> dict:
    raise CannotRunError("needs 99 GB")


def failing(card: Card) -> dict:
    raise ValueError("two\nlines")


def dying(card: Card) -> dict:
    os._exit(3)


def hanging(card: Card) -> dict:
    time.sleep(1000)
    return {}


CASES = (
    Case("fine", fine, 0.1),
    Case("wrong", wrong, 0.1),
    Case("partly wrong", partly_wrong, 0.1),
    Case("impossible", impossible, 0.1),
    Case("failing", failing, 0.1),
    Case("for a GPU", fine, 0.1, needs_gpu=True),
    Case("dying", dying, 0.1),
    Case("after death", fine, 0.1),  # the next one finds a process that runs
    Case("hanging", hanging, 0.1, variant="wgmma"),
    Case("the same variant", fine, 0.1, variant="wgmma"),
    Case("after a hang", fine, 0.1),
    Case("too long", fine, 1e6),
)


def steps() -> tuple[Step, ...]:
    return (Step("bad", "All that goes wrong", lambda _: CASES),)
