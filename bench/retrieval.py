"""The retrieval table: SODA, its ablations and its baselines on one dataset, mean and spread.

    python bench/retrieval.py                                  the embedded clipart
    python bench/retrieval.py --root DIR                       the full set
    python bench/retrieval.py --data wikipedia --root DIR      the Wikipedia features

Each cell is a run of `python -m distill.train`, kept under --runs and not repeated. Writes every
run's numbers to bench/results/retrieval-NAME.json and prints the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

if not __package__:  # run as a file: find the package, and let an installed `distill` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from bench.command import record_path
from bench.machine import facts
from bench.retrieval_tables import table_of
from bench.trainings import finish
from distill import checkpoint
from distill.binarize import Itq
from distill.command import one_sentence
from distill.config import DataConfig, TrainConfig, load_config
from distill.data.base import ImageTextDataset
from distill.files import write_text
from distill.metrics import mean_average_precision, mean_average_precision_from_scores
from distill.metrics.scores import DIRECTIONS, Evaluation
from distill.run_evaluation import backbone
from distill.train import load_dataset

RESULTS = Path(__file__).parent / "results"
Scores = dict[str, float]
FLOAT = 0
"""The number of bits of what has none."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is trained, on which text, and what is compared."""

    name: str
    preset: str
    made: Literal["codes", "floats", "itq"] = "codes"
    text: Literal["full", "scrubbed"] = "full"


SODA = "SODA (reconstructed, with our contrast)"
ROWS = (
    Row(SODA, "main"),
    Row("SODA, its tanh values unsigned", "main", made="floats"),
    Row("SODA, label words scrubbed from texts", "main", text="scrubbed"),
    Row("no teacher", "no_teacher"),
    Row("no teacher, without the contrast", "no_teacher-no-contrast"),
    Row("contrastive heads, sign of a random rotation", "contrastive"),
    Row("contrastive heads, ITQ", "contrastive", made="itq"),
    Row("contrastive heads, float (256-d)", "contrastive", made="floats"),
)
ABLATIONS = (
    Row("bare label names as prompt", "soda-bare"),
    Row("a prompt per label, averaged", "soda-set"),
    Row("labels as a vector, no prompt", "soda-multihot"),
    Row("without the contrast", "soda-no-contrast"),
    Row("without the gap", "soda-no-gap"),
    Row("without the pair distillation", "soda-no-pair"),
    Row("without quantisation", "soda-no-quantization"),
    Row("three branches in one stage", "soda-joint"),
    Row("with a memory", "soda-memory"),
    Row("with multi-level similarity", "soda-multilevel"),
    Row("with normalised theta", "soda-normalize"),
    Row("with the relation term", "soda-relation"),
    Row("with balanced bits", "soda-balance"),
    Row("student updates the image head", "soda-updates-image"),
)


@dataclass(frozen=True)
class Command:
    """Train and evaluate every row of the retrieval table."""

    data: Literal["openclipart", "emoji", "emoji-fluent", "wikipedia"] = "openclipart"
    root: Path | None = None
    """Folder of the full set, or of the Wikipedia features; without it the embedded data."""
    bits: tuple[int, ...] = (16, 32, 64)
    ablation_bits: tuple[int, ...] = (16, 32, 64)
    """Code lengths of the ablations."""
    seeds: tuple[int, ...] = (0, 1, 2)
    runs: Path = Path("runs/retrieval")
    """Where the runs are kept."""
    out: Path | None = None
    """JSON file; default bench/results/retrieval-NAME.json, if no size is given."""
    jobs: int = 2
    """Trainings at a time, of one thread each."""

    @property
    def name(self) -> str:
        """The dataset's name in file names."""
        if self.data == "wikipedia":
            return self.data
        return f"{self.data}-{'embedded' if self.root is None else 'full'}"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that the dataset has; Wikipedia's texts are counts, without words to scrub."""
        rows = (*ROWS, *ABLATIONS)
        return tuple(row for row in rows if self.data != "wikipedia" or row.text == "full")

    @property
    def words(self) -> str:
        """The command line, without the places of this machine."""
        data = "" if self.data == "openclipart" else f" --data {self.data}"
        root = " --root DIR" if self.root else ""
        fewer = " ".join(["", "--ablation-bits", *map(str, self.ablation_bits)])
        fewer = "" if self.ablation_bits == self.bits else fewer
        return f"python bench/retrieval.py{data}{root}{fewer}"


@dataclass(frozen=True)
class Cell:
    """A training: a row at a code length and a seed."""

    row: Row
    bits: int
    seed: int

    def config(self, command: Command) -> TrainConfig:
        """The settings of the training."""
        preset = load_config(self.row.preset)
        name = f"{command.name}-{self.row.preset}-{self.row.text}"
        return replace(
            preset,
            bits=self.bits,
            seed=self.seed,
            run=command.runs / f"{name}-{self.bits}bits-seed{self.seed}",
            data=DataConfig(name=command.data, root=command.root, text=self.row.text),
            optim=replace(preset.optim, validate_every=0, patience=0),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        command = tyro.cli(Command, description=__doc__, args=arguments)
        usual = RESULTS / f"retrieval-{command.name}.json"
        out = record_path(command, Command(), usual, ("bits", "ablation_bits", "seeds"))
        results, protocol = measure(command)
        record = {
            "dataset": command.name,
            "command": command.words,
            "bits": command.bits,
            "ablation_bits": command.ablation_bits,
            "seeds": command.seeds,
            "protocol": protocol,
            "ablations": [row.name for row in ABLATIONS],
            "facts": facts(),
            "results": results,
        }
        text = json.dumps(record, indent=1)
        write_text(out, text + "\n")
        show(record)


def measure(command: Command) -> tuple[list[dict[str, Any]], str]:
    """One record per row, code length and seed; and the protocol they all hold under."""
    cells = [
        Cell(row, bits, seed)
        for row in command.rows
        for bits in _bits(row, command)
        for seed in command.seeds
    ]
    trainings = list({cell.config(command).run: cell for cell in cells}.values())
    finish([cell.config(command) for cell in trainings], command.jobs)
    statement = scored(command, trainings[0])[0].statement
    return [record(command, cell) for cell in cells], statement


def _bits(row: Row, command: Command) -> tuple[int, ...]:
    """The code lengths of a row; a float embedding is the same at every one."""
    if row in ABLATIONS:
        return command.ablation_bits
    floats = row.preset == "contrastive" and row.made == "floats"
    return command.bits[-1:] if floats else command.bits


def record(command: Command, cell: Cell) -> dict[str, Any]:
    """The numbers of a cell."""
    scores, run, dataset = scored(command, cell)
    floats = cell.row.preset == "contrastive" and cell.row.made == "floats"
    if cell.row.made == "floats":
        maps = float_maps(run, dataset)
    elif cell.row.made == "itq":
        maps = itq_maps(run, dataset, cell.bits)
    else:
        maps = {name: direction.map for name, direction in scores.directions.items()}
    return {
        "row": cell.row.name,
        "preset": cell.row.preset,
        "bits": FLOAT if floats else cell.bits,
        "seed": cell.seed,
        "map": maps,
        "chance": scores.chance,
        "seconds": sum(epoch["seconds"] for epoch in run.records()),
    }


def scored(command: Command, cell: Cell) -> tuple[Evaluation, checkpoint.Run, ImageTextDataset]:
    """The evaluation of a cell's training under its dataset's own words, the run, the dataset."""
    config = cell.config(command)
    run, dataset = checkpoint.load_run(config.run_folder), _dataset(config.data)
    scores = Evaluation.from_json(run.metrics())
    stated = {"protocol": dataset.protocol, "backbone": backbone(run.config, dataset.features)}
    return replace(scores, **stated), run, dataset


@cache
def _dataset(data: DataConfig) -> ImageTextDataset:
    return load_dataset(TrainConfig(data=data))


def float_maps(run: checkpoint.Run, dataset: ImageTextDataset) -> Scores:
    """MAP over the whole ranking by inner product of the float vectors."""
    query, database = dataset.splits["query"], dataset.splits["database"]
    labels = dataset.labels[query], dataset.labels[database]
    floats = _floats(run)
    return {
        name: mean_average_precision_from_scores(floats[a][query] @ floats[b][database].T, *labels)
        for name, (a, b) in DIRECTIONS.items()
    }


def itq_maps(run: checkpoint.Run, dataset: ImageTextDataset, n_bits: int) -> Scores:
    """MAP of the codes that ITQ makes of float vectors, fitted to both modalities' train rows."""
    query, database = dataset.splits["query"], dataset.splits["database"]
    labels = dataset.labels[query], dataset.labels[database]
    floats, rows = _floats(run), dataset.splits["train"]
    fitted = Itq(n_bits, seed=run.config.seed).fit(
        np.concatenate([f[rows] for f in floats.values()])
    )
    codes = {m: fitted.codes(f) for m, f in floats.items()}
    return {
        name: mean_average_precision(codes[a][query], codes[b][database], *labels)
        for name, (a, b) in DIRECTIONS.items()
    }


def _floats(run: checkpoint.Run) -> dict[str, np.ndarray]:
    return {m: np.asarray(run.continuous(m)) for m in ("image", "text")}


def show(record: dict[str, Any]) -> None:
    """The table on the screen."""
    head, *lines = table_of(record)
    table = Table(*head)
    for line in lines:
        table.add_row(*line)
    console = Console()
    console.print(table)
    console.print(record["protocol"], soft_wrap=True, markup=False, emoji=False)


if __name__ == "__main__":
    main()
