"""Searches over the segments of an index: each is searched, and their answers merged."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import arrays
from ..layout import NO_INDEX, RadiusResult, Rescored, TopK
from ..merging import radius_in_order, topk_in_order
from ..rescore import rescore
from . import checks as index_checks
from .positions import gathered, ids_at, positions_of
from .segments import Scope, Segment
from .state import State, check_known

Scopes = list[tuple[Segment, Scope]]


def scopes(state: State, filter: Any, like: np.ndarray) -> Scopes:
    """What a filter leaves of each segment; without a filter all that is not removed.

    Args:
        state: of the index.
        filter: None, bools for the codes in their order, or ids.
        like: an array where the index lies.
    """
    if filter is None:
        return [(segment, segment.scope()) for segment in state.segments]
    given = arrays.contiguous(index_checks.filter_array(filter, like))
    if given.dtype != np.bool_:
        # In order: neighbours are found in one cache line.
        wanted = arrays.module(given).sort(given.reshape(-1))
        found = [(segment, segment.scope_of(wanted)) for segment in state.segments]
        return [(segment, scope) for segment, scope in found if scope is not None]
    index_checks.live_mask(given, state.n_codes)
    chosen, begin = [], 0
    for segment in state.segments:
        end = begin + segment.n_alive
        chosen.append((segment, segment.scope_where(given[begin:end])))
        begin = end
    return chosen


def topk(queries: np.ndarray, scopes: Scopes, k: int, threads: int) -> TopK:
    """As `hamming.topk`, with ids.

    Args:
        queries: `(n_queries, n_bytes)`, contiguous, where the index lies.
        scopes: what is searched.
        k: columns of the result, at least 1.
        threads: CPU threads, at least 1.
    """
    found = [segment.topk(queries, k, scope, threads) for segment, scope in scopes]
    xp, nothing = arrays.module(queries), (len(queries), 0)
    none = TopK(xp.empty(nothing, np.int32), xp.empty(nothing, np.int64))
    return topk_in_order(found or [none], k)


def radius_search(queries: np.ndarray, scopes: Scopes, radius: int, threads: int) -> RadiusResult:
    """As `hamming.radius_search`, with ids; arguments as for `topk`."""
    found = [segment.radius_search(queries, radius, scope, threads) for segment, scope in scopes]
    xp = arrays.module(queries)
    none = RadiusResult(
        xp.zeros(len(queries) + 1, np.int64), xp.empty(0, np.int32), xp.empty(0, np.int64)
    )
    return radius_in_order(found or [none])


def rescored(
    queries: Any, segments: tuple[Segment, ...], like: np.ndarray, ids: np.ndarray, k: int
) -> Rescored:
    """As `hamming.rescore`, with ids.

    Args:
        queries: `(n_queries, n_bits)` or `(n_bits,)` floats of any kind.
        segments: of the index.
        like: an array where it lies.
        ids: `(n_queries, m)` or `(m,)`.
        k: columns of the result.
    """
    xp = arrays.module(ids)
    positions = positions_of(segments, ids)
    if xp is np:  # elsewhere a look at the values would wait for the device
        wanted = ids != NO_INDEX
        check_known(ids[wanted], [positions[wanted]])
    if len(segments) == 1:
        found = rescore(queries, segments[0].codes, positions, k)
        return found._replace(indices=_mapped(found.indices, segments[0].ids.take))
    # Candidates in the order of their codes: so equal scores keep it.
    positions = xp.sort(positions, axis=-1)
    every = positions.reshape(-1)
    codes = gathered(segments, every) if segments else like
    places = xp.arange(len(every)).reshape(positions.shape)
    found = rescore(queries, codes, xp.where(positions < 0, NO_INDEX, places), k)

    def ids_of(places: np.ndarray) -> np.ndarray:
        chosen = xp.where(places < 0, NO_INDEX, every[xp.maximum(places, 0)])
        return ids_at(segments, chosen)

    return found._replace(indices=_mapped(found.indices, ids_of) if segments else found.indices)


def _mapped(indices: Any, ids_of: Any) -> Any:
    """Indices of any kind of array as ids of that kind."""
    array, kind = arrays.view(indices, "indices")
    return arrays.like(kind, ids_of(array))
