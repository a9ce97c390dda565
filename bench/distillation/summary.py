"""What the cells say together: means, tuned baselines, paired differences, and the bars."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.distillation.cell import has_precisions, precisions
from bench.distillation.grid import FAMILIES, VARIANTS
from distill.metrics.bootstrap import paired_bootstrap

PARADIGMS = ("sym", "asym")
SETTINGS = (
    "S64/64/linear",
    "S32/64/linear",
    "S64/16/linear",
    "S64/64/mlp",
    "S64/32/linear",
    "S32/16/linear",
    "S64/256/linear",
    "S64 labelled/64/linear",
    "S64 bihalf/64/linear",
)
RESAMPLES = 2000
Record = dict[str, Any]


class Results:
    """The cells of a record.

    Args:
        cells: key -> numbers, as `cell.run` makes them.
        cache: where the precisions of single queries are.
    """

    def __init__(self, cells: Mapping[str, Record], cache: Path) -> None:
        self._cells, self._cache = cells, cache

    def seeds(self, setting: str, *methods: str) -> list[int]:
        """Seeds that all the methods have, in one setting."""
        found = [
            {
                int(key.rsplit("/", 1)[1])
                for key in self._cells
                if key.rsplit("/", 1)[0] == f"{setting}/{m}"
            }
            for m in methods
        ]
        return sorted(set.intersection(*found)) if found else []

    def methods(self, setting: str) -> list[str]:
        """Those that have been measured in a setting."""
        keys = (key.rsplit("/", 2) for key in self._cells)
        return list(dict.fromkeys(method for where, method, _ in keys if where == setting))

    def values(self, setting: str, method: str, name: str, seeds: Iterable[int]) -> list[float]:
        """A number of a method, seed by seed."""
        return [self._cells[f"{setting}/{method}/{seed}"][name] for seed in seeds]

    def mean(self, setting: str, method: str, name: str, seeds: Sequence[int]) -> float:
        """Mean over seeds."""
        return statistics.mean(self.values(setting, method, name, seeds))

    def differences(self, setting: str, a: str, b: str, name: str) -> list[float]:
        """The first minus the second, paired by seed."""
        seeds = self.seeds(setting, a, b)
        pairs = zip(
            self.values(setting, a, name, seeds), self.values(setting, b, name, seeds), strict=True
        )
        return [x - y for x, y in pairs]

    def compare(self, setting: str, a: str, b: str) -> Record | None:
        """The first minus the second in both paradigms, with the bootstrap interval of queries."""
        seeds = self.seeds(setting, a, b)
        keys = [f"{setting}/{method}/{seed}" for method in (a, b) for seed in seeds]
        if not seeds or not all(has_precisions(self._cache, key) for key in keys):
            return None
        record: Record = {"setting": setting, "a": a, "b": b, "seeds": seeds}
        for paradigm in PARADIGMS:
            left, right = (
                np.stack(
                    [
                        precisions(self._cache, f"{setting}/{m}/{s}", f"{paradigm}_query")
                        for s in seeds
                    ]
                )
                for m in (a, b)
            )
            found = paired_bootstrap(left, right, n_resamples=RESAMPLES)
            per_seed = self.differences(setting, a, b, f"{paradigm}_query")
            record[paradigm] = {
                "mean": round(found.mean, 5),
                "interval": [round(found.low, 5), round(found.high, 5)],
                "per_seed": [round(value, 5) for value in per_seed],
            }
        return record

    def chosen(self, setting: str, methods: Sequence[str], *, by: Sequence[str]) -> str | None:
        """The method that is best on validation queries, over the seeds all of them have."""
        measured = [m for m in methods if self.seeds(setting, m)]
        seeds = self.seeds(setting, *measured)
        if not seeds:
            return None

        def validated(method: str) -> float:
            return sum(self.mean(setting, method, f"{name}_validation", seeds) for name in by)

        return max(measured, key=validated)


def teacher_maps(teachers: Mapping[str, Record], setting: str) -> list[float]:
    """MAP@1000 of the teachers of a setting, both sides by the teacher."""
    student, bits, _ = setting.split("/")
    kind = student.partition(" ")[2] or "cibhash"
    found = teachers.values()
    return [t["query"] for t in found if (t["kind"], t["bits"]) == (kind, int(bits))]


def tuned(results: Results, setting: str) -> dict[str, str]:
    """Family -> its member with the best weight on validation queries; BRCD's variants are one."""
    found = {}
    for family, members in {**FAMILIES, "brcd": VARIANTS}.items():
        aligned = family not in ("sp", "pkt")
        best = results.chosen(setting, members, by=PARADIGMS if aligned else ("sym",))
        if best is not None:
            found[family] = best
    return found


def comparisons(results: Results) -> list[Record]:
    """The differences worth telling, in every setting that has them."""
    found = []
    for setting in SETTINGS:
        best = tuned(results, setting)
        pairs = [
            ("brcd intended", "alone"),
            ("brcd intended", "brcd no mask"),
            ("brcd no filter", "brcd no mask, no filter"),
            ("brcd intended", "brcd no filter"),
            ("brcd no mask", "brcd no mask, no filter"),
            ("brcd no mask, negatives filter", "brcd no mask, no filter"),
            ("brcd no mask", "brcd no mask, negatives filter"),
            ("brcd soft mask", "brcd no mask"),
            ("brcd margin 0.3", "brcd no mask"),
            ("brcd margin 0.1", "brcd no mask"),
            ("brcd 30 clusters", "brcd 30 clusters, no mask"),
            ("brcd released", "pointwise w5"),
            ("brcd no mask", "pointwise w5"),
            ("brcd intended", "pointwise w5"),
            ("brcd no mask, own loss off", "brcd no mask"),
        ]
        for family in ("pointwise", "bce"):
            if family in best:
                pairs += [("brcd intended", best[family]), ("brcd no mask", best[family])]
                pairs += [("brcd no mask, own loss off", best[family])]
                pairs += [(best.get("brcd", "brcd intended"), best[family])]
        done = [results.compare(setting, a, b) for a, b in dict.fromkeys(pairs)]
        found += [record for record in done if record is not None]
    return found
