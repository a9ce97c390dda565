"""Metrics of a ranking: average precision with either meaning of a cut-off, precision at n."""

from collections.abc import Iterator
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
    depth = top if top is not None and cutoff == "rank" else None
    blocks = ranked_relevance(query_codes, db_codes, query_labels, db_labels, depth=depth)
    scores = [average_precision(block, top=top, cutoff=cutoff) for block in blocks]
    return float(np.concatenate(scores).mean())


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
    rows, columns = np.nonzero(relevant)
    found = np.bincount(rows, minlength=len(relevant))
    nth = np.arange(1, rows.size + 1) - (found.cumsum() - found)[rows]
    precision = nth / (columns + 1)
    if top is not None:
        keep = columns < top if cutoff == "rank" else nth <= top
        rows, precision = rows[keep], precision[keep]
        found = np.bincount(rows, minlength=len(relevant))
    total = np.bincount(rows, weights=precision, minlength=len(relevant))
    return total / np.maximum(found, 1)


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
        indices = as_host(hamming.topk(query_codes[part], db_codes, k).indices)
        yield np.take_along_axis(share_a_label(queries[part], database), indices, axis=1)


def _check_cut(top: int | None, cutoff: str) -> None:
    if top is not None:
        check_count("top", top)
    check_choice("cutoff", cutoff, ("rank", "relevant"))
