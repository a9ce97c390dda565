"""One run's codes, evaluated in every direction under a stated protocol."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distill import metrics
from distill.metrics.arguments import as_numbers, check_width
from distill.metrics.ranking import Cutoff
from distill.metrics.scores import (
    CUTOFFS,
    DIRECTIONS,
    MAP_DEPTHS,
    TOPN_DEPTHS,
    DirectionScores,
    Evaluation,
)
from distill.types import DistillError

__all__ = ["DIRECTIONS", "DirectionScores", "Evaluation", "evaluate"]

PRECISION_DEPTHS = tuple(sorted({1, 10, 50, 100, 500, 1000, *TOPN_DEPTHS}))
"""Ranks at which precision is taken, as far as the database goes."""


def evaluate(
    codes: Mapping[str, NDArray[np.uint8]],
    labels: NDArray[Any],
    splits: Mapping[str, NDArray[np.int64]],
    *,
    n_bits: int,
    protocol: str,
    method: str = "",
    backbone: str = "",
    seed: int | None = None,
    directions: Mapping[str, tuple[str, str]] = DIRECTIONS,
    present: Mapping[str, NDArray[np.bool_]] = MappingProxyType({}),
) -> Evaluation:
    """Rank the database rows for the query rows in every direction, with the kernels of `hamming`.

    Without queries, as where nothing has a label, there are no directions.

    Args:
        codes: "image" and "text", or what else `directions` names -> (n, n_bytes) uint8, packed,
            row i being item i.
        labels: (n, n_labels) of 0 and 1.
        splits: Row numbers of "query" and "database"; others are not looked at.
        n_bits: Code length.
        protocol: One sentence that names dataset, split, seed, text and label field.
        method: What was trained; with the next two, kept beside the numbers.
        backbone: What the features came from.
        seed: Seed of the training.
        directions: Name -> whose codes are the queries, whose are the database.
        present: Modality -> (n) bool, the items that have it; all have one that is not named. An
            item without the modality of a direction's queries asks nothing in it, and one without
            that of the database is not there to be found; a direction that is left without queries
            or items is not scored.

    Raises:
        DistillError, ValueError, TypeError: An argument is not as described.
    """
    labels = as_numbers("labels", labels)
    _check(codes, labels, splits, n_bits, tuple(dict.fromkeys(chain(*directions.values()))))
    _check_present(present, len(labels))
    query, database = splits["query"], splits["database"]
    about: dict[str, Any] = {
        "protocol": protocol,
        "n_bits": n_bits,
        "n_query": len(query),
        "n_database": len(database),
        "method": method,
        "backbone": backbone,
        "seed": seed,
    }
    if not len(query):  # no labels, so that nothing asks
        return Evaluation(chance=0.0, directions={}, **about)
    asked = _sides(codes, query, present, (a for a, _ in directions.values()))
    stored = _sides(codes, database, present, (b for _, b in directions.values()))
    scores: dict[str, DirectionScores] = {}
    chance, unscored = None, []
    for names in _of_same_rows(directions, asked, stored):
        pairs = {
            name: (asked[a], stored[b]) for name, (a, b) in directions.items() if name in names
        }
        queries, items = (len(side.rows) for side in pairs[names[0]])
        whole = (queries, items) == (len(query), len(database))
        if not whole and not (queries and items):
            unscored += names
            continue
        own, found = _scored(pairs, labels, n_bits)
        if whole:
            chance = own
        else:
            found = {
                name: dataclasses.replace(each, n_query=queries, n_database=items, chance=own)
                for name, each in found.items()
            }
        scores |= found
    if chance is None:
        chance = metrics.chance_level(labels[query], labels[database])
    return Evaluation(
        chance=chance,
        directions={name: scores[name] for name in directions if name in scores},
        unscored=tuple(name for name in directions if name in unscored),
        **about,
    )


class _Side(NamedTuple):
    """What asks, or what is searched: rows (m,) of items and their codes (m, n_bytes)."""

    rows: NDArray[np.int64]
    codes: NDArray[np.uint8]


def _sides(
    codes: Mapping[str, NDArray[np.uint8]],
    rows: NDArray[np.int64],
    present: Mapping[str, NDArray[np.bool_]],
    modalities: Iterable[str],
) -> dict[str, _Side]:
    """Of each modality the rows that have it."""
    found = {}
    for modality in dict.fromkeys(modalities):
        kept = rows[present[modality][rows]] if modality in present else rows
        found[modality] = _Side(kept, codes[modality][kept])
    return found


def _of_same_rows(
    directions: Mapping[str, tuple[str, str]],
    asked: Mapping[str, _Side],
    stored: Mapping[str, _Side],
) -> list[list[str]]:
    """Names of directions that one pass can score: those with the same queries and items."""
    found: dict[tuple[bytes, bytes], list[str]] = {}
    keys = [{m: np.asarray(s.rows).tobytes() for m, s in side.items()} for side in (asked, stored)]
    for name, (a, b) in directions.items():
        found.setdefault((keys[0][a], keys[1][b]), []).append(name)
    return list(found.values())


def _scored(
    pairs: Mapping[str, tuple[_Side, _Side]], labels: NDArray[Any], n_bits: int
) -> tuple[float, dict[str, DirectionScores]]:
    """Chance and scores of directions with the same queries and items."""
    queries, items = (side.rows for side in next(iter(pairs.values())))
    n_codes = len(items)
    cuts = [(cutoff, k) for cutoff in CUTOFFS for k in MAP_DEPTHS if k <= n_codes]
    depths = [n for n in PRECISION_DEPTHS if n <= n_codes]
    swept = metrics.sweep(
        {name: (one.codes, other.codes) for name, (one, other) in pairs.items()},
        labels[queries],
        labels[items],
        n_bits=n_bits,
        cuts=cuts,
        depths=depths,
        radius=2,
    )
    scores = {name: _direction(found, cuts, depths) for name, found in swept.directions.items()}
    return swept.chance, scores


def _direction(
    found: metrics.RankingScores, cuts: Sequence[tuple[Cutoff, int]], depths: Sequence[int]
) -> DirectionScores:
    """Name the cut-offs and depths of one direction's metrics."""
    map_at: dict[str, dict[int, float]] = {cutoff: {} for cutoff in CUTOFFS}
    for (cutoff, k), score in zip(cuts, found.map_at, strict=True):
        map_at[cutoff][k] = score
    by_distance = found.by_distance
    return DirectionScores(
        map=found.map,
        map_tie_averaged=by_distance.map_tie_averaged,
        map_at=map_at,
        precision_at=dict(zip(depths, found.precision_at, strict=True)),
        lookup_radius_2=by_distance.lookup,
        curve_precision=tuple(by_distance.curve.precision.tolist()),
        curve_recall=tuple(by_distance.curve.recall.tolist()),
    )


def _check(
    codes: Mapping[str, Any],
    labels: NDArray[Any],
    splits: Mapping[str, Any],
    n_bits: int,
    modalities: tuple[str, ...],
) -> None:
    checked = ("codes", codes, modalities), ("splits", splits, ("query", "database"))
    for name, given, wanted in checked:
        if missing := [key for key in wanted if key not in given]:
            raise DistillError(
                f"{name}: expected {' and '.join(wanted)}, got no {' and no '.join(missing)}; "
                "pass both"
            )
    for modality in modalities:
        check_width(n_bits, codes[modality])
        if len(codes[modality]) != len(labels):
            raise DistillError(
                f"codes: expected {len(labels)} {modality} codes as there are rows of labels, "
                f"got {len(codes[modality])}; encode the same dataset"
            )


def _check_present(present: Mapping[str, Any], n_items: int) -> None:
    for modality, mask in present.items():
        if mask.shape != (n_items,) or mask.dtype != bool:
            raise DistillError(
                f"present: expected ({n_items},) bool of {modality}, got {mask.shape} "
                f"{mask.dtype}; say of every item whether it has the modality"
            )
