"""A step in a process of its own: what memory it needs, and how long the first answer takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import machine
from . import contenders, problem
from .contenders import LOADS, Contender
from .problem import Problem

STEPS = ("add", "add100", "save", "remove", *LOADS)
"""What `--work` runs; a way to load means until the first answer."""


def file_of(folder: Path, contender: str) -> Path:
    return folder / f"{contender.replace(' ', '-')}.index"


def work(contender: str, step: str, folder: Path) -> dict[str, Any]:
    """Run a step on the stored problem, in a process that has no other use.

    Returns:
        `seconds` it took, `peak_bytes` by which resident memory rose meanwhile, and `kept_bytes`
        and `kept_anonymous_bytes` (what no file stands behind) by which it had risen in the end;
        None where the system does not say.
    """
    given = problem.stored(folder)
    call = _prepared(contenders.named(contender), step, given, folder)
    kept: list[Any] = []
    took: dict[str, Any] = {}

    def timed(_: int) -> None:
        begin = time.perf_counter()
        kept.append(call())
        took["seconds"] = time.perf_counter() - begin

    before = {key: resident(key) for key in ("VmRSS", "RssAnon")}
    took["peak_bytes"] = machine.peak_memory(timed)
    for name, key in (("kept_bytes", "VmRSS"), ("kept_anonymous_bytes", "RssAnon")):
        now, then = resident(key), before[key]
        took[name] = None if now is None or then is None else now - then
    return took


def _prepared(by: Contender, step: str, given: Problem, folder: Path) -> Callable[[], Any]:
    path = file_of(folder, by.name)
    if step in ("add", "add100"):
        return lambda: by.build(given, 1 if step == "add" else 100)
    if step in LOADS:
        query = given.queries[:1]

        def first_answer() -> Any:
            index = by.load(path, step)
            return index, by.search(index, query)

        return first_answer
    index = by.build(given)
    if step == "remove":
        return lambda: by.remove(index, given.gone)
    other = path.with_suffix(".memory")
    return lambda: by.save(index, other, durable=True)


def resident(key: str) -> int | None:
    """Bytes of VmRSS, RssAnon, ... of this process."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    match = re.search(rf"^{key}:\s+(\d+) kB$", text, re.M)
    return int(match[1]) * 1024 if match else None


def in_its_own_process(contender: str, step: str, folder: Path) -> dict[str, Any]:
    """What `work` says there."""
    one = ("HAMMING_THREADS", "OMP_NUM_THREADS")
    command = [sys.executable, str(Path(__file__).parents[1] / "index.py")]
    done = subprocess.run(
        [*command, "--work", contender, step, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | dict.fromkeys(one, "1"),
    )
    if done.returncode:
        raise RuntimeError(f"{contender}, {step}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
