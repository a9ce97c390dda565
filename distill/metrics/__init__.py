"""Retrieval metrics over packed codes, ranked and counted by the kernels of `hamming`.

Arguments common to all functions:
    query_codes: (n_queries, n_bytes) uint8, packed by `hamming.pack`.
    db_codes: (n_codes, n_bytes) uint8.
    query_labels: (n_queries, n_labels) of 0 and 1, any dtype; NumPy array or torch tensor.
    db_labels: (n_codes, n_labels) of 0 and 1.

An item is relevant to a query when they share at least one label; a query without any relevant
item counts as 0 and stays in the mean. Queries are taken in blocks of at most
`arguments.BLOCK_PAIRS` query-item pairs (never less than one query), up to 60 bytes a pair, and
labels become float32 in tiles: up to about 4 million items, memory beside the arguments stays below
260 MB, plus 16 bytes a query, for any number of queries and labels.
"""

from distill.metrics.counts import (
    DistanceScores,
    PrecisionRecall,
    chance_level,
    distance_scores,
    lookup,
    precision_recall_by_radius,
)
from distill.metrics.ranking import (
    average_precision,
    average_precisions,
    mean_average_precision,
    mean_average_precision_from_scores,
    precision_at,
    ranked_relevance,
)
from distill.metrics.sweep import RankingScores, Swept, sweep

__all__ = [
    "DistanceScores",
    "PrecisionRecall",
    "RankingScores",
    "Swept",
    "average_precision",
    "average_precisions",
    "chance_level",
    "distance_scores",
    "lookup",
    "mean_average_precision",
    "mean_average_precision_from_scores",
    "precision_at",
    "precision_recall_by_radius",
    "ranked_relevance",
    "sweep",
]
