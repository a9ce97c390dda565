"""Embeddings as they are stored, read row by row: inner products with the rows of a few ids."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import arrays, checks
from .index.ids import Ids, ascends
from .layout import NO_INDEX

_BLOCK = 2**20  # values read at a time: 8 MiB as float64
_INT8_CENTRE = {"int8": 128.5, "uint8": 0.5}  # from a bucket's number to the middle of the bucket


class StoredEmbeddings:
    """Rows of float or int8 embeddings, of which only those that are asked for are read.

    Args:
        array: `(n, dim)` floats of 16, 32 or 64 bits, bfloat16 in torch, int8 or uint8; it may be a
            memory map, and lie on a GPU.
        ids: `(n,) int64`, whose row each is; None: row i belongs to id i.
        ranges: `(2, dim)`, least and largest value of each dimension before it was quantised.
        scale: a number or `(dim,)`; an int8 item v stands for `scale * v + offset`.
        offset: a number or `(dim,)`.

    Raises:
        TypeError: no array, or of a wrong dtype.
        ValueError: the shapes or devices do not fit, or an id stands twice.
    """

    def __init__(self, array: Any, *, ids: Any, ranges: Any, scale: Any, offset: Any) -> None:
        arrays.device_of(array, "embeddings")  # or that it is no array
        _check_stored(array)
        self.array = array
        self.n_rows, self.dim = (int(n) for n in array.shape)
        self._ids = None if ids is None else self._checked_ids(ids)
        self._scale, self._offset = self._scaling(ranges, scale, offset)

    def scores(self, queries: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Inner products of queries with the rows of ids, summed in float64.

        Args:
            queries: `(n_queries, dim)` floats where the embeddings lie.
            ids: `(n_queries, m) int64`, there too; -1 = none.

        Returns:
            `(n_queries, m) float32`; -inf where the id is -1.

        Raises:
            ValueError: an id has no row, or a row is not finite.
        """
        xp = arrays.module(queries)
        rows = self._rows(ids)
        wide = queries.astype(np.float64)
        weights = wide if self._scale is None else wide * xp.asarray(self._scale)
        base = wide * xp.asarray(0.0 if self._offset is None else self._offset)
        sums = base.sum(axis=1, keepdims=True)
        scores: np.ndarray = xp.empty(ids.shape, np.float32)
        m = ids.shape[1]
        n_candidates = min(m, max(1, _BLOCK // self.dim))
        n_queries = max(1, _BLOCK // (self.dim * max(m, 1)))
        for i in range(0, len(ids), n_queries):
            for j in range(0, m, n_candidates):
                part = np.s_[i : i + n_queries, j : j + n_candidates]
                # einsum adds up equal rows in equal order, so that they tie; a product of matrices
                # need not.
                values = self._read(rows[part]).astype(np.float64, copy=False)
                products = xp.einsum("qcd,qd->qc", values, weights[i : i + n_queries])
                scores[part] = products + sums[i : i + n_queries]
        self._check_scores(scores, ids)
        scores[ids < 0] = -np.inf
        return scores

    def check_rows(self, ids: np.ndarray) -> None:
        """Every one of `(n,)` ids has a row.

        Raises:
            ValueError: one has none.
        """
        self._rows(ids)

    def _rows(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id; 0 for -1, which is read for nothing."""
        xp = arrays.module(ids)
        found = ids if self._ids is None else self._ids.find(ids)
        without = (found < 0) | (found >= self.n_rows)
        missing = without & (ids != NO_INDEX)
        if bool(missing.any()):
            raise ValueError(
                f"embeddings: expected a row for every id of the index, got none for id "
                f"{int(ids[missing][0])} in {self.n_rows} rows; add its row, or remove the id"
            )
        rows: np.ndarray = xp.where(without, 0, found)
        return rows

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """The embeddings of rows, `(*rows.shape, dim)`."""
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(self.array, torch.Tensor):
            return floats(self.array[rows], "embeddings")
        with torch.no_grad():
            return floats(self.array[torch.from_dlpack(rows)], "embeddings")

    def _check_scores(self, scores: np.ndarray, ids: np.ndarray) -> None:
        xp = arrays.module(scores)
        wrong = ~xp.isfinite(scores) & (ids != NO_INDEX)
        if bool(wrong.any()):
            raise ValueError(
                "embeddings: expected finite values and scores that float32 can hold, got others "
                f"for id {int(ids[wrong][0])}; correct its row"
            )

    def _checked_ids(self, ids: Any) -> Ids:
        try:
            given = np.asarray(ids) if isinstance(ids, (list, tuple, range)) else ids
        except ValueError:
            raise ValueError(
                "ids: expected one id per row of embeddings, got lists in a list; give one list"
            ) from None
        arrays.common_device({"embeddings": self.array, "ids": given})
        values = arrays.view(given, "ids").array
        if values.dtype.kind not in "iu" or values.shape != (self.n_rows,):
            raise ValueError(
                f"ids: expected int64 of shape ({self.n_rows},), one id per row of embeddings, "
                f"got {values.dtype} of shape {checks.shape_text(values)}; "
                "say whose row each is"
            )
        least, most = int(values.min()), int(values.max())
        if least < 0 or most >= 2**63:
            raise ValueError(
                f"ids: expected 0..2**63 - 1, got {least if least < 0 else most}; number anew"
            )
        values = values.astype(np.int64, copy=False)
        ascending = ascends(values)
        ordered = values if ascending else arrays.module(values).sort(values)
        twice = ordered[1:] == ordered[:-1]
        if bool(twice.any()):
            raise ValueError(
                f"ids: expected each id once, got {int(ordered[1:][twice][0])} twice; "
                "keep one row per id"
            )
        return Ids(values.copy(), ascending=ascending)  # the caller may write to his

    def _scaling(
        self, ranges: Any, scale: Any, offset: Any
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Scale and offset as float64, None for 1 and 0."""
        given = {"ranges": ranges, "scale": scale, "offset": offset}
        named = [name for name, value in given.items() if value is not None]
        if not named:
            return None, None
        kind = str(self.array.dtype).rpartition(".")[2]
        if kind not in _INT8_CENTRE:
            raise ValueError(
                f"{named[0]}: expected None for float embeddings, got one for {kind}; "
                "only int8 and uint8 embeddings have it"
            )
        if ranges is None:
            one = [(), (self.dim,)]
            return _numbers(scale, "scale", one), _numbers(offset, "offset", one)
        if len(named) > 1:
            raise ValueError(
                f"ranges: expected no {named[1]} beside ranges, got both; give one of them"
            )
        bounds = _numbers(ranges, "ranges", [(2, self.dim)])
        assert bounds is not None
        step = (bounds[1] - bounds[0]) / 255
        # Where nothing varied every item stands for that one value.
        return step, bounds[0] + _INT8_CENTRE[kind] * step


def floats(x: Any, name: str) -> np.ndarray:
    """`x` as NumPy or CuPy sees it; 16-bit floats that they have not become float32."""
    return arrays.floats(x, arrays.view(x, name).array)


def _check_stored(array: Any) -> None:
    kind = str(array.dtype).rpartition(".")[2]
    if kind not in ("float16", "bfloat16", "float32", "float64", *_INT8_CENTRE):
        raise TypeError(
            f"embeddings: expected floats, int8 or uint8, got dtype {kind}; "
            "convert them, or store them quantised"
        )
    if len(array.shape) != 2 or 0 in array.shape:
        raise ValueError(
            f"embeddings: expected shape (n, dim) with at least one row, got "
            f"{checks.shape_text(array)}; store one embedding per row"
        )


def _numbers(value: Any, name: str, shapes: list[tuple[int, ...]]) -> np.ndarray | None:
    """A few finite numbers in host memory as float64."""
    if value is None:
        return None
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or numbers.shape not in shapes or not np.isfinite(numbers).all():
        wanted = " or ".join(str(shape) if shape else "a number" for shape in shapes)
        shape = "" if numbers is None else f" of shape {checks.shape_text(numbers)}"
        raise ValueError(
            f"{name}: expected finite numbers in host memory, {wanted}, got "
            f"{type(value).__name__}{shape}; give one per dimension of embeddings"
        )
    return numbers
