"""BRCD against its baselines on a CIFAR-10 subset, in both search paradigms.

    python bench/brcd.py --path cifar10_jpeg_30k.npz    every cell: about an hour on 2 cores
    python bench/brcd.py --path FILE --quick            one student, one seed, few methods
    python bench/brcd.py --synthetic                    the behavioural tests on drawn features
    python bench/brcd.py --path FILE --latency          encoding speed of teacher and students
    python bench/brcd.py --path FILE --share            students that learn from the whole database
    python bench/brcd.py --show                         the tables of the record again

Backbones are frozen, their features computed once (10 minutes) and kept in --cache. A cell is one
training of a student's hash head and the MAP of its codes; a teacher is trained for each seed and
code length. Cells that the record already has are not repeated. Weights are chosen on validation
queries, everything else is reported on the other queries. `runs` of the record says which command
measured what, and with which facts; what it does not name has those of the record itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: find the package, and let an installed `distill` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import torch
import tyro

from bench.command import record_path
from bench.distillation import bars, cell, features, latency, share, summary, synthetic, tables
from bench.distillation.grid import METHODS, Cell, Teacher, groups, quick, teacher_key
from bench.machine import facts
from distill.command import one_sentence
from distill.files import write_text
from distill.types import DistillError

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Command:
    """Measure BRCD and its baselines, and write every number to a record."""

    path: Path | None = None
    """The CIFAR-10 subset, an .npz file."""
    cache: Path = Path("runs/brcd-bench")
    """Features, teachers and the precision of every query: what a record is summarised from."""
    out: Path | None = None
    """The record; default bench/results/brcd.json, with --quick runs/brcd-quick.json."""
    workers: int = 2
    """Processes, each with one thread."""
    quick: bool = False
    """A few cells."""
    synthetic: bool = False
    """Only the behavioural tests on drawn features."""
    latency: bool = False
    """Only the encoding speed."""
    share: bool = False
    """Only the students that learn from the whole database; the teachers must be there."""
    summary: bool = False
    """Only means, differences and bars anew, from the cells that the record has."""
    show: bool = False
    """Only the tables of the record."""

    @property
    def record(self) -> Path:
        """The file that is written."""
        return self.out or (Path("runs/brcd-quick.json") if self.quick else RESULTS / "brcd.json")

    @property
    def words(self) -> str:
        """The command line, without the places of this machine."""
        flags = ("quick", "synthetic", "latency", "share", "summary")
        given = [f"--{name}" for name in flags if getattr(self, name)]
        path = ["--path FILE"] if self.path else []
        workers = [f"--workers {self.workers}"] if self.workers != Command.workers else []
        return " ".join(["python bench/brcd.py", *path, *workers, *given])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        command = tyro.cli(Command, description=__doc__, args=arguments)
        record = _opened(command)
        if not command.show:
            record_path(command, Command(), command.record)  # that it can be written
            _fill(command, record)
        print(tables.everything(record))


def _fill(command: Command, record: dict[str, Any]) -> None:
    """Measure what was asked for, and write it."""
    if command.synthetic:
        torch.set_num_threads(1)
        record["synthetic"] = synthetic.measure()
        _write(command, record, "synthetic")
    elif command.latency:
        record["latency"] = latency.measure(_path(command))
        _write(command, record, "latency")
    elif command.share:
        loaded = features.load(_path(command), command.cache)
        record["share"] = share.measure(_path(command), loaded, command.cache)
        _write(command, record, "share")
    elif command.summary:
        _summarise(command, record)
    else:
        measure(command, record)


def measure(command: Command, record: dict[str, Any]) -> None:
    """Train the teachers and cells that are missing, most telling group first."""
    path = _path(command)
    os.environ |= {"OMP_NUM_THREADS": "1", "HAMMING_THREADS": "1"}
    torch.set_num_threads(1)
    record["protocol"] = features.load(path, command.cache).protocol
    record["settings"] = {
        "towers": {name: list(tower) for name, tower in features.TOWERS.items()},
        "views": features.VIEWS,
        "teacher": asdict(cell.TEACHER_OPTIM),
        "student": asdict(cell.STUDENT_OPTIM),
        "clusters": cell.N_CLUSTERS,
        "margin": cell.MARGIN,
        "top": cell.TOP,
        "methods": METHODS,
    }
    with ProcessPoolExecutor(
        command.workers, get_context("spawn"), _prepare, (path, command.cache)
    ) as pool:
        for name, cells in quick() if command.quick else groups():
            teachers = dict.fromkeys((c.teacher, c.bits, c.seed) for c in cells)
            jobs: dict[str, tuple[Callable[..., Any], Any]] = {
                teacher_key(*which): (_teacher, which)
                for which in teachers
                if teacher_key(*which) not in record["teachers"]
                or not cell.has_teacher(command.cache, *which)
            }
            _run(pool, jobs, command, record, "teachers", name)
            missing = {
                c.key: (_cell, (c,))
                for c in cells
                if c.key not in record["cells"] or not cell.has_precisions(command.cache, c.key)
            }
            _run(pool, missing, command, record, "cells", name)
    _summarise(command, record)


def _run(
    pool: ProcessPoolExecutor,
    jobs: dict[str, tuple[Callable[..., Any], Any]],
    command: Command,
    record: dict[str, Any],
    table: str,
    group: str,
) -> None:
    """Run jobs and keep each result as it comes."""
    pending = {pool.submit(function, *given): key for key, (function, given) in jobs.items()}
    for number, done in enumerate(as_completed(pending), start=1):
        key = pending[done]
        record[table][key] = done.result()
        _write(command, record, f"{table}/{key}")
        shown = {k: v for k, v in record[table][key].items() if isinstance(v, float)}
        print(time.strftime("%H:%M:%S"), f"{group} {number}/{len(jobs)}", key, shown, flush=True)


_FEATURES: features.Features
_CACHE: Path


def _prepare(path: Path, cache: Path) -> None:
    """What each process keeps in memory."""
    global _FEATURES, _CACHE
    torch.set_num_threads(1)
    _FEATURES, _CACHE = features.load(path, cache), cache


def _teacher(kind: Teacher, bits: int, seed: int) -> dict[str, Any]:
    return cell.train_teacher(_FEATURES, kind, bits, seed, _CACHE)


def _cell(which: Cell) -> dict[str, Any]:
    return cell.run(which, _FEATURES, _CACHE)


def _summarise(command: Command, record: dict[str, Any]) -> None:
    results = summary.Results(record["cells"], command.cache)
    record["tuned"] = {setting: summary.tuned(results, setting) for setting in summary.SETTINGS}
    record["comparisons"] = summary.comparisons(results)
    record["must_pass"] = [
        bar._asdict() for bar in bars.must_pass(results, record["cells"], record["teachers"])
    ]
    record["ambitious"] = [bar._asdict() for bar in bars.ambitious(results)]
    _write(command, record, "summary")


def _opened(command: Command) -> dict[str, Any]:
    """The record as far as it is, or an empty one."""
    if command.record.is_file():
        record: dict[str, Any] = json.loads(command.record.read_text(encoding="utf-8"))
        return record
    if command.show:
        raise DistillError(f"out: expected a record to show, got no {command.record}; measure one")
    return {"teachers": {}, "cells": {}}


def _write(command: Command, record: dict[str, Any], measured: str) -> None:
    """The record, which says of `measured` that this command has; the rest stays as it is signed.

    Args:
        command: whose words sign.
        record: of everything so far.
        measured: "synthetic", "latency", "share", "summary", "teachers/KEY" or "cells/KEY".
    """
    signature = {"command": command.words, "facts": _facts()}
    runs = record.setdefault("runs", [])
    for run in runs:
        run["measured"] = [name for name in run["measured"] if name != measured]
    own = next((run for run in runs if run.items() >= signature.items()), None)
    if own is None:
        runs.append(own := {**signature, "measured": []})
    own["measured"].append(measured)
    record["runs"] = [run for run in runs if run["measured"]]
    write_text(command.record, json.dumps(record, indent=1) + "\n")


@cache
def _facts() -> dict[str, Any]:
    """Of this process, which asks git for them once."""
    return facts()


def _path(command: Command) -> Path:
    if command.path is None:
        raise DistillError("path: expected the .npz file of the CIFAR-10 subset, got nothing")
    return command.path


if __name__ == "__main__":
    main()
