"""The retrieval table: every method, code length and seed on one dataset, mean and spread.

    python bench/retrieval.py               the embedded clipart
    python bench/retrieval.py --root DIR    the full set

Each cell is a run of `python -m distill.train`, kept under --runs and not repeated. Writes every
run's numbers to bench/results/retrieval-NAME.json and prints the table.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

if not __package__:  # run as a file: find the package, and let an installed `distill` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from bench.machine import facts
from distill import checkpoint
from distill.command import one_sentence
from distill.config import DataConfig, load_config
from distill.data.base import ImageTextDataset
from distill.files import write_text
from distill.metrics import mean_average_precision_from_scores
from distill.metrics.scores import DIRECTIONS, Evaluation, direction_label
from distill.train import load_dataset, train

RESULTS = Path(__file__).parent / "results"
Scores = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table: what is trained, on which text, and what is compared."""

    name: str
    method: Literal["soda", "no_teacher", "contrastive"]
    text: Literal["full", "scrubbed"] = "full"
    floats: bool = False


ROWS = (
    Row("SODA (reconstructed)", "soda"),
    Row("SODA, its tanh values unsigned", "soda", floats=True),
    Row("SODA, label words scrubbed from texts", "soda", text="scrubbed"),
    Row("no teacher", "no_teacher"),
    Row("contrastive heads, sign of a random rotation", "contrastive"),
    Row("contrastive heads, float (256-d)", "contrastive", floats=True),
)


@dataclass(frozen=True)
class Command:
    """Train and evaluate every row of the retrieval table."""

    data: Literal["openclipart", "emoji", "emoji-fluent"] = "openclipart"
    root: Path | None = None
    """Folder of the full set; without it the embedded data."""
    bits: tuple[int, ...] = (16, 32, 64)
    seeds: tuple[int, ...] = (0, 1, 2)
    runs: Path = Path("runs/retrieval")
    """Where the runs are kept."""
    out: Path | None = None
    """JSON file; default bench/results/retrieval-NAME.json."""
    threads: int = field(default_factory=torch.get_num_threads)
    """CPU threads of torch."""

    @property
    def name(self) -> str:
        """The dataset's name in file names."""
        return f"{self.data}-{'embedded' if self.root is None else 'full'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        command = tyro.cli(Command, description=__doc__, args=arguments)
        torch.set_num_threads(command.threads)
        results = list(measure(command))
        summary = {
            "dataset": command.name,
            "command": f"python bench/retrieval.py{' --root DIR' if command.root else ''}",
            "bits": command.bits,
            "seeds": command.seeds,
            "facts": facts(),
        }
        text = json.dumps({**summary, "results": results}, indent=1)
        write_text(command.out or RESULTS / f"retrieval-{command.name}.json", text + "\n")
        show(results)


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One record per row, code length and seed; chance is a property of the dataset."""
    for row in ROWS:
        for bits in command.bits:
            if row.method == "contrastive" and row.floats and bits != command.bits[-1]:
                continue  # the float embedding has no code length
            for seed in command.seeds:
                run, dataset = finished_run(command, row, bits, seed)
                scores = Evaluation.from_json(run.metrics())
                maps = float_maps(run, dataset) if row.floats else code_maps(scores)
                yield {
                    "row": row.name,
                    "bits": 0 if row.method == "contrastive" and row.floats else bits,
                    "seed": seed,
                    "map": maps,
                    "chance": scores.chance,
                    "protocol": replace(scores, protocol=dataset.protocol).statement,
                    "seconds": sum(record["seconds"] for record in run.records()),
                }


def finished_run(
    command: Command, row: Row, bits: int, seed: int
) -> tuple[checkpoint.Run, ImageTextDataset]:
    """The run of a cell, trained now unless it is there."""
    path = command.runs / f"{command.name}-{row.method}-{row.text}-{bits}bits-seed{seed}"
    preset = load_config("main" if row.method == "soda" else row.method)
    config = replace(
        preset,
        bits=bits,
        seed=seed,
        run=path,
        data=DataConfig(name=command.data, root=command.root, text=row.text),
        optim=replace(preset.optim, validate_every=0),
    )
    if not (path / checkpoint.METRICS).is_file():
        train(config, resume=True)
    return checkpoint.load_run(path), load_dataset(config)


def code_maps(scores: Evaluation) -> Scores:
    """MAP over the whole ranking by Hamming distance, ties by index."""
    return {name: direction.map for name, direction in scores.directions.items()}


def float_maps(run: checkpoint.Run, dataset: ImageTextDataset) -> Scores:
    """MAP over the whole ranking by inner product of the float vectors."""
    query, database = dataset.splits["query"], dataset.splits["database"]
    labels = dataset.labels[query], dataset.labels[database]
    floats = {m: np.asarray(run.continuous(m)) for m in ("image", "text")}
    return {
        name: mean_average_precision_from_scores(floats[a][query] @ floats[b][database].T, *labels)
        for name, (a, b) in DIRECTIONS.items()
    }


def table_of(results: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Head and lines: mean and sample standard deviation over seeds, four directions."""
    lines = [("MAP", "bits", *map(direction_label, DIRECTIONS))]
    lines.append(("chance", "", *[f"{results[0]['chance']:.3f}"] * len(DIRECTIONS)))
    for row, bits in dict.fromkeys((r["row"], r["bits"]) for r in results):
        group = [r["map"] for r in results if (r["row"], r["bits"]) == (row, bits)]
        cells = [mean_and_spread([maps[name] for maps in group]) for name in DIRECTIONS]
        lines.append((row, str(bits or "float"), *cells))
    return lines


def show(results: Sequence[dict[str, Any]]) -> None:
    """The table on the screen."""
    head, *lines = table_of(results)
    table = Table(*head)
    for line in lines:
        table.add_row(*line)
    console = Console()
    console.print(table)
    console.print(results[0]["protocol"], soft_wrap=True, markup=False, emoji=False)


def mean_and_spread(values: list[float]) -> str:
    """0.123±0.004."""
    spread = f"±{statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
