"""Evaluated runs, those that differ only in their seeds taken together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean, stdev

from distill import tables
from distill.checkpoint import Run, load_run
from distill.config import TrainConfig, differing_keys
from distill.data import ImageTextDataset
from distill.metrics.scores import CONVENTIONS, DirectionScores, Evaluation

SEEDS = {"seed", "data.split_seed"}
"""Settings whose values are repetitions of one experiment."""
TEACHER = "images.teacher_run"


@dataclass(frozen=True)
class Entry:
    """An evaluated run with the dataset whose items its codes are."""

    run: Run
    dataset: ImageTextDataset
    evaluation: Evaluation


@dataclass(frozen=True)
class Group:
    """Runs of one experiment.

    Attributes:
        name: Short and unlike that of any other group.
        entries: The runs, at least one.
    """

    name: str
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """The run that stands for the group where only one can be shown."""
        return self.entries[0]

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions that were scored."""
        return tuple(self.first.evaluation.directions)

    def scores(self, direction: str) -> list[DirectionScores]:
        """One direction of every run."""
        return [entry.evaluation.directions[direction] for entry in self.entries]

    def values(
        self, direction: str, value: Callable[[DirectionScores], float | None]
    ) -> list[float]:
        """A number of every run that has it."""
        found = [value(scores) for scores in self.scores(direction)]
        return [each for each in found if each is not None]

    @property
    def fingerprint(self) -> str | None:
        """Of the dataset and split that all runs share; None where splits differ."""
        found = {entry.dataset.fingerprint for entry in self.entries}
        return found.pop() if len(found) == 1 else None

    @property
    def made_by(self) -> str:
        """Bits, backbone and seeds."""
        one = self.first.evaluation
        seeds = ", ".join(str(entry.evaluation.seed) for entry in self.entries)
        plural = "s" * (len(self.entries) > 1)
        parts = (one.method, one.backbone, f"{one.n_bits} bits", f"seed{plural} {seeds}")
        return ", ".join(filter(None, parts))


def grouped(entries: Iterable[Entry]) -> list[Group]:
    """Return the groups in the order of their first runs."""
    parts: list[list[Entry]] = []
    for entry in entries:
        for part in parts:
            if _repeats(part[0].run, entry.run):
                part.append(entry)
                break
        else:
            parts.append([entry])
    names = _names([part[0] for part in parts])
    return [Group(name, tuple(part)) for name, part in zip(names, parts, strict=True)]


def directions_of(groups: Iterable[Group]) -> tuple[str, ...]:
    """Every direction that any group has, in order."""
    return tuple(dict.fromkeys(name for group in groups for name in group.directions))


def statement(groups: Sequence[Group]) -> str:
    """Everything the numbers of a table depend on, in sentences."""
    evaluations = [entry.evaluation for group in groups for entry in group.entries]
    data = dict.fromkeys(
        f"{each.protocol.rstrip('. ')}. {each.n_query:,} queries, {each.n_database:,} items."
        for each in evaluations
    )
    rows = "; ".join(f"{group.name}: {group.made_by}" for group in groups)
    return f"{' '.join(data)} Rows: {rows}. {CONVENTIONS}"


def spread(values: Sequence[float]) -> str:
    """Mean, and sample standard deviation of two or more."""
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _repeats(one: Run, other: Run) -> bool:
    """Whether two runs are one experiment: their seeds differ, and those of their teachers."""
    different = set(differing_keys(one.config, other.config)) - SEEDS
    if different != {TEACHER}:
        return not different
    teachers = [_teacher(run.config) for run in (one, other)]
    return set(differing_keys(*teachers)) <= SEEDS


def _teacher(config: TrainConfig) -> TrainConfig:
    """The settings of the teacher's run, its own where that run is gone."""
    path = config.images.teacher_run
    return load_run(path).config if path is not None and path.is_dir() else config


def _names(entries: Sequence[Entry]) -> list[str]:
    """Method and bits, and the settings that tell groups of the same method and bits apart."""
    short = [f"{each.evaluation.method} · {each.evaluation.n_bits} bits" for each in entries]
    names = []
    for entry, name in zip(entries, short, strict=True):
        same = [each for each, other in zip(entries, short, strict=True) if other == name]
        found = (differing_keys(entry.run.config, each.run.config) for each in same)
        settings = tables.flatten(tables.to_dict(entry.run.config))
        keys = (key for key in dict.fromkeys(chain(*found)) if key not in SEEDS)
        names.append(" · ".join([name, *(f"{key} {settings.get(key, 'unset')}" for key in keys)]))
    return names
