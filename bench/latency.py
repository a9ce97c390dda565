"""Latency and throughput of `hamming` beside its rivals, in one process on the same data.

    python bench/latency.py                     what README shows, about twelve minutes
    python bench/latency.py --quick             the same suites on small shapes, about a minute
    python bench/latency.py --suite radius_search --suite mask
    python bench/latency.py --device cuda       encoder and search in one chain on a GPU
    python bench/report.py FILE.json            tables and figure of a result file again

Every result is compared with NumPy's exact one before anything is timed. The machine's ceilings are
measured in the same run: how fast it reads memory, and how many codes it compares in L1. Timings,
versions and the machine go to bench/results/ as JSON, tables to the screen.
Exit status: 0 measured, 1 a wrong result or an unwritable file, 2 wrong use.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from rich.console import Console

import hamming
from bench import command, machine, report, shapes, targets
from bench.ceilings import MEMORY_BYTES, Ceilings
from bench.harness import Budget
from bench.shapes import Shape
from bench.suites import DEFAULT, SUITES, frame
from hamming.backends.cuda import CUDA

RESULTS = machine.ROOT / "bench" / "results"
QUICK = Budget(seconds=1.5, min_rounds=3)
Job = tuple[str, Any]
"""A suite's name and one of its shapes."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    options.backend, forced = _backend(parser, options)
    if options.device:
        return _chain(parser, options, arguments)
    if options.shape and options.suite not in (None, ["topk"]):
        parser.error("--shape: expected no other --suite than topk, whose shapes it names")
    # Small shapes have records of their own, which no page is made of.
    sizes = () if options.quick or options.shape else ("seconds",)
    out = command.parsed_path(parser, options, RESULTS / _file_name(options, forced), sizes)
    progress = Console(stderr=True, highlight=False)
    chosen = _runnable(_jobs(options), options.backend if forced else None, progress)
    if not chosen:
        parser.error("no shape is left to measure; choose a smaller one or another backend")
    try:
        record = {
            "command": ["bench/latency.py", *arguments],
            **_measure(chosen, options, progress),
        }
        report.save(record, out)
    except frame.WrongResultError as error:
        progress.print(f"wrong result, nothing is written: {error}", markup=False)
        return 1
    except OSError as error:
        progress.print(f"{out}: could not be written: {error.strerror}", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("stopped, nothing is written")
        return 130
    report.show(record)
    progress.print(f"wrote {out}", markup=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("bench/latency.py", __doc__)
    parser.add_argument("--quick", action="store_true", help="small shapes, few repeats")
    parser.add_argument(
        "--suite",
        action="append",
        choices=[*SUITES, "all"],
        help=f"measure this instead of {', '.join(DEFAULT)}; may be repeated",
    )
    parser.add_argument(
        "--seconds", type=_positive, metavar="S", help="to time each shape for (the suite's own)"
    )
    parser.add_argument(
        "--shape",
        action="append",
        type=_shape,
        metavar="BITS,CODES,QUERIES,K[,ORDER]",
        help="measure this shape of topk, e.g. 64,1e6,100,10; may be repeated",
    )
    parser.add_argument("--threads", type=_positive, default=1, help="for every contender (1)")
    parser.add_argument(
        "--backend", metavar="NAME", help=f"of hamming: {', '.join(host_backends())}"
    )
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        help="measure encoder and search as one chain there, instead of suites",
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
        if name not in host_backends():
            known = ", ".join(host_backends())
            parser.error(f"{source}: expected one of {known}, got {name!r}")
        return name, True
    return host_backends()[0], False


def host_backends() -> list[str]:
    """Those for arrays in host memory, best first; what a GPU does is bench/gpu.py's."""
    return [name for name in hamming.backends() if name != "cuda"]


def _chain(
    parser: argparse.ArgumentParser, options: argparse.Namespace, arguments: Sequence[str]
) -> int:
    """The chain from images to neighbours on options.device."""
    import torch

    from bench import chain

    if options.device == "cuda" and "cuda" not in hamming.backends():
        parser.error(f"--device: expected cpu, as no GPU can be used here ({CUDA.missing})")
    usual = RESULTS / f"chain-{options.device}.json"
    out = command.parsed_path(parser, options, usual, ("quick", "seconds"))
    quick = options.quick or options.device == "cpu"
    begin = time.time()
    rows = [
        chain.measure(one, options.device, options.seconds or (1 if quick else 10))
        for one in (chain.QUICK if quick else chain.CHAINS)
    ]
    record = {
        "command": ["bench/latency.py", *arguments],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "machine": machine.facts(),
        "rows": rows,
    }
    report.save(record, out)
    Console().print(chain.table(rows))
    print(f"wrote {out}")
    return 0


def _jobs(options: argparse.Namespace) -> list[Job]:
    if options.shape:
        return [("topk", shape) for shape in options.shape]
    return [
        (name, shape)
        for name in _suites(options)
        for shape in (SUITES[name].quick if options.quick else SUITES[name].shapes)
    ]


def _suites(options: argparse.Namespace) -> Sequence[str]:
    asked = options.suite or DEFAULT
    return tuple(SUITES) if "all" in asked else tuple(dict.fromkeys(asked))


def _file_name(options: argparse.Namespace, forced: bool) -> str:
    suites = "".join(f"-{name}" for name in options.suite or ())
    grid = "-shape" if options.shape else "-quick" if options.quick else ""
    threads = f"-{options.threads}threads" if options.threads != 1 else ""
    return f"latency{suites}{grid}{threads}{f'-{options.backend}' if forced else ''}.json"


def _runnable(jobs: Sequence[Job], forced: str | None, progress: Console) -> list[Job]:
    """Without the shapes this machine, or the forced backend, cannot run; says which and why."""
    available = machine.available_memory()
    chosen = []
    for name, shape in jobs:
        backend, need = getattr(shape, "backend", None), shape.memory_bytes
        if backend is not None and backend not in hamming.backends():
            progress.print(f"skipped: {shape}: this machine has no such backend")
        elif backend is not None and forced is not None:
            progress.print(f"skipped: {shape}: {forced} is forced")
        elif available is not None and need > available:
            need, have = need / 1e9, available / 1e9
            progress.print(f"skipped: {shape}: needs {need:.1f} GB, {have:.1f} GB are available")
        else:
            chosen.append((name, shape))
    return chosen


def _measure(chosen: Sequence[Job], options: argparse.Namespace, progress: Console) -> dict:
    begin, load, others = time.time(), machine.load_average(), machine.Others()
    # Lines, not a live display: its thread would be charged to whoever is timed.
    progress.print("read bandwidth ...")
    ceilings = Ceilings(options.threads, seconds=1 if options.quick else 4)
    ceilings.read(MEMORY_BYTES)
    rows = []
    for number, (name, shape) in enumerate(chosen, start=1):
        progress.print(f"{number}/{len(chosen)} {name}: {shape} ...", markup=False)
        row = frame.run(
            SUITES[name],
            shape,
            backend=options.backend,
            threads=options.threads,
            budget=_budget(options),
        )
        rows.append({"suite": name, **row})
    progress.print("ceilings ...")
    ceilings.read(MEMORY_BYTES, again=True)  # a neighbour can only make it look smaller
    for (name, shape), row in zip(chosen, rows, strict=True):
        row["ceiling"] = _ceiling(SUITES[name], shape, row, ceilings)
    # Targets are for one thread and the best backend.
    aimed = options.threads == 1 and options.backend == host_backends()[0]
    for row in rows:
        row["verdicts"] = targets.verdicts(row, rows) if aimed else []
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin, 1),
        "threads": options.threads,
        "backend": options.backend,
        "machine": machine.facts(),
        "load_average": {"begin": load, "end": machine.load_average()},
        "other_processes_cpus": round(others.cpus(), 2),
        "ceilings": ceilings.record(),
        "rows": rows,
    }


def _budget(options: argparse.Namespace) -> Budget | None:
    """None: the suite's."""
    if options.seconds:
        return Budget(options.seconds, min_rounds=3)
    return QUICK if options.quick else None


def _ceiling(suite: frame.Suite, shape: Any, row: dict, ceilings: Ceilings) -> dict | None:
    """What bounds the row's rate, and how much of that our own engine reaches."""
    if suite.ceiling is None:
        return None
    if suite.ceiling == "read":
        found = {"rate": ceilings.read(shape.read_bytes)["gb_per_s"], "bound": "memory"}
    else:
        found = ceilings.of_scan(row["backend"], shape.n_bits, shape.n_codes, shape.n_queries)
    ours = next(iter(row["contenders"].values()))["rate"]
    return found | {"fraction": ours / found["rate"] if found["rate"] else None}


if __name__ == "__main__":
    sys.exit(main())
