"""Search in stages: candidates by their codes, re-scored, then re-ranked by stored embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import arrays, checks
from .index import Index
from .index import checks as index_checks
from .layout import Rescored
from .packing import pack, threshold_array
from .reranking import StoredEmbeddings, floats

CANDIDATES_PER_RESULT = 20  # docs/two-stage.md says what other numbers find
MIN_CANDIDATES = 200


class TwoStageSearch:
    """Search by codes in memory, refined by float queries and, if given, by stored embeddings.

    1. The nearest codes of `index` are the candidates.
    2. They are scored by the float query against their bits read as +-1:
       `(queries - threshold) . (+-1)`, the score of which the Hamming distance is a coarse form.
    3. With `embeddings`, the best of them are scored by the inner product of the query with their
       rows. Only those rows are read, so the array may be a memory map larger than memory.

    A call sees the index as it is when the call begins. Any number of threads may call while
    another adds or removes codes.

    On a GPU all three lie there; stage 3 waits for the device.

    Args:
        index: of the codes; later changes of it are seen.
        embeddings: `(n, dim)` float16, float32, float64, int8 or uint8 in NumPy or torch, bfloat16
            in torch, where the index lies; None = no stage 3. Without `encode`, dim is n_bits.
        ids: `(n,) int64`, whose row each is; None = row i belongs to id i. Rows of ids that the
            index does not have are never read.
        ranges: `(2, dim)` for int8 or uint8 made by `quantize_embeddings` of sentence-transformers:
            the least and largest value of each dimension that it was given, or took from its
            calibration embeddings.
        scale: for other int8 or uint8, a number or `(dim,)`: an item v stands for
            `scale * v + offset`; None = 1.
        offset: a number or `(dim,)`; None = 0.
        threshold: a number or `(n_bits,)`, with which the codes of the index were packed.
        encode: makes the values `(n_queries, n_bits)` that codes are packed from of queries
            `(n_queries, dim)`, as `values` of a fitted `distill.binarize.Itq` does; None = the
            queries are these values.

    Raises:
        TypeError: an argument is of a wrong type or dtype.
        ValueError: shapes or devices do not fit, or an id has no row.

    Example:
        >>> vectors = np.array([[3.0, 1, -1], [1, 1, -2], [-1, 2, 2]], np.float32)
        >>> search = TwoStageSearch(Index.from_codes(pack(vectors), 3), vectors)
        >>> search(np.array([1.0, 2, -1]), 2)
        Rescored(scores=array([6., 5.], dtype=float32), indices=array([0, 1]))
    """

    def __init__(
        self,
        index: Index,
        embeddings: Any = None,
        *,
        ids: Any = None,
        ranges: Any = None,
        scale: Any = None,
        offset: Any = None,
        threshold: Any = 0.0,
        encode: Callable[[Any], Any] | None = None,
    ) -> None:
        if encode is not None and not callable(encode):
            raise TypeError(
                f"encode: expected a function of queries, got {type(encode).__name__}; "
                "pass for example Itq(64).fit(x).values"
            )
        self.index = index_checks.index_only(index, Index)
        self._encode = encode
        self._threshold = _checked_threshold(threshold, index.n_bits)
        self._stored: StoredEmbeddings | None = None
        about = {"ids": ids, "ranges": ranges, "scale": scale, "offset": offset}
        if embeddings is not None:
            self._stored = StoredEmbeddings(embeddings, **about)
            self._check_stored(self._stored)
        for name, value in about.items():
            if embeddings is None and value is not None:
                raise ValueError(
                    f"{name}: expected None without embeddings, got {type(value).__name__}; "
                    "pass the embeddings too"
                )

    def __call__(
        self,
        queries: Any,
        k: int,
        *,
        candidates: int | None = None,
        rescored: int | None = None,
        filter: Any = None,
        threads: int | None = None,
    ) -> Rescored:
        """The k best codes of each query.

        Beside what `Index.topk` and `Index.rescore` hold, a call holds some 50 bytes a query
        component and a re-ranked row, and at most 16 MiB of embeddings (or one row, if larger).

        Args:
            queries: `(n_queries, dim)` float16, bfloat16, float32 or float64, or one `(dim,)`.
            k: 1..len(index).
            candidates: how many codes stage 1 finds, at least k; None = 20 k, at least 200. More
                than the index has are clipped.
            rescored: how many candidates stage 2 leaves for stage 3, at least k; None = half of
                them, and at least k. As many as `candidates` leaves stage 2 out. Without embeddings
                it has no meaning.
            filter: as for `Index.topk`.
            threads: of stage 1, as for `Index.topk`.

        Returns:
            `Rescored(scores float32, indices int64)`, each `(n_queries, k)`, of the kind of
            `queries`; `indices` are ids, by score and then by which was added earlier. Scores are
            those of the last stage; stage 3 sums in float64. With fewer than k candidates the tail
            is id -1, score -inf.

        Raises:
            TypeError: queries are no floats, or another argument is of a wrong type.
            ValueError: k, shapes or devices do not fit, a value is not finite, or a candidate has
                no row in the embeddings.
        """
        index = self.index.snapshot()
        index_checks.device(queries, "queries", index.device)
        index_checks.searchable(len(index))
        count = checks.top_k(k, len(index), index.device)
        n_found, n_kept = _stage_sizes(count, candidates, rescored, len(index))
        with arrays.placed(queries, "queries"):
            rows, kind = self._rows(queries)
            values = rows if self._encode is None else self._encoded(queries, index)
            codes = pack(values, threshold=self._threshold)
            found = index.topk(codes, n_found, filter=filter, threads=threads).indices
            xp = arrays.module(values)
            centred = values - xp.asarray(self._threshold)
            if self._stored is None or n_kept < n_found:
                if xp is np:  # elsewhere a look at the values would wait for the device
                    checks.rescore_range(centred)
                centred = centred.astype(np.float32)
            if self._stored is None:
                result = index.rescore(centred, found, count)
            else:
                if n_kept < n_found:
                    found = index.rescore(centred, found, n_kept).indices
                # Queries of zeros have equal scores, so this is the order of the rows.
                nothing = xp.zeros(centred.shape, np.float32)
                ordered = index.rescore(nothing, found, n_kept).indices
                result = _best(self._stored.scores(rows, ordered), ordered, count)
            if len(queries.shape) == 1:
                result = Rescored(result.scores[0], result.indices[0])
            return arrays.result_like(kind, result)

    def _rows(self, queries: Any) -> arrays.View:
        """The queries as `(n_queries, dim)` floats."""
        values, kind = floats(queries, "queries"), arrays.view(queries, "queries").kind
        if values.dtype.kind != "f":
            raise TypeError(
                f"queries: expected float values, got dtype {values.dtype}; "
                "pass the embeddings before packing"
            )
        dim = self.index.n_bits if self._encode is None else None
        dim = dim if self._stored is None else self._stored.dim
        if values.ndim not in (1, 2) or (dim is not None and values.shape[-1] != dim):
            wanted = f"(n_queries, {dim}) or ({dim},)" if dim else "(n_queries, dim) or (dim,)"
            raise ValueError(
                f"queries: expected shape {wanted}, got {checks.shape_text(values)}; "
                "use the model that made the database"
            )
        if arrays.module(values) is np:
            checks.finite(values, "queries")
        return arrays.View(values.reshape(-1, values.shape[-1]), kind)

    def _encoded(self, queries: Any, index: Index) -> np.ndarray:
        """What `encode` makes of the queries, checked."""
        assert self._encode is not None
        made = self._encode(queries if len(queries.shape) == 2 else queries[None])
        if not hasattr(made, "__dlpack_device__"):
            raise TypeError(
                f"encode: expected it to return an array, got {type(made).__name__}; "
                "return what the codes are packed from"
            )
        index_checks.device(made, "encode", index.device)
        values = floats(made, "encode")
        n_queries = 1 if len(queries.shape) == 1 else int(queries.shape[0])
        if values.dtype.kind != "f" or values.shape != (n_queries, index.n_bits):
            raise ValueError(
                f"encode: expected floats of shape ({n_queries}, {index.n_bits}) for "
                f"{n_queries} queries, got {values.dtype} of shape {checks.shape_text(values)}; "
                "return what the codes are packed from"
            )
        if arrays.module(values) is np:
            checks.finite(values, "encode")
        return values

    def _check_stored(self, stored: StoredEmbeddings) -> None:
        index_checks.device(stored.array, "embeddings", self.index.device)
        n_bits = self.index.n_bits
        if self._encode is None and stored.dim != n_bits:
            raise ValueError(
                f"embeddings: expected width {n_bits} like the codes, got {stored.dim}; "
                "pass encode=, which makes the values of codes of a query"
            )
        for ids, _ in self.index.chunks():
            stored.check_rows(ids)


def _checked_threshold(threshold: Any, n_bits: int) -> np.ndarray:
    """`threshold` in host memory."""
    limits = threshold_array(threshold, n_bits)
    checks.finite(limits, "threshold")
    return limits


def _stage_sizes(
    k: int, candidates: int | None, rescored: int | None, n_codes: int
) -> tuple[int, int]:
    """How many candidates stage 1 finds and how many stage 2 leaves."""
    n_found = max(CANDIDATES_PER_RESULT * k, MIN_CANDIDATES)
    if candidates is not None:
        remedy = f"ask for at least the k = {k} results"
        n_found = checks.integer(candidates, "candidates", least=k, remedy=remedy)
    n_found = min(n_found, n_codes)
    if rescored is None:
        return n_found, max(k, n_found // 2)
    remedy = f"leave at least the k = {k} results"
    return n_found, min(checks.integer(rescored, "rescored", least=k, remedy=remedy), n_found)


def _best(scores: np.ndarray, ids: np.ndarray, k: int) -> Rescored:
    """The k highest; equal scores in the order given."""
    xp = arrays.module(scores)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Rescored(xp.take_along_axis(scores, order, 1), xp.take_along_axis(ids, order, 1))
