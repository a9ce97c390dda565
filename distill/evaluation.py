"""One run's codes, evaluated in every direction under a stated protocol."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

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
) -> Evaluation:
    """Rank the database rows for the query rows in every direction, with the kernels of `hamming`.

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

    Raises:
        DistillError, ValueError, TypeError: An argument is not as described.
    """
    labels = as_numbers("labels", labels)
    _check(codes, labels, splits, n_bits, tuple(dict.fromkeys(chain(*directions.values()))))
    query, database = splits["query"], splits["database"]
    n_codes = len(database)
    cuts = [(cutoff, k) for cutoff in CUTOFFS for k in MAP_DEPTHS if k <= n_codes]
    depths = [n for n in PRECISION_DEPTHS if n <= n_codes]
    asked = {name: codes[name][query] for name in dict.fromkeys(a for a, _ in directions.values())}
    stored = {
        name: codes[name][database] for name in dict.fromkeys(b for _, b in directions.values())
    }
    swept = metrics.sweep(
        {name: (asked[a], stored[b]) for name, (a, b) in directions.items()},
        labels[query],
        labels[database],
        n_bits=n_bits,
        cuts=cuts,
        depths=depths,
        radius=2,
    )
    return Evaluation(
        protocol=protocol,
        n_bits=n_bits,
        n_query=len(query),
        n_database=n_codes,
        chance=swept.chance,
        directions={
            name: _direction(found, cuts, depths) for name, found in swept.directions.items()
        },
        method=method,
        backbone=backbone,
        seed=seed,
    )


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
