"""Tables of what bench/semisupervised.py has measured, by method and share of labelled items."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.retrieval_tables import Lines, judged, mean_and_spread
from distill.metrics.scores import direction_label, sides

SKDCH = "SKDCH"
TEACHER = "SKDCH's teacher (SCH-GAN)"
ALONE = "SKDCH's student, labelled items alone"
UPPER = "SKDCH's student, true labels (upper bound)"
PLAIN = "SKDCH, plain triplets"
ALONE_LONG = "SKDCH's student, labelled items alone, steps as with all labels"
UPPER_PLAIN = "SKDCH's student, true labels, plain triplets"
DCMH, SSAH, DCHMT, SODA = "DCMH", "SSAH-like", "DCHMT", "SODA, reconstructed"
BASELINES = (DCMH, SSAH, DCHMT, SODA)

Record = Mapping[str, Any]
Run = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What a difference between two rows answers.

    Attributes:
        words: the question.
        row: whose MAP counts.
        other: whose is taken off, at the same share of labels and of the same seed.
        other_share: the share of the latter, where it is another.
    """

    words: str
    row: str
    other: str
    other_share: float | None = None


QUESTIONS = (
    Question("unlabelled items: SKDCH - its student without them", SKDCH, ALONE),
    Question("unlabelled items: the same with as many steps without them", SKDCH, ALONE_LONG),
    Question("the student: SKDCH - its teacher", SKDCH, TEACHER),
    Question("the improved loss: SKDCH - the same with plain triplets", SKDCH, PLAIN),
    Question("the improved loss: student - the same with plain triplets", UPPER, UPPER_PLAIN),
    Question("more steps alone: of the student without unlabelled items", ALONE_LONG, ALONE),
    Question("what is missing: SKDCH - upper bound", SKDCH, UPPER, 1.0),
    *(Question(f"SKDCH - {name}", SKDCH, name) for name in BASELINES),
)


def percent(share: float) -> str:
    """0.25 as "25 %"."""
    return f"{100 * share:g} %"


def main_tables(record: Record) -> list[Lines]:
    """A table of each code length: mean and deviation of every direction across modalities."""
    return [_scores(record, bits) for bits in record["bits"]]


def _scores(record: Record, bits: int) -> Lines:
    found = [run for run in record["results"] if run["bits"] == bits]
    columns = across(found)
    lines = [(f"{bits} bits, MAP", "labelled", *map(direction_label, columns))]
    chance = {name: value for run in found for name, value in run["chance"].items()}
    lines.append(("chance", "", *(f"{chance[name]:.3f}" for name in columns)))
    for share in _shares(found):
        for row, runs in _by_row(run for run in found if run["labelled"] == share):
            maps = [[r["map"][d] for r in runs if d in r["map"]] for d in columns]
            lines.append((row, percent(share), *(mean_and_spread(m) if m else "" for m in maps)))
    return lines


def short_tables(record: Record) -> list[Lines]:
    """At the longest codes, the mean of what all rows can: methods by share of labelled items."""
    bits = max(record["bits"])
    found = [run for run in record["results"] if run["bits"] == bits]
    columns = across(found, in_all=True)

    def cell(runs: Sequence[Run]) -> str:
        return mean_and_spread([_mean_map(run, columns) for run in runs])

    return [_by_share(f"{bits} bits, MAP", found, cell)]


def epochs_tables(record: Record) -> list[Lines]:
    """Epochs of a training, all stages together, mean over code lengths and seeds.

    Not its seconds: the trainings of a record may have shared the cores with other work.
    """

    def cell(runs: Sequence[Run]) -> str:
        return f"{statistics.mean(sum(run['epochs'].values()) for run in runs):.0f}"

    return [_by_share("epochs", record["results"], cell)]


def _by_share(title: str, found: Sequence[Run], cell: Callable[[Sequence[Run]], str]) -> Lines:
    """Rows by share of labelled items."""
    shares = _shares(found)
    lines = [(title, *map(percent, shares))]
    for row, runs in _by_row(found):
        groups = [[run for run in runs if run["labelled"] == share] for share in shares]
        lines.append((row, *(cell(group) if group else "" for group in groups)))
    return lines


def worth_tables(record: Record) -> list[Lines]:
    """Differences of two rows seed by seed, mean over the directions that both have."""
    lengths = record["bits"]
    head = ("difference in MAP", "labelled", *(f"{bits} bits" for bits in lengths))
    lines = [(*head, "mean, 95 % interval", "")]
    cells = {(r["row"], r["labelled"], r["bits"], r["seed"]): r["map"] for r in record["results"]}
    for question in QUESTIONS:
        for share in _shares(record["results"]):
            by_length = [_differences(cells, record, question, share, bits) for bits in lengths]
            if not all(by_length):
                continue
            means = [statistics.mean(of_seed) for of_seed in zip(*by_length, strict=True)]
            parts = [mean_and_spread(values, sign="+") for values in by_length]
            lines.append((question.words, percent(share), *parts, *judged(means)))
    return [lines]


def _differences(
    cells: Mapping[tuple[str, float, int, int], Mapping[str, float]],
    record: Record,
    question: Question,
    share: float,
    bits: int,
) -> list[float]:
    """One for each seed, mean over directions; none where a run is not there."""
    other_share = share if question.other_share is None else question.other_share
    found = []
    for seed in record["seeds"]:
        a = cells.get((question.row, share, bits, seed))
        b = cells.get((question.other, other_share, bits, seed))
        if a is None or b is None:
            return []
        both = across([{"map": a}, {"map": b}], in_all=True)
        found.append(statistics.mean(a[d] - b[d] for d in both))
    return found


def pseudo_tables(record: Record) -> list[Lines]:
    """How right the labels are that SKDCH's teacher gives, by share and code length."""
    lines: Lines = [
        ("labelled", "bits", "unlabelled", "precision", "recall", "labels an item, given", "true")
    ]
    found = [run for run in record["results"] if run["row"] == SKDCH and "pseudo" in run]
    for share in _shares(found):
        for bits in record["bits"]:
            given = [r["pseudo"] for r in found if (r["labelled"], r["bits"]) == (share, bits)]
            parts = [mean_and_spread([p[k] for p in given]) for k in ("precision", "recall")]
            counts = [f"{statistics.mean(p[k] for p in given):.2f}" for k in ("given", "true")]
            lines.append((percent(share), str(bits), f"{given[0]['items']:,}", *parts, *counts))
    return [lines]


def parts_tables(record: Record) -> list[Lines]:
    """Where the gain lies: MAP against what was learned with labels, without, and not at all."""
    bits = max(record["bits"])
    rows = (SKDCH, ALONE)
    found = [r for r in record["results"] if r["row"] in rows and r["bits"] == bits]
    found = [r for r in found if "parts" in r]
    directions = across(found)
    lines: Lines = [
        (f"{bits} bits, MAP", "labelled", "database", *map(direction_label, directions))
    ]
    for share in _shares(found):
        for part in ("labelled", "hidden", "unseen"):
            for row in rows:
                runs = [r for r in found if (r["row"], r["labelled"]) == (row, share)]
                maps = [run["parts"][part] for run in runs]
                cells = [mean_and_spread([m[d] for m in maps]) if maps else "" for d in directions]
                lines.append((row, percent(share), part, *cells))
    return [lines]


TABLES: dict[str, Callable[[Record], list[Lines]]] = {
    "main": main_tables,
    "short": short_tables,
    "worth": worth_tables,
    "parts": parts_tables,
    "pseudo": pseudo_tables,
    "epochs": epochs_tables,
}


def note(record: Record, which: str) -> str:
    """What has to stand below a table; nothing below some."""
    seeds = f"{len(record['seeds'])} seed{'s' * (len(record['seeds']) != 1)}"
    if which == "epochs":
        return "By share of labelled items."
    if which not in ("main", "short"):
        return ""
    protocol = record["protocol"].split(";")[0]
    counts = ", ".join(f"{share['train']:,}" for share in record["shares"])
    if which == "short":
        both = " and ".join(map(direction_label, across(record["results"], in_all=True)))
        return (
            f"Mean of {both}, by share of labelled training items ({counts} of them). Mean ± "
            f"standard deviation of {seeds} of one split. {protocol}."
        )
    return (
        f"Mean ± standard deviation of {seeds} of one split. {protocol}. Labelled: share of the "
        f"training items, {counts} of them. Every row has heads of {record['hidden']} hidden units "
        f"and batches of {record['batch_size']}; an epoch is a pass over the items that it learns "
        "from; the baselines, and the row that says so, take as many steps as with all labels."
    )


def across(found: Iterable[Run], *, in_all: bool = False) -> list[str]:
    """Directions from one modality to another that some runs have, or all of them."""
    maps: list[Collection[str]] = [run["map"] for run in found]
    names = dict.fromkeys(name for directions in maps for name in directions)
    return [
        name
        for name in names
        if len(set(sides(name))) == 2 and (not in_all or all(name in m for m in maps))
    ]


def _mean_map(run: Run, directions: Sequence[str]) -> float:
    return float(statistics.mean(run["map"][name] for name in directions))


def _shares(found: Iterable[Run]) -> list[float]:
    return sorted({run["labelled"] for run in found})


def _by_row(found: Iterable[Run]) -> Iterable[tuple[str, list[Run]]]:
    """Row -> its runs, in the order of the record."""
    rows: dict[str, list[Run]] = {}
    for run in found:
        rows.setdefault(run["row"], []).append(run)
    return rows.items()
