"""Latency and throughput of `hamming.topk` beside faiss and NumPy, in one process on the same data.

    python bench/latency.py                 the shapes of the design's table, about ten minutes
    python bench/latency.py --quick         small shapes, under a minute

Every result is compared with NumPy's exact ranking before anything is timed. Timings, versions and
the machine go to bench/results/ as JSON, tables to the screen. Exit status: 0 measured, 1 a wrong
result or an unwritable file, 2 wrong use.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from rich.console import Console

import hamming
from bench import ceilings, machine, report, shapes
from bench.harness import Budget
from bench.rivals import RIVALS
from bench.shapes import Shape
from bench.suites import topk

RESULTS = machine.ROOT / "bench" / "results"
BUDGETS = {"default": Budget(seconds=14), "quick": Budget(seconds=1.5, min_rounds=3)}


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    options.backend, forced = _backend(parser, options)
    grid = options.shape or (shapes.QUICK if options.quick else shapes.DEFAULT)
    out = options.out or RESULTS / _file_name(options, forced)
    _check_writable(parser, out)
    progress = Console(stderr=True, highlight=False)
    chosen = _runnable(grid, options.backend if forced else None, progress)
    if not chosen:
        parser.error("no shape is left to measure; choose a smaller one or another backend")
    try:
        record = {
            "command": ["bench/latency.py", *arguments],
            **_measure(chosen, options, progress),
        }
        report.save(record, out)
    except topk.WrongResultError as error:
        progress.print(f"wrong result, nothing is written: {error}", markup=False)
        return 1
    except OSError as error:
        progress.print(f"{out}: could not be written: {error.strerror}", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("stopped, nothing is written")
        return 130
    _show(record, out)
    return 0


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="bench/latency.py",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small shapes, few repeats")
    parser.add_argument(
        "--shape",
        action="append",
        type=_shape,
        metavar="BITS,CODES,QUERIES,K[,ORDER]",
        help="measure this shape instead of the grid, e.g. 64,1e6,100,10; may be repeated",
    )
    parser.add_argument("--threads", type=_positive, default=1, help="for every contender (1)")
    parser.add_argument(
        "--backend", metavar="NAME", help=f"of hamming: {', '.join(hamming.backends())}"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON (a name in bench/results/)")
    return parser


def _shape(text: str) -> Shape:
    try:
        return shapes.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _backend(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[str, bool]:
    """The backend's name, and whether the user asked for it."""
    for source, name in (
        ("--backend", options.backend),
        ("HAMMING_BACKEND", os.environ.get("HAMMING_BACKEND")),
    ):
        if not name:
            continue
        if name not in hamming.backends():
            known = ", ".join(hamming.backends())
            parser.error(f"{source}: expected one of {known}, got {name!r}")
        return name, True
    return hamming.backends()[0], False


def _file_name(options: argparse.Namespace, forced: bool) -> str:
    grid = "-shape" if options.shape else "-quick" if options.quick else ""
    threads = f"-{options.threads}threads" if options.threads != 1 else ""
    return f"latency{grid}{threads}{f'-{options.backend}' if forced else ''}.json"


def _check_writable(parser: argparse.ArgumentParser, out: Path) -> None:
    """Before ten minutes of measuring, not after."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if out.is_dir() or not (folder.is_dir() and os.access(folder, os.W_OK)):
        parser.error(f"--out: expected a file that can be written, got {out}")


def _runnable(grid: Sequence[Shape], forced: str | None, progress: Console) -> list[Shape]:
    """Without the shapes this machine, or the forced backend, cannot run; says which and why."""
    available = machine.available_memory()
    chosen = []
    for shape in grid:
        # Every contender's own copy and one for what they build; queries and results.
        call_bytes = shape.n_queries * (shape.n_bytes + 24 * shape.k)
        copies = (shape.db_bytes + call_bytes) * (2 + len(RIVALS))
        if shape.backend is not None and shape.backend not in hamming.backends():
            progress.print(f"skipped: {shape}: this machine has no such backend")
        elif shape.backend is not None and forced is not None:
            progress.print(f"skipped: {shape}: {forced} is forced")
        elif available is not None and copies > available:
            need, have = copies / 1e9, available / 1e9
            progress.print(f"skipped: {shape}: needs {need:.1f} GB, {have:.1f} GB are available")
        else:
            chosen.append(shape)
    return chosen


def _measure(chosen: Sequence[Shape], options: argparse.Namespace, progress: Console) -> dict:
    begin, load, others = time.time(), machine.load_average(), machine.Others()
    # Lines, not a live display: its thread would be charged to whoever is timed.
    progress.print("read bandwidth ...")
    seconds = 1 if options.quick else 4
    bandwidths = [ceilings.read_bandwidth(options.threads, seconds=seconds)]
    budget = BUDGETS["quick" if options.quick else "default"]
    rows = []
    for number, shape in enumerate(chosen, start=1):
        progress.print(f"{number}/{len(chosen)} {shape} ...", markup=False)
        rows.append(
            topk.run(shape, RIVALS, backend=options.backend, threads=options.threads, budget=budget)
        )
    # Again at the end: a neighbour can only make it look smaller.
    bandwidths.append(ceilings.read_bandwidth(options.threads, seconds=seconds))
    read = max(bandwidths, key=lambda found: found["gb_per_s"])
    record = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin, 1),
        "threads": options.threads,
        "backend": options.backend,
        "machine": machine.facts(),
        "load_average": {"begin": load, "end": machine.load_average()},
        "other_processes_cpus": round(others.cpus(), 2),
        "ceilings": {"read": read, "last_level_cache": machine.last_level_cache()},
        "rows": rows,
    }
    _judge(record)
    return record


def _judge(record: dict) -> None:
    """Adds to each row what can be said only beside the others."""
    for row in record["rows"]:
        row["fraction_of_bandwidth"] = report.fraction_of_bandwidth(row, record)
    # Targets are for one thread and the best backend.
    aimed = record["threads"] == 1 and record["backend"] == hamming.backends()[0]
    for row in record["rows"]:
        row["verdict"] = report.verdict(row, record["rows"]) if aimed else ""


def _show(record: dict, out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=170)  # a log has no width to respect
    for table in report.tables(record):
        console.print(table)
    console.print(report.legend(record), markup=False)
    console.print(f"wrote {out}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
