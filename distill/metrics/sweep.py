"""Every metric of every direction from one pass over the pairs of queries and items."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.metrics.arguments import (
    as_host,
    check_choice,
    check_codes,
    check_count,
    check_labels,
    check_width,
    query_blocks,
    share_a_label,
)
from distill.metrics.counts import (
    CELLS_PER_DISTANCE,
    DistanceCounts,
    DistanceScores,
    DistanceTally,
    chance_precisions,
)
from distill.metrics.ranking import Cutoff, average, narrowed, relevant_ranks


class RankingScores(NamedTuple):
    """The metrics of one direction, means over the queries.

    Attributes:
        map: Over the whole ranking, ties by index.
        map_at: MAP at each cut-off.
        precision_at: Precision at each depth.
        by_distance: What needs no order inside ties.
    """

    map: float
    map_at: tuple[float, ...]
    precision_at: tuple[float, ...]
    by_distance: DistanceScores


class Swept(NamedTuple):
    """The expected MAP of a random order, and the scores of every direction."""

    chance: float
    directions: dict[str, RankingScores]


def sweep(
    codes: Mapping[str, tuple[Any, Any]],
    query_labels: Any,
    db_labels: Any,
    *,
    n_bits: int,
    cuts: Sequence[tuple[Cutoff, int]] = (),
    depths: Sequence[int] = (),
    radius: int = 2,
) -> Swept:
    """Score directions that share the labels of their queries and items.

    Whether a pair is relevant is found once for all directions. A direction's distances are
    computed once; its whole ranking is a counting sort of them.

    Args:
        codes: Direction -> (n_queries, n_bytes) and (n_codes, n_bytes) uint8, packed.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        n_bits: Code length.
        cuts: Cut-offs of average precision, as (what is counted, k), k at least 1.
        depths: Numbers of ranks at which precision is taken, each in 1..n_codes.
        radius: Of `lookup`.

    Raises:
        ValueError, TypeError: An argument is not as described.
    """
    check_count("radius", radius, least=0)
    queries, database = check_labels(query_labels, db_labels)
    for query_codes, db_codes in codes.values():
        check_width(n_bits, query_codes)
        check_labels(queries, database, *check_codes(query_codes, db_codes))
    _check_ranks(cuts, depths, len(database))
    rankings = {name: _Ranking(*pair, cuts, depths, n_bits, radius) for name, pair in codes.items()}
    n_distances = 8 * -(-n_bits // 8) + 1
    chance = []
    for part in query_blocks(len(queries), max(len(database), CELLS_PER_DISTANCE * n_distances)):
        relevant = share_a_label(queries[part], database)
        chance.append(chance_precisions(relevant.sum(axis=1), len(database)))
        for ranking in rankings.values():
            ranking.add(part, relevant)
    scores = {name: ranking.scores() for name, ranking in rankings.items()}
    return Swept(float(np.concatenate(chance).mean()), scores)


def _check_ranks(cuts: Sequence[tuple[Cutoff, int]], depths: Sequence[int], n_codes: int) -> None:
    for cutoff, k in cuts:
        check_choice("cuts", cutoff, get_args(Cutoff))
        check_count("cuts", k)
    for depth in depths:
        check_count("depths", depth)
        if depth > n_codes:
            raise ValueError(
                f"depths: expected at most n_codes = {n_codes}, got {depth}; leave it out"
            )


class _Ranking:
    """One direction, block by block of queries."""

    def __init__(
        self,
        query_codes: Any,
        db_codes: Any,
        cuts: Sequence[tuple[Cutoff, int]],
        depths: Sequence[int],
        n_bits: int,
        radius: int,
    ) -> None:
        self._queries, self._database = query_codes, db_codes
        self._n_bytes = query_codes.shape[1]
        self._cuts, self._depths = cuts, np.array(depths, np.int64)
        self._tally = DistanceTally(self._n_bytes, radius=radius, n_bits=n_bits)
        self._rows: list[NDArray[np.float64]] = []

    def add(self, part: slice, relevant: NDArray[np.bool_]) -> None:
        """Rank all items for some queries; `relevant` is (n_block, n_codes)."""
        distances = as_host(hamming.distance(self._queries[part], self._database))
        counts = np.empty((2, len(distances), 8 * self._n_bytes + 1), np.int64)
        rows = zip(narrowed(distances, self._n_bytes), relevant, strict=True)
        for i, (row, hits) in enumerate(rows):
            ranks = relevant_ranks(hits.take(np.argsort(row, kind="stable")))
            items = np.bincount(row, minlength=counts.shape[2])
            # Up to a distance lie as many items as the last rank at it says.
            within = np.searchsorted(ranks, items.cumsum(), "right")
            counts[:, i] = np.diff(within, prepend=0), items
            self._rows.append(self._scores(ranks))
        self._tally.add(DistanceCounts(*counts))

    def scores(self) -> RankingScores:
        """Return the means over all queries so far."""
        whole, *others = np.mean(self._rows, axis=0).tolist()
        n = len(self._cuts)
        return RankingScores(whole, tuple(others[:n]), tuple(others[n:]), self._tally.scores())

    def _scores(self, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        at = [average(ranks, top=k, cutoff=cutoff) for cutoff, k in self._cuts]
        inside = np.searchsorted(ranks, self._depths, "right")
        return np.array([average(ranks), *at, *(inside / self._depths)])
