"""The semi-supervised table: SKDCH, its parts and its baselines by share of labelled items.

    python bench/semisupervised.py                                  the embedded clipart
    python bench/semisupervised.py --root DIR                       the full set
    python bench/semisupervised.py --data emoji-all                 emoji: two drawings and a name
    python bench/semisupervised.py --data wikipedia --root DIR      the Wikipedia features

Each cell is a run of `python -m distill.train`, kept under --runs and not repeated. Writes every
run's numbers to bench/results/semisupervised-NAME.json and prints the tables.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

if not __package__:  # run as a file: find the package, and let an installed `distill` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import tyro
from rich.console import Console
from rich.table import Table

from bench import semisupervised_tables as tables
from bench.command import record_path
from bench.machine import facts
from bench.semisupervised_runs import record_of
from bench.trainings import finish
from distill.command import one_sentence
from distill.config import DataConfig, TrainConfig, load_config
from distill.data.base import ImageTextDataset
from distill.files import write_text
from distill.metrics.scores import CONVENTIONS
from distill.train import load_dataset
from distill.types import DistillError

RESULTS = Path(__file__).parent / "results"
SHARES = (0.10, 0.25, 0.50, 0.75)


@dataclass(frozen=True)
class Row:
    """A method as it is trained.

    Attributes:
        name: in the tables.
        preset: its settings.
        shares: of the training items whose labels may be read.
        plain: whether the student's loss is the plain one.
        modalities: what it takes of a dataset that has more; None: all.
        teacher: whether what counts is the teacher that was trained on the way. It is the one that
            the preset schgan trains of the same seed, to the last bit.
        steps: "passes": an epoch is a pass over its own items; "all": it has as many items as with
            all labels, so that rows of few labels take as many steps as those of many.
    """

    name: str
    preset: str
    shares: tuple[float, ...]
    plain: bool = False
    modalities: tuple[str, ...] | None = None
    teacher: bool = False
    steps: Literal["passes", "all"] = "passes"


def _baseline(name: str, preset: str) -> Row:
    return Row(name, preset, (0.25, 1.0), modalities=("image", "text"), steps="all")


ROWS = (
    Row(tables.SKDCH, "skdch", SHARES),
    Row(tables.TEACHER, "skdch", SHARES, teacher=True),
    Row(tables.ALONE, "triplet", SHARES),
    Row(tables.UPPER, "triplet", (1.0,)),
    Row(tables.PLAIN, "skdch", (0.25,), plain=True),
    Row(tables.ALONE_LONG, "triplet", (0.25,), steps="all"),
    Row(tables.UPPER_PLAIN, "triplet", (1.0,), plain=True),
    _baseline(tables.DCMH, "dcmh"),
    _baseline(tables.SSAH, "ssah"),
    _baseline(tables.DCHMT, "dchmt"),
    _baseline(tables.SODA, "main"),
)
HEAD = load_config("skdch").head
"""Of every row."""
CHOICE = {key: getattr(load_config("skdch").optim, key) for key in ("validate_every", "patience")}
"""How every row chooses its epoch: the best of those that are validated."""
PRESETS = tuple(dict.fromkeys(row.preset for row in ROWS))


@dataclass(frozen=True)
class Command:
    """Train and evaluate every row of the semi-supervised table."""

    data: Literal["openclipart", "emoji-all", "wikipedia"] = "openclipart"
    root: Path | None = None
    """Folder of a full set, or of the Wikipedia features; without it the embedded data."""
    bits: tuple[int, ...] = (16, 32, 64)
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the trainings; the split is the same for all."""
    presets: tuple[str, ...] = PRESETS
    """Rows of these presets alone."""
    runs: Path = Path("runs/semisupervised")
    """Where the runs are kept."""
    out: Path | None = None
    """JSON file; default bench/results/semisupervised-NAME.json, if no size is given."""
    jobs: int = 2
    """Trainings at a time, of one thread each."""

    def __post_init__(self) -> None:
        if other := [name for name in self.presets if name not in PRESETS]:
            raise DistillError(
                f"presets: expected some of {', '.join(PRESETS)}, got {', '.join(other)}; "
                "name others, or none"
            )

    @property
    def name(self) -> str:
        """The dataset's name in file names."""
        if self.data == "wikipedia":
            return self.data
        return f"{self.data}-{'embedded' if self.root is None else 'full'}"

    @property
    def cells(self) -> list[Cell]:
        """All trainings, one after the other."""
        return [
            Cell(row, share, bits, seed)
            for row in ROWS
            if row.preset in self.presets
            for share in row.shares
            for bits in self.bits
            for seed in self.seeds
        ]

    @property
    def words(self) -> str:
        """The command line, without the places of this machine."""
        default = {each.name: each.default for each in fields(self)}
        data = "" if self.data == "openclipart" else f" --data {self.data}"
        root = " --root DIR" if self.root else ""
        given = [
            f" --{name} {' '.join(map(str, getattr(self, name)))}"
            for name in ("bits", "seeds", "presets")
            if getattr(self, name) != default[name]
        ]
        return f"python bench/semisupervised.py{data}{root}{''.join(given)}"

    def data_config(self, labelled: float, modalities: tuple[str, ...] | None = None) -> DataConfig:
        """The dataset at a share of labels; modalities are chosen where there are more than two."""
        chosen = modalities if self.data == "emoji-all" else None
        return DataConfig(self.data, root=self.root, labelled=labelled, modalities=chosen)

    def dataset(self, labelled: float) -> ImageTextDataset:
        """The dataset itself."""
        return dataset_of(self.data_config(labelled))


@cache
def dataset_of(data: DataConfig) -> ImageTextDataset:
    """A dataset, read once."""
    return load_dataset(TrainConfig(data=data))


@dataclass(frozen=True)
class Cell:
    """A training: a row at a share of labels, a code length and a seed."""

    row: Row
    labelled: float
    bits: int
    seed: int

    @property
    def is_longer(self) -> bool:
        """Whether an epoch has more items than there are labelled ones."""
        return self.row.steps == "all" and self.labelled < 1

    @property
    def slug(self) -> str:
        """The training's name in folders."""
        loss = "-plain" if self.row.plain else ""
        loss += "-steps" if self.is_longer else ""
        share = f"labelled{round(100 * self.labelled):03d}"
        return f"{self.row.preset}{loss}-{share}-{self.bits}bits-seed{self.seed}"

    def config(self, command: Command) -> TrainConfig:
        """The settings of the training: one head, and one way to choose the epoch, for all rows."""
        preset = load_config(self.row.preset)
        items = len(command.dataset(1.0).splits["train"]) if self.is_longer else 0
        plain = replace(preset.skdch, loss="plain")
        return replace(
            preset,
            bits=self.bits,
            seed=self.seed,
            run=command.runs / f"{command.name}-{self.slug}",
            data=command.data_config(self.labelled, self.row.modalities),
            head=HEAD,
            optim=replace(preset.optim, epoch_items=items, **CHOICE),
            skdch=plain if self.row.plain else preset.skdch,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        command = tyro.cli(Command, description=__doc__, args=arguments)
        usual = RESULTS / f"semisupervised-{command.name}.json"
        path = record_path(command, Command(), usual, ("bits", "seeds", "presets"))
        record = measure(command)
        write_text(path, as_json(record))
        show(record)


def measure(command: Command) -> dict[str, Any]:
    """Train what is missing, and collect the numbers of every run with their protocol."""
    cells = command.cells
    configs = [cell.config(command) for cell in cells]
    finish(list({config.run_folder: config for config in configs}.values()), command.jobs)
    results = [
        {
            "row": cell.row.name,
            "preset": cell.row.preset,
            "labelled": cell.labelled,
            "bits": cell.bits,
            "seed": cell.seed,
            **record_of(config, dataset_of(config.data), teacher=cell.row.teacher),
        }
        for cell, config in zip(cells, configs, strict=True)
    ]
    return {
        "dataset": command.name,
        "command": command.words,
        "jobs": command.jobs,
        "bits": command.bits,
        "seeds": command.seeds,
        "protocol": command.dataset(1.0).protocol,
        "conventions": CONVENTIONS,
        "hidden": HEAD.hidden,
        "batch_size": configs[0].optim.batch_size,
        "shares": [_share(command, share) for share in sorted({c.labelled for c in cells})],
        "facts": facts(),
        "results": results,
    }


def _share(command: Command, labelled: float) -> dict[str, Any]:
    """How the dataset is divided at a share of labels."""
    dataset = command.dataset(labelled)
    counts = {part: len(rows) for part, rows in dataset.splits.items()}
    return {"labelled": labelled, "protocol": dataset.protocol, **counts}


def as_json(record: dict[str, Any]) -> str:
    """The record as JSON, a run a line."""
    runs = ",\n".join(f"  {json.dumps(run)}" for run in record["results"])
    empty = json.dumps({**record, "results": []}, indent=1)
    return empty.replace('"results": []', f'"results": [\n{runs}\n ]') + "\n"


def show(record: dict[str, Any]) -> None:
    """The tables on the screen."""
    console = Console()
    for which, make in tables.TABLES.items():
        for head, *lines in make(record):
            table = Table()
            for name in head:
                table.add_column(name, overflow="fold")  # a narrow screen cuts no figure
            for line in lines:
                table.add_row(*line)
            console.print(table)
        if note := tables.note(record, which):
            console.print(note, soft_wrap=True, markup=False, emoji=False)


if __name__ == "__main__":
    main()
