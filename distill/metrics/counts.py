"""Metrics that need only how many items lie at each distance: no order inside ties."""

from collections.abc import Iterator
from functools import lru_cache
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
    share_a_label,
)

CELLS_PER_DISTANCE = 4
"""Memory of a query's count at one distance, in pairs: mostly the expected AP's temporaries."""


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
        harmonic = _harmonic(int(self.items[:1].sum()))
        items_before = self.items.cumsum(axis=1) - self.items
        relevant_before = self.relevant.cumsum(axis=1) - self.relevant
        h = harmonic[items_before + self.items] - harmonic[items_before]
        others = (self.relevant - 1) / np.maximum(self.items - 1, 1)
        others *= self.items - (items_before + 1) * h
        share = self.relevant / np.maximum(self.items, 1)
        total = (share * ((relevant_before + 1) * h + others)).sum(axis=1)
        return total / np.maximum(self.relevant.sum(axis=1), 1)

    def lookup(self, radius: int = 2) -> NDArray[np.float64]:
        """Return each query's precision within `radius`, (n_queries,); 0 where nothing is."""
        inside = self.items[:, : radius + 1].sum(axis=1)
        return self.relevant[:, : radius + 1].sum(axis=1) / np.maximum(inside, 1)


class DistanceScores(NamedTuple):
    """The metrics without an order inside ties, over all queries.

    Attributes:
        map_tie_averaged: Mean of the expected AP over random orders inside equal distances.
        lookup: Mean precision of the items within a radius; an empty result counts as 0.
        curve: Pooled precision and recall of every radius.
    """

    map_tie_averaged: float
    lookup: float
    curve: PrecisionRecall


def distance_scores(
    query_codes: Any,
    db_codes: Any,
    query_labels: Any,
    db_labels: Any,
    *,
    radius: int = 2,
    n_bits: int | None = None,
) -> DistanceScores:
    """Return all metrics that need only distances from one pass over the pairs.

    Args:
        query_codes: (n_queries, n_bytes) uint8, packed.
        db_codes: (n_codes, n_bytes) uint8, packed.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        radius: Of `lookup`.
        n_bits: Code length; radii of the curve run over 0..n_bits. None takes all 8 * n_bytes.

    Raises:
        ValueError, TypeError: An argument is not as described.
    """
    check_count("radius", radius, least=0)
    check_width(n_bits, query_codes)
    check_codes(query_codes, db_codes)
    tally = DistanceTally(query_codes.shape[1], radius=radius, n_bits=n_bits)
    for counts in distance_counts(query_codes, db_codes, query_labels, db_labels):
        tally.add(counts)
    return tally.scores()


class DistanceTally:
    """Collects blocks of counts into `DistanceScores`.

    Args:
        n_bytes: Width of a code.
        radius: Of `lookup`.
        n_bits: Code length; radii of the curve run over 0..n_bits. None takes all 8 * n_bytes.
    """

    def __init__(self, n_bytes: int, *, radius: int = 2, n_bits: int | None = None) -> None:
        self._radius = radius
        self._radii = (8 * n_bytes if n_bits is None else n_bits) + 1
        self._expected: list[NDArray[np.float64]] = []
        self._precisions: list[NDArray[np.float64]] = []
        self._relevant = self._items = np.zeros(8 * n_bytes + 1, np.int64)

    def add(self, counts: DistanceCounts) -> None:
        """Take in the counts of some queries."""
        self._expected.append(counts.expected_average_precision())
        self._precisions.append(counts.lookup(self._radius))
        self._relevant = self._relevant + counts.relevant.sum(axis=0)
        self._items = self._items + counts.items.sum(axis=0)

    def scores(self) -> DistanceScores:
        """Return the metrics of all queries so far."""
        curve = _precision_recall(self._relevant, self._items, self._radii)
        means = (float(np.concatenate(s).mean()) for s in (self._expected, self._precisions))
        return DistanceScores(*means, curve)


def distance_counts(
    query_codes: Any, db_codes: Any, query_labels: Any, db_labels: Any
) -> Iterator[DistanceCounts]:
    """Yield, block by block of queries, their items and relevant items by Hamming distance."""
    n_queries, n_codes = check_codes(query_codes, db_codes)
    queries, database = check_labels(query_labels, db_labels, n_queries, n_codes)
    width = 8 * query_codes.shape[1] + 1
    for part in query_blocks(n_queries, max(n_codes, CELLS_PER_DISTANCE * width)):
        cells = as_host(hamming.distance(query_codes[part], db_codes)).astype(np.int64)
        cells += np.arange(len(cells))[:, None] * width
        size = len(cells) * width
        items = np.bincount(cells.ravel(), minlength=size).reshape(-1, width)
        hits = cells[share_a_label(queries[part], database)]
        del cells
        yield DistanceCounts(np.bincount(hits, minlength=size).reshape(-1, width), items)


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
    arrays = query_codes, db_codes, query_labels, db_labels
    return distance_scores(*arrays, n_bits=n_bits).curve


def lookup(
    query_codes: Any, db_codes: Any, query_labels: Any, db_labels: Any, *, radius: int = 2
) -> float:
    """Return the mean precision of the items within `radius`; an empty result counts as 0."""
    arrays = query_codes, db_codes, query_labels, db_labels
    return distance_scores(*arrays, radius=radius).lookup


def chance_level(query_labels: Any, db_labels: Any) -> float:
    """Return the exact expected MAP (whole ranking) of a database in random order.

    It lies slightly above the mean share of relevant items, which it approaches as the database
    grows: for R of n relevant, (H_n + (R - 1) / (n - 1) * (n - H_n)) / n, H_n = 1 + 1/2 + ... 1/n.
    """
    queries, database = check_labels(query_labels, db_labels)
    n_codes = len(database)
    blocks = query_blocks(len(queries), max(n_codes, CELLS_PER_DISTANCE))
    found = [
        chance_precisions(share_a_label(queries[p], database).sum(axis=1), n_codes) for p in blocks
    ]
    return float(np.concatenate(found).mean())


def chance_precisions(n_relevant: NDArray[np.int64], n_codes: int) -> NDArray[np.float64]:
    """Return the expected AP, (n_queries,), of `n_codes` items in random order: one large tie.

    Args:
        n_relevant: (n_queries,) items relevant to each query.
        n_codes: All items.
    """
    one_tie = n_relevant[:, None]
    return DistanceCounts(one_tie, np.full_like(one_tie, n_codes)).expected_average_precision()


def _precision_recall(
    relevant: NDArray[np.int64], items: NDArray[np.int64], stop: int
) -> PrecisionRecall:
    """Pool counts (8 * n_bytes + 1) by distance into a curve of the first `stop` radii."""
    relevant, items = relevant.cumsum(), items.cumsum()
    precision = (relevant / np.maximum(items, 1))[:stop]
    recall = (relevant / max(int(relevant[-1]), 1))[:stop]
    return PrecisionRecall(np.arange(len(recall)), precision, recall)


@lru_cache(maxsize=1)
def _harmonic(n: int) -> NDArray[np.float64]:
    """Return H_0, ..., H_n; every block of queries asks for the same n."""
    return np.cumsum(np.r_[0.0, 1.0 / np.arange(1, n + 1)])
