"""What every sharded search does: checks, each shard's share of the arguments, the merge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from .. import arrays, checks
from ..index import checks as index_checks
from ..layout import NO_INDEX, RadiusResult, Rescored, TopK, bytes_for
from ..merging import radius_in_order, rescored_in_order, topk_in_order


class Call(NamedTuple):
    """A search of one shard, as the shard's index has it.

    Attributes:
        method: "topk", "radius_search" or "rescore".
        limit: k or the radius.
        filter: the shard's part of it; of a "rescore" the candidates, whatever shard has them.
        threads: as given.
    """

    method: str
    limit: int
    filter: Any
    threads: int | None


class ShardedSearch(ABC):
    """Searches over shards, whose answers `_ask` brings.

    Args:
        n_bits: of every code.
        counts: codes of each shard.
    """

    def __init__(self, n_bits: int, counts: Sequence[int]) -> None:
        self._n_bits = n_bits
        self._counts = tuple(counts)

    @property
    def n_bits(self) -> int:
        """Bits of a code."""
        return self._n_bits

    def __len__(self) -> int:
        return sum(self._counts)

    @property
    @abstractmethod
    def ids(self) -> np.ndarray:
        """`(n_codes,) int64`, shard after shard."""

    def topk(
        self, query_codes: Any, k: int, *, filter: Any = None, threads: int | None = None
    ) -> TopK:
        """The k nearest codes of each query, by distance, then shard, then row.

        Args:
            query_codes: `(n_queries, n_bytes) uint8`, or one code `(n_bytes,)`.
            k: 1..n_codes of all shards together; one shard may have fewer.
            filter: `int64` ids to search in (unknown ones are ignored), or `(n_codes,) bool`
                aligned with `ids`; None = all.
            threads: CPU threads of each process; None = its default.

        Returns:
            `TopK(distances int32, ids int64)`, each `(n_queries, k)` or, for one code, `(k,)`, of
            the kind of `query_codes` and where they are. With fewer than k codes left by the
            filter the tail is id -1, distance 2**31 - 1.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: k, shapes or devices do not fit.
        """
        with arrays.placed(query_codes, "query_codes"):
            rows, kind, single = self._queries(query_codes)
            index_checks.searchable(len(self))
            count = checks.top_k(k, len(self))
            parts = self._parts(filter, rows)
            calls = {
                shard: Call("topk", min(count, n), parts[shard], threads)
                for shard, n in enumerate(self._counts)
                if n
            }
            found = topk_in_order([TopK(*x) for x in self._ask(rows, calls)], count)
            if single:
                found = TopK(found.distances[0], found.indices[0])
            return arrays.result_like(kind, _beside(rows, found))

    def radius_search(
        self, query_codes: Any, radius: int, *, filter: Any = None, threads: int | None = None
    ) -> RadiusResult:
        """All codes within a radius of each query, by distance, then shard, then row.

        Args:
            query_codes: `(n_queries, n_bytes) uint8`, or one code `(n_bytes,)`.
            radius: at least 0, in bits; `d <= radius` is a hit.
            filter: as for `topk`.
            threads: as for `topk`.

        Returns:
            `RadiusResult(offsets, distances, ids)` of the kind of `query_codes` and where they are.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: radius, shapes or devices do not fit.
        """
        with arrays.placed(query_codes, "query_codes"):
            rows, kind, _ = self._queries(query_codes)
            limit = checks.integer(radius, "radius", least=0, remedy="give a distance in bits")
            limit = min(limit, self.n_bits)
            parts = self._parts(filter, rows)
            calls = {
                shard: Call("radius_search", limit, parts[shard], threads)
                for shard, n in enumerate(self._counts)
                if n or shard == 0
            }
            found = radius_in_order([RadiusResult(*x) for x in self._ask(rows, calls)])
            return arrays.result_like(kind, _beside(rows, found))

    def rescore(self, queries: Any, ids: Any, k: int) -> Rescored:
        """The k candidates of each query with the highest inner product, codes read as +-1.

        As `Index.rescore`; every shard scores the candidates that it has. Equal scores: by shard,
        then row.

        Args:
            queries: `(n_queries, n_bits)` floats, or one query `(n_bits,)`.
            ids: `(n_queries, m)` ids as `topk` returns them; -1 = no candidate.
            k: 1..m.

        Returns:
            `Rescored(scores float32, ids int64)`, each `(n_queries, k)`, of the kind of `queries`
            and where they are. With fewer than k candidates the tail is id -1, score -inf.

        Raises:
            TypeError: an argument is no array, or of a wrong dtype.
            ValueError: shapes, devices or k do not fit, no shard has an id (not looked at where the
                queries are on a GPU), or a query is not finite.
        """
        with arrays.placed(queries, "queries"):
            given, kind = arrays.view(queries, "queries")
            values = arrays.floats(queries, given)
            index_checks.value_width(values, self.n_bits)
            wanted = index_checks.id_array(ids, "ids", values)
            index_checks.candidates(wanted, values)
            checks.rescore_k(k, wanted.shape[-1], arrays.device_of(queries, "queries"))
            rows = arrays.contiguous(values.reshape(-1, self.n_bits))
            wanted = arrays.contiguous(wanted.reshape(len(rows), wanted.shape[-1]))
            calls = {
                shard: Call("rescore", int(k), wanted, None)
                for shard, n in enumerate(self._counts)
                if n or shard == 0
            }
            answers = self._ask(rows, calls)
            if arrays.module(wanted) is np:  # elsewhere a look at the values would wait
                _check_known(wanted, [known for *_, known in answers])
            found = rescored_in_order([Rescored(*x) for *x, _ in answers], int(k))
            if values.ndim == 1:
                found = Rescored(found.scores[0], found.indices[0])
            return arrays.result_like(kind, _beside(rows, found))

    @abstractmethod
    def _ask(self, queries: np.ndarray, calls: Mapping[int, Call]) -> list[tuple[Any, ...]]:
        """What shards answer, in the order of the calls: where the queries are, or on the host.

        Args:
            queries: `(n_queries, n_bytes)` of NumPy or CuPy; floats `(n_queries, n_bits)` to
                re-score by.
            calls: shard -> what it is asked.
        """

    def _queries(self, query_codes: Any) -> tuple[np.ndarray, arrays.Kind, bool]:
        """Contiguous rows, the kind of the results, and whether one code was given."""
        queries, kind = arrays.view(query_codes, "query_codes")
        index_checks.query_width(queries, self.n_bits)
        rows = arrays.contiguous(queries.reshape(-1, bytes_for(self.n_bits)))
        return rows, kind, queries.ndim == 1

    def _parts(self, filter: Any, rows: np.ndarray) -> list[Any]:
        """Each shard's part of a filter: all ids, or the bools of its own rows."""
        if filter is None:
            return [None] * len(self._counts)
        array = index_checks.filter_array(filter, rows)
        if array.dtype != np.bool_:
            return [array] * len(self._counts)
        index_checks.live_mask(array, len(self))
        return [array[a:b] for a, b in pairwise(accumulate(self._counts, initial=0))]


def _check_known(ids: np.ndarray, known: Sequence[np.ndarray]) -> None:
    """Every candidate is in some shard."""
    missing = ids[(ids != NO_INDEX) & ~np.logical_or.reduce(known)]
    if len(missing):
        raise index_checks.unknown(int(missing[0]), len(missing))


def _beside(queries: np.ndarray, found: arrays.Result) -> arrays.Result:
    """A result where the queries are."""
    xp = arrays.module(queries)
    if xp is np:
        return found
    return type(found)(*(xp.asarray(x) for x in found))
