"""Retrieval metrics over packed codes, ranked and counted by the kernels of `hamming`.

Arguments common to all functions:
    query_codes: (n_queries, n_bytes) uint8, packed by `hamming.pack`.
    db_codes: (n_codes, n_bytes) uint8.
    query_labels: (n_queries, n_labels) of 0 and 1, any dtype; NumPy array or torch tensor.
    db_labels: (n_codes, n_labels) of 0 and 1.

An item is relevant to a query when they share at least one label; a query without any relevant
item counts as 0 and stays in the mean. Queries are taken in blocks of at most
`arguments.BLOCK_PAIRS` query-item pairs (never less than one query), some 40 bytes a pair, so that
memory stays below about 170 MB for any number of queries.
"""

from distill.metrics.counts import (
    DistanceCounts,
    PrecisionRecall,
    chance_level,
    distance_counts,
    lookup,
    precision_recall_by_radius,
)
from distill.metrics.ranking import (
    average_precision,
    mean_average_precision,
    mean_average_precision_from_scores,
    precision_at,
    ranked_relevance,
)

__all__ = [
    "DistanceCounts",
    "PrecisionRecall",
    "average_precision",
    "chance_level",
    "distance_counts",
    "lookup",
    "mean_average_precision",
    "mean_average_precision_from_scores",
    "precision_at",
    "precision_recall_by_radius",
    "ranked_relevance",
]
