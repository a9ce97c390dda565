"""Metrics of a ranking: average precision with either meaning of a cut-off, precision at n."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.metrics.arguments import (
    as_host,
    as_numbers,
    check_choice,
    check_codes,
    check_count,
    check_labels,
    query_blocks,
    share_a_label,
)
from distill.metrics.counts import distance_scores

Cutoff = Literal["rank", "relevant"]
Ties = Literal["index", "average"]
_TOPK_SHARE = 1 / 4
"""Share of the database from which sorting it whole is faster than `hamming.topk`."""


def mean_average_precision(
    query_codes: Any,
    db_codes: Any,
    query_labels: Any,
    db_labels: Any,
    *,
    top: int | None = None,
    cutoff: Cutoff = "rank",
    ties: Ties = "index",
) -> float:
    """Return the mean over queries of the average precision of a Hamming ranking.

    Args:
        query_codes: (n_queries, n_bytes) uint8, packed.
        db_codes: (n_codes, n_bytes) uint8, packed.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        top: Cut-off, or None for the whole ranking; more than n_codes is the whole ranking too.
        cutoff: What `top` counts. "rank" keeps the first `top` ranks and averages over the
            relevant items among them, 0 if there is none (DJSRH, BRCD); "relevant" averages over
            the first `top` relevant items wherever they rank (DCHMT).
        ties: "index" orders equal distances by index; "average" is the exact expectation over
            random orders inside equal distances, for the whole ranking only.

    Raises:
        ValueError, TypeError: An argument is not as described.
    """
    _check_cut(top, cutoff)
    check_choice("ties", ties, ("index", "average"))
    if ties == "average":
        if top is not None:
            raise ValueError(
                f"top: expected None with ties='average', got {top}; "
                "the expectation is defined for the whole ranking"
            )
        arrays = query_codes, db_codes, query_labels, db_labels
        return distance_scores(*arrays).map_tie_averaged
    arrays = query_codes, db_codes, query_labels, db_labels
    return float(average_precisions(*arrays, top=top, cutoff=cutoff).mean())


def average_precisions(
    query_codes: Any,
    db_codes: Any,
    query_labels: Any,
    db_labels: Any,
    *,
    top: int | None = None,
    cutoff: Cutoff = "rank",
) -> NDArray[np.float64]:
    """Return the AP of each query, (n_queries,), equal distances by index.

    Args:
        query_codes: (n_queries, n_bytes) uint8, packed.
        db_codes: (n_codes, n_bytes) uint8, packed.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        top: As in `mean_average_precision`.
        cutoff: As in `mean_average_precision`.

    Raises:
        ValueError, TypeError: An argument is not as described.
    """
    _check_cut(top, cutoff)
    depth = top if cutoff == "rank" else None
    blocks = ranked_relevance(query_codes, db_codes, query_labels, db_labels, depth=depth)
    return np.concatenate([average_precision(block, top=top, cutoff=cutoff) for block in blocks])


def mean_average_precision_from_scores(
    scores: Any,
    query_labels: Any,
    db_labels: Any,
    *,
    top: int | None = None,
    cutoff: Cutoff = "rank",
) -> float:
    """Return the mean average precision of float codes, given as a matrix of similarities.

    Args:
        scores: (n_queries, n_codes) float, higher is better; equal scores go by index.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        top: As in `mean_average_precision`.
        cutoff: As in `mean_average_precision`.

    Raises:
        ValueError, TypeError: An argument is not as described, or a score is NaN.
    """
    _check_cut(top, cutoff)
    scores = as_numbers("scores", scores)
    if scores.ndim != 2 or not np.issubdtype(scores.dtype, np.floating):
        raise TypeError(
            "scores: expected floats (n_queries, n_codes), "
            f"got {scores.dtype} {scores.shape}; pass one similarity per pair"
        )
    queries, database = check_labels(query_labels, db_labels, *scores.shape)
    found = []
    for part in query_blocks(*scores.shape):
        if np.isnan(scores[part]).any():
            raise ValueError("scores: expected numbers, got NaN; remove it: a NaN has no rank")
        order = np.argsort(-scores[part], axis=1, kind="stable")
        relevant = np.take_along_axis(share_a_label(queries[part], database), order, axis=1)
        found.append(average_precision(relevant, top=top, cutoff=cutoff))
    return float(np.concatenate(found).mean())


def precision_at(
    query_codes: Any, db_codes: Any, query_labels: Any, db_labels: Any, *, n: int
) -> float:
    """Return the mean share of relevant items among the first `n` (1..n_codes), index ties."""
    check_count("n", n)
    _, n_codes = check_codes(query_codes, db_codes)
    if n > n_codes:
        raise ValueError(f"n: expected 1..n_codes = {n_codes}, got {n}; ask for fewer")
    blocks = ranked_relevance(query_codes, db_codes, query_labels, db_labels, depth=n)
    return float(np.concatenate([block.mean(axis=1) for block in blocks]).mean())


def average_precision(
    relevant: NDArray[np.bool_], *, top: int | None = None, cutoff: Cutoff = "rank"
) -> NDArray[np.float64]:
    """Return the AP of each ranking.

    Args:
        relevant: (n_queries, depth) bool, best first.
        top: As in `mean_average_precision`.
        cutoff: As in `mean_average_precision`.

    Raises:
        ValueError, TypeError: An argument is not as described.
    """
    _check_cut(top, cutoff)
    relevant = as_numbers("relevant", relevant)
    if relevant.ndim != 2 or relevant.dtype != bool:
        raise ValueError(
            f"relevant: expected bool (n_queries, depth), got {relevant.dtype} {relevant.shape}; "
            "pass one row of True and False per query"
        )
    return np.array([average(relevant_ranks(row), top=top, cutoff=cutoff) for row in relevant])


def average(ranks: NDArray[np.int64], *, top: int | None = None, cutoff: Cutoff = "rank") -> float:
    """Return the AP of one ranking, given the ranks of its relevant items, (n_relevant,)."""
    if top is not None:
        ranks = ranks[: top if cutoff == "relevant" else np.searchsorted(ranks, top, "right")]
    n = len(ranks)
    return float((_counting(_rounded(n))[:n] / ranks).mean()) if n else 0.0


def relevant_ranks(relevant: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the ranks, from 1 and ascending, of the relevant items of one ranking (depth,)."""
    ranks = np.flatnonzero(relevant)
    ranks += 1
    return ranks


def narrowed(distances: NDArray[np.int32], n_bytes: int) -> NDArray[Any]:
    """Return distances in the narrowest integers that hold them.

    NumPy sorts integers of 8 and 16 bits by counting, in linear time and stably.
    """
    return distances.astype(np.uint8 if 8 * n_bytes < 256 else np.uint16)


def ranked_relevance(
    query_codes: Any,
    db_codes: Any,
    query_labels: Any,
    db_labels: Any,
    *,
    depth: int | None = None,
) -> Iterator[NDArray[np.bool_]]:
    """Yield, block by block of queries, whether the item at each rank is relevant.

    Args:
        query_codes: (n_queries, n_bytes) uint8, packed.
        db_codes: (n_codes, n_bytes) uint8, packed.
        query_labels: (n_queries, n_labels) of 0 and 1.
        db_labels: (n_codes, n_labels) of 0 and 1.
        depth: Ranks to look at; None, or more than n_codes, is the whole ranking.

    Yields:
        (n_block, depth) bool, order by (distance, index).
    """
    shape = check_codes(query_codes, db_codes)
    queries, database = check_labels(query_labels, db_labels, *shape)
    k = shape[1] if depth is None else min(depth, shape[1])
    for part in query_blocks(*shape):
        relevant = share_a_label(queries[part], database)
        if k <= shape[1] * _TOPK_SHARE:
            indices = as_host(hamming.topk(query_codes[part], db_codes, k).indices)
            yield np.take_along_axis(relevant, indices, axis=1)
            continue
        distances = as_host(hamming.distance(query_codes[part], db_codes))
        for row, hits in zip(narrowed(distances, query_codes.shape[1]), relevant, strict=True):
            hits[:] = hits.take(np.argsort(row, kind="stable"))
        yield relevant[:, :k]


def _rounded(n: int) -> int:
    """Return a power of two of at least n, so that few lengths of `_counting` are ever made."""
    return 1 << (n - 1).bit_length()


@lru_cache(maxsize=32)
def _counting(n: int) -> NDArray[np.float64]:
    numbers = np.arange(1.0, n + 1)
    numbers.flags.writeable = False
    return numbers


def _check_cut(top: int | None, cutoff: str) -> None:
    if top is not None:
        check_count("top", top)
    check_choice("cutoff", cutoff, ("rank", "relevant"))
