"""The exact merge of searches over the parts of a database, in the order of the parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import arrays
from .layout import NO_DISTANCE, NO_INDEX, RadiusResult, Rescored, TopK

_DISTANCE_BITS = 25  # distances are below 2**24


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
