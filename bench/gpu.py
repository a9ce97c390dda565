"""Everything a GPU has to answer, in one command: right or wrong, how fast, beside whom, how bad.

    python bench/gpu.py --out gpu.json          all steps, within nine minutes
    python bench/gpu.py --resume gpu.json       what an earlier run did not get to, or what failed
    python bench/gpu.py --only correctness --out gpu.json    one step; or several --only
    python bench/gpu.py --dry                   every step on an emulation, small, without a GPU
    python bench/gpu.py --show gpu.json         the tables of a result file again

The package must be installed for the Python that runs this: where it is not,
`python -m pip install --no-deps --no-build-isolation .` needs a C++ compiler, CMake and pybind11.

Cases run one by one in a process of their own. Each one's result is on the disk before the next
begins; one that fails, faults or hangs costs itself alone, and one that no longer fits the budget
is left out with that reason. Times are of CUDA events: medians of calls that take turns. The table
at the end holds them against the targets of the GPU search. FAISS takes part where `import faiss`
finds one with GPU code.
Exit status: 0 ran, 1 a wrong result, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file, also by each process that this one starts: find the package,
    here = Path(__file__).resolve().parent  # and let an installed `hamming` come first
    others = [path for path in sys.path if Path(path).resolve() != here]
    sys.path[:] = [*dict.fromkeys([*others, str(here.parent)])]

from rich.console import Console

from bench import command, machine, report
from bench.gpu_steps import STEPS, session, tables, targets
from bench.gpu_steps.card import EmulatedCard, GpuCard, missing_gpu
from bench.gpu_steps.frame import WRONG, Step

RESULTS = machine.ROOT / "bench" / "results"
BUDGET = 540.0  # seconds: less than the ten minutes that a command may take


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    if options.show:
        tables.show(_load(parser, options.show, "--show"))
        return 0
    reason = None if options.dry else missing_gpu()
    if reason:
        parser.error(f"expected a GPU, got none ({reason}); --dry runs all steps on an emulation")
    card = "emulated" if options.dry else _card()
    usual = options.resume or _default_out(card, options.dry)
    sizes = () if options.resume or options.dry else ("only", "budget")
    out = command.parsed_path(parser, options, usual, sizes)
    record = _record(parser, options, card)
    run: dict[str, Any] = {"command": ["bench/gpu.py", *arguments], "started": _now()}
    run |= {"git": machine.git(), "commit": options.commit, "budget_seconds": options.budget}
    record["runs"].append(run)
    begin = time.monotonic()
    progress = Console(stderr=True, highlight=False, soft_wrap=True)

    def finish() -> None:
        run["seconds"] = round(time.monotonic() - begin, 1)
        record["targets"] = [line._asdict() for line in targets.verdicts(record)]
        record["crossovers"] = targets.crossovers(record)
        report.save(record, out)

    def say(line: str) -> None:
        progress.print(f"{time.monotonic() - begin:5.0f} s  {line}", markup=False)

    try:
        session.Session(record, out, begin + options.budget, say, options.dry).run(_steps(options))
    except KeyboardInterrupt:
        finish()
        progress.print(f"stopped; what was found is in {out}", markup=False)
        return 130
    finish()
    tables.show(record)
    progress.print(f"wrote {out}", markup=False)
    return 1 if _any_wrong(record) else 0


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(step.name for step in STEPS)
    parser = command.parser("bench/gpu.py", f"{__doc__}\nsteps: {names}")
    add = parser.add_argument
    add("--dry", action="store_true", help="on the tests' emulation, with small shapes")
    add(
        "--only",
        action="append",
        metavar="STEP",
        choices=[step.name for step in STEPS],
        help="this step and the others named so (default: all, in the order below)",
    )
    add(
        "--budget",
        type=_seconds,
        default=BUDGET,
        metavar="SECONDS",
        help="a case that would not fit is left out (default: %(default)g)",
    )
    add("--resume", type=Path, metavar="FILE", help="keep what this result file has, do the rest")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="(default: the resumed file, or bench/results/gpu-CARD.json; build/gpu-dry.json)",
    )
    add("--commit", help="to be noted, where there is no git checkout to ask")
    add("--show", type=Path, metavar="FILE", help="only print the tables of a result file")
    return parser


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return found


def _steps(options: argparse.Namespace) -> list[Step]:
    return [step for step in STEPS if not options.only or step.name in options.only]


def _card() -> str:
    """Its name; asking starts no CUDA context in this process."""
    import cupy

    name: str = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return name


def _default_out(card: str, dry: bool) -> Path:
    if dry:
        return machine.ROOT / "build" / "gpu-dry.json"
    word = re.sub(r"[^a-z0-9]+", "-", card.lower().removeprefix("nvidia ")).strip("-")
    return RESULTS / f"gpu-{word}.json"


def _record(
    parser: argparse.ArgumentParser, options: argparse.Namespace, card: str
) -> dict[str, Any]:
    """What a resumed run has found, or nothing yet."""
    if not options.resume:
        clock = EmulatedCard.clock if options.dry else GpuCard.clock
        return {
            "card": card,
            "dry": options.dry,
            "clock": clock,
            "runs": [],
            "banned": [],
            "steps": {},
        }
    found = _load(parser, options.resume, "--resume")
    if (found["card"], found["dry"]) != (card, options.dry):
        parser.error(f"--resume: expected a run on {card}, got one on {found['card']}")
    return found


def _load(parser: argparse.ArgumentParser, path: Path, option: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        if not {"card", "dry", "clock", "runs", "banned", "steps"} <= set(found):
            raise ValueError("it has no steps")
    except (OSError, ValueError, TypeError) as error:
        parser.error(f"{option}: expected a result of bench/gpu.py, got {path} ({error})")
    return dict(found)


def _any_wrong(record: dict[str, Any]) -> bool:
    rows = [row for step in record["steps"].values() for row in step["rows"].values()]
    return any(row["status"] == WRONG for row in rows)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


if __name__ == "__main__":
    sys.exit(main())
