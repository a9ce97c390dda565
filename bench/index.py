"""An index with ids beside that of faiss: add, remove, save, load, search, filter; time and memory.

    python bench/index.py                          1e7 codes of 64 bits, 2e6 of 256; four minutes
    python bench/index.py --quick                  1e5 codes, seconds; a record of its own
    python bench/index.py --codes 1e6 --bits 128 --out FILE.json

One thread each. Contenders are timed in one process, in turn. Memory, and the time to the first
answer of a file, are measured in a process for each contender and step, on a file that is in the
page cache. Distances of all contenders are compared, and with NumPy's for the first queries.
Exit status: 0 measured, 1 a wrong result or an unwritable file, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from bench import command, index_page, machine, report
from bench.index_steps import changes, memory, problem, searches
from bench.index_steps.contenders import LOADS, Faiss, Ours, contenders
from bench.index_steps.problem import IdKind, Problem
from bench.suites.frame import WrongResultError

RESULTS = machine.ROOT / "bench" / "results" / "index.json"
Rows = list[dict[str, Any]]


class Part(NamedTuple):
    """Codes of one size and kind of ids, and what is measured of them."""

    n_bits: int
    n_codes: int
    kind: IdKind
    steps: tuple[str, ...]


class Effort(NamedTuple):
    """How long to time searches of one kind, and how many processes answer first."""

    seconds: float
    processes: int


THOROUGH, QUICK = Effort(1.0, 3), Effort(0.05, 1)
EVERY = ("search", "files", "memory", "filter", "singles", "remove")
SMALL = 10_000
"""Codes of which a search takes no longer than what is around it."""


def parts(n_bits: int | None, n_codes: int, *, quick: bool) -> list[Part]:
    """What a run measures; the quick one starts few processes."""
    bits = n_bits or 64
    found = [
        Part(bits, n_codes, "gaps", tuple(s for s in EVERY if not quick or s != "memory")),
        Part(bits, n_codes, "none", ("search", "files", "memory", "singles")),
        Part(bits, max(n_codes // 5, 2_000), "shuffled", ("filter", "remove")),
        Part(bits, min(SMALL, n_codes), "gaps", ("search", "remove")),
    ]
    if n_bits is None and not quick:
        found.append(Part(256, n_codes // 5, "gaps", EVERY))
    return found


def measure(part: Part, effort: Effort) -> dict[str, Any]:
    """Everything of one part; adding is always measured.

    Raises:
        WrongResultError: a contender's answers are not the exact ones.
    """
    given = problem.make(part.n_bits, part.n_codes, part.kind)
    by = contenders(given.ids)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, once, often = changes.add(given, by)
        mapped: changes.Live = {}
        if "files" in part.steps:
            rows += changes.save(by, once, folder)
            loads, mapped = changes.load(given, by, folder)
            rows += loads
        if "search" in part.steps:
            rows += searches.search(given, by, once, often, mapped, effort.seconds)
        if "singles" in part.steps:
            rows += changes.add_singles(given, by, often)
        del mapped, often
        if "filter" in part.steps:
            rows += searches.filtered(given, by, once, effort.seconds)
        if "remove" in part.steps:
            rows += changes.remove(given, by, once)
            left = changes.alive(given)
            rows += searches.after_removal(given, by, once, left, effort.seconds)
            rows += changes.add_singles(given, by, once, "add one code after removals")
        del once
        if "memory" in part.steps:
            _in_processes(given, [one.name for one in by], rows, folder, effort.processes)
    shape = {"n_bits": part.n_bits, "n_codes": part.n_codes, "ids": part.kind}
    return {**shape, "configurations": {one.name: one.note for one in by}, "rows": rows}


MEMORY_OF = {
    "add, one call": "add",
    "add, 100 calls": "add100",
    "save, fsync included": "save",
    "remove a tenth, one call": "remove",
}
ENOUGH = 2.0
"""Seconds after which no further process is started for a first answer."""


def _in_processes(
    given: Problem, names: list[str], rows: Rows, folder: Path, processes: int
) -> None:
    """Puts memory into the rows of its steps, and appends rows of the first answers."""
    problem.store(given, folder)
    for row in rows:
        if step := MEMORY_OF.get(row["step"]):
            for name in names:
                found = memory.in_its_own_process(name, step, folder)
                row["contenders"][name] |= {k: v for k, v in found.items() if k != "seconds"}
    for how in LOADS:
        found = {
            name: _first_answers(name, how, folder, processes)
            for name in names
            if name == Ours.name or how != "checked"
        }
        words = {"checked": "load verified", "unchecked": "load", "mapped": "mapped"}[how]
        rows.append({"step": f"first answer, {words}", "contenders": found})


def _first_answers(name: str, how: str, folder: Path, processes: int) -> dict[str, Any]:
    runs: Rows = []
    while len(runs) < processes and sum(run["seconds"] for run in runs) < ENOUGH:
        runs.append(memory.in_its_own_process(name, how, folder))
    runs.sort(key=lambda run: run["seconds"])
    middle = runs[len(runs) // 2]
    seconds = [run["seconds"] for run in runs]
    return {
        "calls": len(runs),
        "wall_min_s": seconds[0],
        "wall_p50_s": middle["seconds"],
        "wall_ns": [round(1e9 * one) for one in seconds],
        **{key: value for key, value in middle.items() if key != "seconds"},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.work:
        contender, step, folder = options.work
        print(json.dumps(memory.work(contender, step, Path(folder))))
        return 0
    usual = RESULTS.with_stem("index-quick") if options.quick else RESULTS
    out = command.parsed_path(parser, options, usual, () if options.quick else ("codes", "bits"))
    os.environ["HAMMING_THREADS"] = "1"
    try:
        record = {"command": ["bench/index.py", *arguments], **_measure(options)}
        report.save(record, out)
    except WrongResultError as error:
        print(f"wrong result, nothing is written: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or out}: expected to write, {error.strerror}", file=sys.stderr)
        return 1
    print(index_page.screen(record))
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    begin, load, others = time.time(), machine.load_average(), machine.Others()
    n_codes = options.codes or (100_000 if options.quick else 10_000_000)
    chosen = parts(options.bits, n_codes, quick=options.quick)
    effort = QUICK if options.quick else THOROUGH
    searches.choose_selection(problem.make(chosen[0].n_bits, n_codes, "none"), effort.seconds)
    measured = []
    for part in chosen:
        print(f"{part.n_bits} bits, {part.n_codes} codes, ids: {part.kind} ...", file=sys.stderr)
        measured.append(measure(part, effort))
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin, 1),
        "machine": machine.facts(),
        "load_average": {"begin": load, "end": machine.load_average()},
        "other_processes_cpus": round(others.cpus(), 2),
        "k": problem.K,
        "faiss_use_heap": Faiss.use_heap,
        "parts": measured,
    }


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("bench/index.py", __doc__)
    parser.add_argument("--codes", type=_codes, metavar="N", help="how many, e.g. 1e6 (1e7)")
    parser.add_argument("--bits", type=_bits, help="of a code (64)")
    parser.add_argument("--quick", action="store_true", help="1e5 codes of 64 bits")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON (bench/results/index.json)")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    return parser


def _codes(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number.is_integer() and 2_000 <= number <= 1e9):
        raise argparse.ArgumentTypeError(f"expected 2e3 to 1e9 codes, got {text!r}")
    return int(number)


def _bits(text: str) -> int:
    if not text.isdecimal() or not 32 <= int(text) <= 4096 or int(text) % 8:
        raise argparse.ArgumentTypeError(f"expected a multiple of 8 from 32 on, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
