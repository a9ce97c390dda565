"""What a comparison of runs says in numbers: scores by direction, and paired differences."""

from collections.abc import Callable, Sequence
from statistics import mean

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from distill.metrics import average_precisions
from distill.metrics.bootstrap import paired_bootstrap
from distill.metrics.ranking import Cutoff
from distill.metrics.scores import (
    CUTOFFS,
    MAP_DEPTHS,
    OWN_COLUMNS,
    TOPN_DEPTHS,
    DirectionScores,
    Table,
    direction_label,
    sides,
)
from distill.report import figures
from distill.report.groups import Entry, Group, scored_directions, spread

_FEWEST_TOPN = 10
"""Depths 200, 400, ... that a database must hold to be drawn by them."""


def overview(groups: Sequence[Group]) -> Table:
    """MAP over the whole ranking in every direction, a row per group, and of a random order."""
    names = scored_directions(groups)
    columns = ("row", "runs", *map(direction_label, names), "chance")
    rows = []
    for group in groups:
        maps = [
            spread(group.values(name, lambda s: s.map)) if name in group.directions else "-"
            for name in names
        ]
        chances = [e.evaluation.chance for e in group.entries if e.evaluation.directions]
        chance = f"{mean(chances):.3f}" if chances else "-"
        rows.append((group.label, str(len(group.entries)), *maps, chance))
    return Table(columns, tuple(rows))


def score_table(groups: Sequence[Group], direction: str) -> Table:
    """Every metric of one direction, a row per group that has it."""
    groups = [group for group in groups if direction in group.directions]
    largest = max(group.first.evaluation.n_database for group in groups)
    depths = [k for k in MAP_DEPTHS if k <= largest]
    apart = any(s.chance is not None for group in groups for s in group.scores(direction))
    columns = (
        *("row", *(OWN_COLUMNS if apart else ()), "MAP", "MAP tie mean"),
        *(f"MAP @{k}" for k in depths),
        *(f"MAP {k} rel." for k in depths),
        *("P@10", "P r≤2"),
    )
    rows = []
    for group in groups:
        at = [group.values(direction, _map_at(cutoff, k)) for cutoff in CUTOFFS for k in depths]
        cells = [
            group.values(direction, lambda s: s.map),
            group.values(direction, lambda s: s.map_tie_averaged),
            *at,
            group.values(direction, lambda s: s.precision_at.get(10)),
            group.values(direction, lambda s: s.lookup_radius_2),
        ]
        own = _own(group, direction) if apart else ()
        rows.append((group.label, *own, *map(spread, cells)))
    return Table(columns, tuple(rows))


def differences(groups: Sequence[Group]) -> Table:
    """MAP of every other group minus the first one's, with 95 % intervals over the queries.

    Average precisions are averaged over a group's runs query by query. Of several splits, which two
    groups must share, every query of every split is one of those that are resampled. Where groups
    were not asked the same queries in the same databases, the cell says so.
    """
    reference, *others = groups
    names = reference.directions
    of_reference: dict[str, NDArray[np.float64]] = {}
    rows = []
    for group in others:
        cells = []
        for name in names:
            cell = _not_paired(group, reference, name)
            if cell is None:
                if name not in of_reference:
                    of_reference[name] = _by_query(reference, name)
                found = paired_bootstrap(_by_query(group, name), of_reference[name])
                cell = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            cells.append(cell)
        rows.append((group.label, *cells))
    return Table(("row", *map(direction_label, names)), tuple(rows))


def curves(groups: Sequence[Group], direction: str) -> list[tuple[str, Markup]]:
    """Precision over recall by radius, and topN-precision, of all groups in one figure each."""
    groups = [group for group in groups if direction in group.directions]
    label = direction_label(direction)
    by_radius, by_rank = {}, {}
    for group in groups:
        scores = group.scores(direction)
        precision = np.mean([each.curve_precision for each in scores], axis=0)
        recall = np.mean([each.curve_recall for each in scores], axis=0)
        found = precision > 0  # a radius that finds nothing relevant has no place on the curve
        by_radius[group.letter] = recall[found].tolist(), precision[found].tolist()
        depths = _depths(group, direction)
        by_rank[group.letter] = depths, [mean(s.precision_at[n] for s in scores) for n in depths]
    chance, told = _shared_chance(groups, direction)
    linear = all(depths[0] in TOPN_DEPTHS for depths, _ in by_rank.values())
    return [
        (
            f"{label}: all query-item pairs within a Hamming radius, pooled; a point per radius, "
            f"the mean of a row's runs.{told}",
            figures.precision_recall_curves(by_radius, chance=chance, of=label),
        ),
        (
            f"{label}: share of relevant items among the first N, the mean over queries and runs."
            f"{told}",
            figures.precision_at_curves(by_rank, chance=chance, of=label, linear=linear),
        ),
    ]


def _shared_chance(groups: Sequence[Group], direction: str) -> tuple[float | None, str]:
    """The precision of a random order if all groups share it, else None and a sentence on that."""
    # Within the last radius lies everything.
    found = [mean(s.curve_precision[-1] for s in group.scores(direction)) for group in groups]
    if np.allclose(found, found[0], rtol=1e-9, atol=0):
        return found[0], ""
    return None, " Rows differ in the precision of a random order, so that no chance is drawn."


def _map_at(cutoff: Cutoff, k: int) -> Callable[[DirectionScores], float | None]:
    return lambda scores: scores.map_at[cutoff].get(k)


def _own(group: Group, direction: str) -> list[str]:
    """Queries, items and chance of a direction; those of several splits one after the other."""
    cells = [e.evaluation.own(e.evaluation.directions[direction]) for e in group.entries]
    return [", ".join(dict.fromkeys(values)) for values in zip(*cells, strict=True)]


def _depths(group: Group, direction: str) -> list[int]:
    """N = 200, 400, ... of a database that holds enough of them; else whatever was taken."""
    first, *others = (each.precision_at for each in group.scores(direction))
    common = [n for n in first if all(n in each for each in others)]
    topn = [n for n in common if n in TOPN_DEPTHS]
    return topn if len(topn) >= _FEWEST_TOPN else common


def _not_paired(group: Group, reference: Group, direction: str) -> str | None:
    """Why a group's queries cannot be compared one by one with the reference's, if so."""
    if direction not in group.directions:
        return "-"
    if set(group.splits) == set(reference.splits):
        return None
    several = max(len(group.splits), len(reference.splits)) > 1
    return "several splits" if several else "other queries"


def _by_query(group: Group, direction: str) -> NDArray[np.float64]:
    """Average precisions (n_queries of all splits,), the mean of the group's runs on a split."""
    return np.concatenate(
        [
            np.mean([_precisions(entry, direction) for entry in entries], axis=0)
            for entries in group.splits.values()
        ]
    )


def _precisions(entry: Entry, direction: str) -> NDArray[np.float64]:
    dataset, (a, b) = entry.dataset, sides(direction)
    query, database = dataset.splits["query"], dataset.splits["database"]
    query, database = query[dataset.has(a)[query]], database[dataset.has(b)[database]]
    asked, stored, labels = entry.run.codes(a), entry.run.codes(b), dataset.labels
    return average_precisions(asked[query], stored[database], labels[query], labels[database])
