"""Evaluated runs, those that differ only in their seeds taken together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev

from distill.checkpoint import Run, load_run
from distill.config import differing_keys
from distill.data import ImageTextDataset
from distill.metrics.scores import CONVENTIONS, DirectionScores, Evaluation
from distill.report.names import SEEDS, row_names, unstated
from distill.types import DistillError

TEACHER = "images.teacher_run"


@dataclass(frozen=True)
class Entry:
    """An evaluated run with the dataset whose items its codes are."""

    run: Run
    dataset: ImageTextDataset
    evaluation: Evaluation


@dataclass(frozen=True)
class Group:
    """Runs of one experiment, a row of every table.

    Attributes:
        letter: Stands for the group in figures.
        name: Short and unlike that of any other group.
        settings: In full what the name is short for, or "".
        entries: The runs, at least one.
    """

    letter: str
    name: str
    settings: str
    entries: tuple[Entry, ...]

    @property
    def label(self) -> str:
        """Letter and name, the first cell of a row."""
        return f"{self.letter} · {self.name}"

    @property
    def first(self) -> Entry:
        """The run that stands for the group where only one can be shown."""
        return self.entries[0]

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions that were scored in every run."""
        found = [entry.evaluation.directions for entry in self.entries]
        return tuple(name for name in found[0] if all(name in each for each in found))

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
    def splits(self) -> dict[str, list[Entry]]:
        """Fingerprint of a dataset with its split -> the runs on it, in order of fingerprints."""
        found: dict[str, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.dataset.fingerprint):
            found.setdefault(entry.dataset.fingerprint, []).append(entry)
        return found

    @property
    def made_by(self) -> str:
        """Bits, backbone, seeds, and what nobody knows."""
        one, configs = self.first.evaluation, [entry.run.config for entry in self.entries]
        splits = [config.data.split_seed for config in configs]
        parts = [one.method, one.backbone, f"{one.n_bits} bits"]
        parts.append(_listed("seed", [entry.evaluation.seed for entry in self.entries]))
        if any(seed is not None for seed in splits):
            parts.append(_listed("split seed", splits))
        if keys := unstated(self.first.run):
            parts.append(f"older than the settings {', '.join(keys)}, whose values are unknown")
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
    names = row_names([part[0].run for part in parts])
    return [Group(*name, tuple(part)) for name, part in zip(names, parts, strict=True)]


def check_distinct(runs: Sequence[Run]) -> None:
    """Refuse runs that would count twice.

    Raises:
        DistillError: A folder is named twice, or two runs have the same settings and seeds.
    """
    for one, other in combinations(runs, 2):
        if one.path.resolve() == other.path.resolve():
            raise DistillError(
                f"runs: expected every run folder once, got {one.path} and {other.path}, which are "
                "one folder; leave one out"
            )
        if not differing_keys(one.config, other.config) and unstated(one) == unstated(other):
            raise DistillError(
                "runs: expected runs that differ in a setting or a seed, got "
                f"{one.path} and {other.path}, whose settings and seeds are equal; leave one out"
            )


def scored_directions(groups: Iterable[Group]) -> tuple[str, ...]:
    """Every direction that any group has, in order."""
    return tuple(dict.fromkeys(name for group in groups for name in group.directions))


def statement(groups: Sequence[Group]) -> str:
    """Everything the numbers of a table depend on, in sentences."""
    evaluations = [entry.evaluation for group in groups for entry in group.entries]
    data = dict.fromkeys(
        f"{each.protocol.rstrip('. ')}. {each.n_query:,} queries, {each.n_database:,} items"
        f"{each.shares}."
        for each in evaluations
    )
    made: dict[str, list[str]] = {}
    for group in groups:
        made.setdefault(group.made_by, []).append(group.letter)
    rows = "; ".join(f"{', '.join(letters)}: {made_by}" for made_by, letters in made.items())
    return f"{' '.join(data)} Rows: {rows}. {CONVENTIONS}"


def spread(values: Sequence[float]) -> str:
    """Mean, and sample standard deviation of two or more."""
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _listed(name: str, seeds: Sequence[int | None]) -> str:
    """Every seed once, in the order of the runs."""
    found = list(dict.fromkeys("default" if seed is None else str(seed) for seed in seeds))
    return f"{name}{'s' * (len(found) > 1)} {', '.join(found)}"


def _repeats(one: Run, other: Run) -> bool:
    """Whether two runs are one experiment: their seeds differ, and those of their teachers."""
    pairs = [(one, other)]
    different = set(differing_keys(one.config, other.config)) - SEEDS
    if different == {TEACHER}:
        pairs.append((_teacher(one), _teacher(other)))
        different = set(differing_keys(*(run.config for run in pairs[-1]))) - SEEDS
    return not different and all(unstated(a) == unstated(b) for a, b in pairs)


def _teacher(run: Run) -> Run:
    """The teacher's run, the run itself where that is gone."""
    path = run.config.images.teacher_run
    return load_run(path) if path is not None and path.is_dir() else run
