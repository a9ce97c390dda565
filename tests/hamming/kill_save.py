"""An index file after its writer was killed: whole, the old state or the new one.

    python tests/hamming/kill_save.py --kills 100

A child saves a small and a large index over one path, in turn, until it is killed: half of the
kills come at a random time, the others at the call that the child is about to make. After each kill
the file is loaded and compared, and the next save has to work and to remove what the kill left.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import hamming

PHASES = ["between saves", "writing", "syncing the file", "renaming", "syncing the folder"]


class Writer:
    """What a child does, and where in it it is."""

    def __init__(self, file: Path, states: dict[str, hamming.Index]) -> None:
        self.file = file
        self.states = states
        self.phase = mmap.mmap(-1, 1)  # shared with the parent

    def child(self, kill_at: int | None, skip: int) -> NoReturn:
        """Save on and on; die before the call of a phase, when it comes after `skip` others."""
        os.fsync = self._announced(os.fsync, sync_phase, kill_at, skip)
        os.replace = self._announced(os.replace, lambda *_: 3, kill_at, skip)
        try:
            for _ in range(10_000 if kill_at is None else 3):
                for state in self.states.values():
                    self.phase[0] = 1
                    state.save(self.file)
                    self.phase[0] = 0
        finally:
            os._exit(1)  # whatever went wrong: never the parent's code

    def _announced(
        self, call: Callable[..., Any], phase: Callable[..., int], kill_at: int | None, skip: int
    ) -> Callable[..., Any]:
        calls = 0

        def announced(*args: Any) -> Any:
            nonlocal calls
            self.phase[0] = phase(*args)
            calls += self.phase[0] == kill_at
            if calls > skip:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args)
            self.phase[0] = 1 if self.phase[0] == 2 else self.phase[0]
            return result

        return announced


def sync_phase(handle: int) -> int:
    return 4 if stat.S_ISDIR(os.fstat(handle).st_mode) else 2


def fork(run: Callable[[], NoReturn]) -> int:
    child = os.fork()
    if child == 0:
        run()
    return child


def killed(writer: Writer, chance: random.Random, longest: float, at_call: bool) -> str:
    """Start a child, kill it, and say where it was."""
    kill_at = chance.choice([2, 3, 4]) if at_call else None
    skip = chance.randrange(2)  # the small one's call, or the large one's
    child = fork(lambda: writer.child(kill_at, skip))
    if not at_call:
        time.sleep(chance.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise SystemExit("the writer ended by itself: a save failed, or lacks a call")
    return PHASES[writer.phase[0]]


def state_of(file: Path, states: dict[str, hamming.Index]) -> str:
    """Which state a file holds; a load that verifies would refuse half of one."""
    index = hamming.Index.load(file)
    for name, state in states.items():
        if len(index) == len(state):
            np.testing.assert_array_equal(index.ids, state.ids)
            np.testing.assert_array_equal(index.codes, state.codes)
            return name
    raise SystemExit(f"a file with {len(index)} codes, which is no state that was saved")


def states(large: int) -> dict[str, hamming.Index]:
    rng, found = np.random.default_rng(0), {}
    for name, n in {"small": 20_000, "large": large}.items():
        codes = rng.integers(0, 256, (n, 8), dtype=np.uint8)
        found[name] = hamming.Index.from_codes(codes, ids=rng.permutation(n))
    return found


def leftovers(file: Path) -> list[Path]:
    return [other for other in file.parent.iterdir() if other != file]


def run(kills: int, large: int, seed: int) -> Counter[str]:
    chance, seen = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.safetensors"
        writer = Writer(file, states(large))
        began = time.perf_counter()
        for state in writer.states.values():
            state.save(file)
        both = time.perf_counter() - began
        for number in range(kills):
            seen[f"while {killed(writer, chance, 1.2 * both, number % 2 == 1)}"] += 1
            seen[f"then {state_of(file, writer.states)}"] += 1
            if leftovers(file):
                seen["with a temporary file"] += 1
            name = chance.choice(list(writer.states))
            writer.states[name].save(file)
            if leftovers(file) or state_of(file, writer.states) != name:
                raise SystemExit(f"the save after kill {number} did not replace all that was there")
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--large", type=int, default=1_500_000, help="codes, of 16 bytes with ids")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcome = run(options.kills, options.large, options.seed)
    print(f"{options.kills} kills, every file whole, every next save in place:", file=sys.stderr)
    for what, count in sorted(outcome.items()):
        print(count, what)
