"""Metrics that need only how many items lie at each distance: no order inside ties."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.metrics.arguments import (
    as_host,
    check_codes,
    check_count,
    check_labels,
    check_width,
    query_blocks,
)


class PrecisionRecall(NamedTuple):
    """One point per radius; precision is 0 where no query returns anything."""

    radius: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


class DistanceCounts(NamedTuple):
    """Items per query and distance: all that a metric without an order inside ties needs.

    Both arrays are (n_queries, 8 * n_bytes + 1) int64; column d counts the items at distance d.
    """

    relevant: NDArray[np.int64]
    items: NDArray[np.int64]

    def expected_average_precision(self) -> NDArray[np.float64]:
        """Return the expected AP of each query, (n_queries,), over random orders inside ties.

        In a group of n items with r relevant ones, behind N items with R relevant ones, position
        j is relevant with probability r / n and then follows R + (j - 1)(r - 1) / (n - 1) others.
        Summed over j with H = sum_j 1 / (N + j), the group adds
        r / n * ((R + 1) H + (r - 1) / (n - 1) * (n - (N + 1) H)).
        """
        harmonic = np.cumsum(np.r_[0.0, 1.0 / np.arange(1, self.items[:1].sum() + 1)])
        items_before = self.items.cumsum(axis=1) - self.items
        relevant_before = self.relevant.cumsum(axis=1) - self.relevant
        h = harmonic[items_before + self.items] - harmonic[items_before]
        others = (self.relevant - 1) / np.maximum(self.items - 1, 1)
        others *= self.items - (items_before + 1) * h
        share = self.relevant / np.maximum(self.items, 1)
        total = (share * ((relevant_before + 1) * h + others)).sum(axis=1)
        return total / np.maximum(self.relevant.sum(axis=1), 1)

    def precision_recall(self, n_bits: int | None = None) -> PrecisionRecall:
        """Return the pooled precision and recall of every radius 0..n_bits."""
        stop = self.items.shape[1] if n_bits is None else n_bits + 1
        relevant = self.relevant.sum(axis=0).cumsum()
        items = self.items.sum(axis=0).cumsum()
        precision = relevant / np.maximum(items, 1)
        recall = relevant / max(int(relevant[-1]), 1)
        return PrecisionRecall(np.arange(stop), precision[:stop], recall[:stop])

    def lookup(self, radius: int = 2) -> float:
        """Return the mean precision of the items within `radius`; an empty result counts as 0."""
        inside = self.items[:, : radius + 1].sum(axis=1)
        return float((self.relevant[:, : radius + 1].sum(axis=1) / np.maximum(inside, 1)).mean())


def distance_counts(
    query_codes: Any, db_codes: Any, query_labels: Any, db_labels: Any
) -> DistanceCounts:
    """Count items and relevant items of each query by their Hamming distance."""
    shape = check_codes(query_codes, db_codes)
    queries, database = check_labels(query_labels, db_labels, *shape)
    width = 8 * query_codes.shape[1] + 1
    relevant, items = [], []
    for part in query_blocks(*shape):
        cells = as_host(hamming.distance(query_codes[part], db_codes)).astype(np.int64)
        cells += np.arange(len(cells))[:, None] * width
        hits = cells[queries[part] @ database.T > 0]
        size = len(cells) * width
        items.append(np.bincount(cells.ravel(), minlength=size).reshape(-1, width))
        relevant.append(np.bincount(hits, minlength=size).reshape(-1, width))
    return DistanceCounts(np.concatenate(relevant), np.concatenate(items))


def precision_recall_by_radius(
    query_codes: Any,
    db_codes: Any,
    query_labels: Any,
    db_labels: Any,
    *,
    n_bits: int | None = None,
) -> PrecisionRecall:
    """Return micro-averaged precision and recall of all pairs within each Hamming radius.

    Args:
        query_codes: (n_queries, n_bytes) uint8, packed.
        db_codes: (n_codes, n_bytes) uint8, packed.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        n_bits: Code length; radii run over 0..n_bits. None takes all 8 * n_bytes bits.
    """
    check_width(n_bits, query_codes)
    counts = distance_counts(query_codes, db_codes, query_labels, db_labels)
    return counts.precision_recall(n_bits)


def lookup(
    query_codes: Any, db_codes: Any, query_labels: Any, db_labels: Any, *, radius: int = 2
) -> float:
    """Return the mean precision of the items within `radius`; an empty result counts as 0."""
    check_count("radius", radius, least=0)
    return distance_counts(query_codes, db_codes, query_labels, db_labels).lookup(radius)


def chance_level(query_labels: Any, db_labels: Any) -> float:
    """Return the exact expected MAP (whole ranking) of a database in random order.

    It lies slightly above the mean share of relevant items, which it approaches as the database
    grows: for R of n relevant, (H_n + (R - 1) / (n - 1) * (n - H_n)) / n, H_n = 1 + 1/2 + ... 1/n.
    """
    shape = len(query_labels), len(db_labels)
    queries, database = check_labels(query_labels, db_labels, *shape)
    relevant = [(queries[part] @ database.T > 0).sum(axis=1) for part in query_blocks(*shape)]
    one_tie = np.concatenate(relevant)[:, None]
    counts = DistanceCounts(one_tie, np.full_like(one_tie, shape[1]))
    return float(counts.expected_average_precision().mean())
