"""The exact merge of searches over the parts of a database: by index, or in the order of parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import arrays, checks
from .dispatch import choose
from .layout import NO_DISTANCE, NO_INDEX, RadiusResult, Rescored, TopK

_DISTANCE_BITS = 25  # distances are below 2**24


def merge_topk(results: Sequence[TopK], k: int) -> TopK:
    """Merges per-shard top-k lists with global indices into the k best, in the same order.

    Exact when each shard's list holds its own k best (or all it has): the order is total.

    Args:
        results: `TopK`s of the same queries, of any lengths.
        k: at least 1; at most the entries of all lists together.

    Returns:
        `TopK` of `(n_queries, k)`, of the kind of the first list.

    Raises:
        TypeError: `results` is no sequence of pairs of integer arrays.
        ValueError: no results, different queries, or fewer than k entries in all.

    Example:
        >>> near, far = TopK(np.array([1]), np.array([7])), TopK(np.array([3]), np.array([2]))
        >>> merge_topk([far, near], 1)
        TopK(distances=array([1], dtype=int32), indices=array([7]))
    """
    count = checks.integer(k, "k", least=1, remedy="ask for at least one neighbour")
    parts = [checks.shard_result(result) for result in checks.shard_results(results)]
    named = {f"results[{i}]": x for i, part in enumerate(parts) for x in part}
    choose(arrays.common_device(named))  # or what is missing, in one sentence
    with arrays.placed(parts[0][0], "results"):
        kind = arrays.view(parts[0][0], "results").kind
        views = [tuple(arrays.view(x, "results").array for x in part) for part in parts]
        checks.merge_parts(views, count)
        xp = arrays.module(views[0][0])
        distances = xp.concatenate([part[0] for part in views], axis=-1).astype(np.int32)
        indices = xp.concatenate([part[1] for part in views], axis=-1).astype(np.int64)
        # Stable: the order by index decides between equal distances. Missing entries (index -1)
        # have the largest distance, so the distance alone puts them last.
        by_index = xp.argsort(indices, axis=-1, kind="stable")
        nearest = xp.take_along_axis(distances, by_index, axis=-1)
        by_distance = xp.argsort(nearest, axis=-1, kind="stable")
        order = xp.take_along_axis(by_index, by_distance, axis=-1)[..., :count]
        merged = TopK(*(xp.take_along_axis(x, order, axis=-1) for x in (distances, indices)))
        return arrays.result_like(kind, merged)


def topk_in_order(results: Sequence[TopK], k: int) -> TopK:
    """The k nearest of several lists; equal distances keep the order of the lists.

    With each list ordered by distance and then by row, the lists in the order of their rows, that
    is the order of one search over all rows, whatever numbers stand for the rows.

    Args:
        results: `TopK`s of NumPy or CuPy arrays `(n_queries, any)`, of the same queries.
        k: entries of the result; where there are fewer, its tail is index -1, distance 2**31 - 1.
    """
    xp = arrays.module(results[0].distances)
    if len(results) == 1:
        distances, indices = results[0]
    else:
        distances = xp.concatenate([part.distances for part in results], axis=1)
        indices = xp.concatenate([part.indices for part in results], axis=1)
        order = xp.argsort(distances, axis=1, kind="stable")[:, :k]
        distances = xp.take_along_axis(distances, order, axis=1)
        indices = xp.take_along_axis(indices, order, axis=1)
    if distances.shape[1] >= k:
        return TopK(distances[:, :k], indices[:, :k])
    tail = (len(distances), k - distances.shape[1])
    return TopK(
        xp.concatenate([distances, xp.full(tail, NO_DISTANCE, distances.dtype)], axis=1),
        xp.concatenate([indices, xp.full(tail, NO_INDEX, indices.dtype)], axis=1),
    )


def radius_in_order(results: Sequence[RadiusResult]) -> RadiusResult:
    """All hits of several searches, by query and distance; equal ones keep the order of the lists.

    Args:
        results: `RadiusResult`s of NumPy or CuPy arrays, of the same queries.
    """
    if len(results) == 1:
        return results[0]
    xp = arrays.module(results[0].offsets)
    offsets = sum(part.offsets for part in results[1:]) + results[0].offsets
    queries = xp.concatenate([_query_of_hits(part) for part in results])
    distances = xp.concatenate([part.distances for part in results])
    indices = xp.concatenate([part.indices for part in results])
    order = xp.argsort((queries << _DISTANCE_BITS) + distances, kind="stable")
    return RadiusResult(offsets, distances[order], indices[order])


def rescored_in_order(results: Sequence[Rescored], k: int) -> Rescored:
    """The k best of several lists; equal scores keep the order of the lists.

    Args:
        results: `Rescored`s of NumPy or CuPy arrays `(n_queries, any)`, of the same queries.
        k: entries of the result; the lists have as many together.
    """
    if len(results) == 1:
        return Rescored(*(part[:, :k] for part in results[0]))
    xp = arrays.module(results[0].scores)
    scores = xp.concatenate([part.scores for part in results], axis=1)
    indices = xp.concatenate([part.indices for part in results], axis=1)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Rescored(
        xp.take_along_axis(scores, order, axis=1), xp.take_along_axis(indices, order, axis=1)
    )


def _query_of_hits(result: RadiusResult) -> np.ndarray:
    xp = arrays.module(result.offsets)
    hits = xp.arange(len(result.distances), dtype=result.offsets.dtype)
    found: np.ndarray = xp.searchsorted(result.offsets, hits, side="right") - 1
    return found
