"""One run's codes, evaluated in every direction under a stated protocol."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import metrics
from distill.metrics.arguments import as_numbers, check_width
from distill.metrics.scores import CUTOFFS, DIRECTIONS, MAP_DEPTHS, DirectionScores, Evaluation
from distill.types import DistillError

__all__ = ["DIRECTIONS", "DirectionScores", "Evaluation", "evaluate"]

PRECISION_DEPTHS = (1, 10, 50, 100, 500, 1000)


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
    query_labels, db_labels = labels[query], labels[database]
    scores = {
        name: _direction(codes[a][query], codes[b][database], query_labels, db_labels, n_bits)
        for name, (a, b) in directions.items()
    }
    return Evaluation(
        protocol=protocol,
        n_bits=n_bits,
        n_query=len(query),
        n_database=len(database),
        chance=metrics.chance_level(query_labels, db_labels),
        directions=scores,
        method=method,
        backbone=backbone,
        seed=seed,
    )


def _direction(
    query_codes: NDArray[np.uint8],
    db_codes: NDArray[np.uint8],
    query_labels: NDArray[Any],
    db_labels: NDArray[Any],
    n_bits: int,
) -> DirectionScores:
    """Score one direction with one ranking and one count of distances for all its metrics."""
    arrays = query_codes, db_codes, query_labels, db_labels
    cuts = [(cutoff, k) for cutoff in CUTOFFS for k in MAP_DEPTHS if k <= len(db_codes)]
    depths = [n for n in PRECISION_DEPTHS if n <= len(db_codes)]
    blocks = []
    for relevant in metrics.ranked_relevance(*arrays):
        whole = metrics.average_precision(relevant)
        at = [metrics.average_precision(relevant, top=k, cutoff=cutoff) for cutoff, k in cuts]
        shares = [relevant[:, :n].mean(axis=1) for n in depths]
        blocks.append(np.array([whole, *at, *shares]))
    means = iter(np.concatenate(blocks, axis=1).mean(axis=1).tolist())
    by_distance = metrics.distance_scores(*arrays, radius=2, n_bits=n_bits)
    whole_map = next(means)
    map_at: dict[str, dict[int, float]] = {cutoff: {} for cutoff in CUTOFFS}
    for cutoff, k in cuts:
        map_at[cutoff][k] = next(means)
    return DirectionScores(
        map=whole_map,
        map_tie_averaged=by_distance.map_tie_averaged,
        map_at=map_at,
        precision_at=dict(zip(depths, means, strict=True)),
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
