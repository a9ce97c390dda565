"""Tables of what bench/retrieval.py has measured: the rows, and what each ablation is worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from distill.metrics.scores import DIRECTIONS, direction_label

ACROSS = ("image_to_text", "text_to_image")
"""The directions that an ablation is judged by."""
_STUDENT_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""97.5 % points of Student's t by degrees of freedom: seeds are few."""

Lines = list[tuple[str, ...]]


def table_of(record: dict[str, Any]) -> Lines:
    """Head and lines: mean and sample standard deviation over seeds, four directions."""
    results = record["results"]
    lines = [("MAP", "bits", *map(direction_label, DIRECTIONS))]
    lines.append(("chance", "", *[f"{results[0]['chance']:.3f}"] * len(DIRECTIONS)))
    for row, bits in _groups(results):
        group = [r["map"] for r in results if (r["row"], r["bits"]) == (row, bits)]
        cells = [mean_and_spread([maps[name] for maps in group]) for name in DIRECTIONS]
        lines.append((row, str(bits or "float"), *cells))
    return lines


def main_table(record: dict[str, Any]) -> Lines:
    """The same without the ablations."""
    skip = set(record["ablations"])
    return [line for line in table_of(record) if line[0] not in skip]


def worth_table(record: dict[str, Any]) -> Lines:
    """What each ablation changes, in MAP, against the first row: seed by seed, mean and spread."""
    cells_of = [(bits, direction) for bits in record["ablation_bits"] for direction in ACROSS]
    head = ["SODA", *(f"{bits} bits {direction_label(d)}" for bits, d in cells_of)]
    lines = [(*head, "mean, 95 % interval", "")]
    for name in record["ablations"]:
        cells = [mean_and_spread(_differences(record, name, [cell]), sign="+") for cell in cells_of]
        lines.append((name, *cells, *judged(_differences(record, name, cells_of))))
    return lines


def _differences(
    record: dict[str, Any], name: str, cells: Sequence[tuple[int, str]]
) -> list[float]:
    """The MAP of an ablation less that of the first row, mean over cells, for each seed."""
    first = record["results"][0]["row"]
    maps = {(r["row"], r["bits"], r["seed"]): r["map"] for r in record["results"]}
    return [
        statistics.mean(
            maps[name, bits, seed][direction] - maps[first, bits, seed][direction]
            for bits, direction in cells
        )
        for seed in record["seeds"]
    ]


def judged(differences: Sequence[float]) -> tuple[str, str]:
    """The mean of differences, one a seed, with its 95 % interval, and what that says."""
    mean, reach = _interval(differences)
    verdict = "no difference" if abs(mean) <= reach else "worse" if mean < 0 else "better"
    return f"{mean:+.3f} ± {reach:.3f}", verdict


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the length of its 95 % interval over seeds; without spread it is endless."""
    mean, n = statistics.mean(values), len(values)
    if n - 1 not in _STUDENT_T:
        return mean, math.inf
    return mean, _STUDENT_T[n - 1] * statistics.stdev(values) / math.sqrt(n)


def _groups(results: Iterable[dict[str, Any]]) -> Iterable[tuple[str, int]]:
    return dict.fromkeys((r["row"], r["bits"]) for r in results)


def mean_and_spread(values: Sequence[float], *, sign: str = "") -> str:
    """0.123±0.004."""
    spread = f"±{statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.3f}{spread}"
