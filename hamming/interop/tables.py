"""What tables in other systems share: a row is a position, an id and a code.

The position is the place in `Index.ids`, so that SQL, which has no order of rows, can order ties as
`Index.topk` does: by distance, then by position.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import arrays, checks
from ..index import Index
from ..layout import bytes_for

CHUNK_BYTES = 2**20


class Rows(NamedTuple):
    """Some rows of a table.

    Attributes:
        positions: `(n,) int64`, ascending.
        ids: `(n,) int64`.
        codes: `(n, n_bytes) uint8`, or their bytes.
    """

    positions: np.ndarray
    ids: np.ndarray
    codes: np.ndarray


def rows_of(index: Index, step: int | None = None) -> Iterator[Rows]:
    """The rows of an index as it is now, in host memory, a few at a time; codes are contiguous.

    Args:
        index: what is not removed from it.
        step: rows at a time, at most; None = about 1 MiB of codes.
    """
    position = 0
    for ids, codes in index.chunks(step or max(1, CHUNK_BYTES // bytes_for(index.n_bits))):
        positions = np.arange(position, position := position + len(ids), dtype=np.int64)
        yield Rows(positions, arrays.to_host(ids), arrays.to_host(codes))


class Gathered:
    """Rows of a table as they come, for an index of all of them; each is held once."""

    def __init__(self) -> None:
        # Of bytes, which grow where they lie: parts and their concatenation would hold rows twice.
        self._positions, self._ids, self._codes = bytearray(), bytearray(), bytearray()

    def add(self, rows: Rows) -> None:
        """Takes a copy of rows in any order; arrays are contiguous."""
        for column, values in zip((self._positions, self._ids, self._codes), rows, strict=True):
            column.extend(values.data)

    def index(self, n_bits: int) -> Index:
        """The index with these rows, in the order of their positions; there are no rows then."""
        order = self._order()
        self._positions = bytearray()  # gives its memory back before more is taken
        ids = np.frombuffer(self._ids, np.int64)
        codes = np.frombuffer(self._codes, np.uint8).reshape(-1, bytes_for(n_bits))
        self._ids, self._codes = bytearray(), bytearray()
        if order is not None:
            ids = ids[order]
            codes = codes[order]
            del order
        return Index.from_codes(codes, n_bits=n_bits, ids=ids)

    def _order(self) -> np.ndarray | None:
        """The rows by position, or None if they lie in that order."""
        positions = np.frombuffer(self._positions, np.int64)
        if bool((positions[1:] > positions[:-1]).all()):
            return None
        return positions.argsort(kind="stable")


def one_query(query_code: Any) -> np.ndarray:
    """One code for the text of a query, as `(n_bytes,) uint8` on the host."""
    if arrays.device_of(query_code, "query_code") != "cpu":
        raise ValueError(
            "query_code: expected an array in host memory, got one on a GPU; move it to the CPU"
        )
    code = arrays.view(query_code, "query_code").array
    checks.code_dtype(code, "query_code")
    if code.ndim != 1 or not code.size:
        raise ValueError(
            f"query_code: expected shape (n_bytes,), got {checks.shape_text(code)}; "
            "write one query's text at a time"
        )
    return code


def quoted(table: Any) -> str:
    """A name as SQL writes it in double quotes.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or holds what no name has: a zero byte or half a character.
    """
    if not isinstance(table, str):
        raise TypeError(
            f"table: expected a name as a string, got {type(table).__name__}; pass str(name)"
        )
    if not table:
        raise ValueError(f"table: expected a name, got {table!r}; name the table")
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in table):
        raise ValueError(
            f"table: expected a name of whole characters without zero bytes, got {table!r}; "
            "correct it"
        )
    return '"' + table.replace('"', '""') + '"'


def optional(module: str, extra: str) -> Any:
    """A module of an optional package, or which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module}: expected an optional package, got none ({error}); "
            f"pip install hamming-kd[{extra}]"
        ) from None
