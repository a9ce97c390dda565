"""What every metric does with its arguments: checks, host arrays, blocks of queries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_PAIRS = 1 << 22
"""Query-item pairs handled at once."""

TILE_CELLS = 1 << 20
"""Cells of a label matrix that are float32 at once."""


def as_host(array: Any) -> NDArray[Any]:
    """Return a NumPy view of an array or tensor, copied only where it lies on a device."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


def as_numbers(name: str, given: Any) -> NDArray[Any]:
    """Return what `as_host` does; what NumPy cannot hold as real numbers is refused."""
    try:
        array = as_host(given)
    except (TypeError, ValueError, RuntimeError) as error:  # bfloat16, sparse, ragged rows
        kind = getattr(given, "dtype", None) or type(given).__name__
        raise TypeError(
            f"{name}: expected a dense array of numbers NumPy knows, got {kind} ({error}); "
            "convert it to a dense float32 or uint8 array"
        ) from error
    if array.dtype.kind not in "biuf":
        kind = type(given).__name__ if array.dtype.kind == "O" else array.dtype
        raise TypeError(
            f"{name}: expected a dense array of numbers, got {kind}; "
            "convert it to a dense float32 or uint8 array"
        )
    return array


def query_blocks(n_queries: int, cells: int) -> Iterator[slice]:
    """Yield slices of queries that hold at most `BLOCK_PAIRS` cells, or one query.

    Args:
        n_queries: All queries.
        cells: What one query takes, in pairs with an item.
    """
    step = max(1, BLOCK_PAIRS // cells)
    for start in range(0, n_queries, step):
        yield slice(start, start + step)


def check_codes(query_codes: Any, db_codes: Any) -> tuple[int, int]:
    """Return (n_queries, n_codes); dtype and width are checked by `hamming`."""
    for name, codes in (("query_codes", query_codes), ("db_codes", db_codes)):
        shape = tuple(getattr(codes, "shape", ()))
        if len(shape) != 2 or shape[0] == 0:
            raise ValueError(
                f"{name}: expected a uint8 array (at least 1, n_bytes), got "
                f"{shape or type(codes).__name__}; pass the rows packed by hamming.pack"
            )
    return query_codes.shape[0], db_codes.shape[0]


def check_labels(
    query_labels: Any, db_labels: Any, n_queries: int | None = None, n_codes: int | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both label matrices as they are; None stands for any number of rows but 0."""
    checked = []
    pairs = (("query_labels", query_labels, n_queries), ("db_labels", db_labels, n_codes))
    for name, given, n_rows in pairs:
        labels = as_numbers(name, given)
        if labels.ndim != 2 or len(labels) != (n_rows or max(len(labels), 1)):
            raise ValueError(
                f"{name}: expected ({n_rows or 'at least 1'}, n_labels), got {labels.shape}; "
                "give one row of labels per code"
            )
        for rows in _tiles(labels):
            if not ((rows == 0) | (rows == 1)).all():
                raise ValueError(f"{name}: expected only 0 and 1, got others; pass a 0/1 matrix")
        checked.append(labels)
    queries, database = checked
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            f"query_labels: expected {database.shape[1]} labels as in db_labels, "
            f"got {queries.shape[1]}; use the label columns of one dataset"
        )
    return queries, database


def share_a_label(queries: NDArray[Any], database: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether a query and an item share a label, (n_queries, n_codes).

    Counted in float32, which cannot wrap around; tile by tile, which is not slower than whole
    (tiles stay in the cache) and needs no float32 copy of the database's labels.
    """
    shared = np.empty((len(queries), len(database)), bool)
    row = 0
    for some in _tiles(queries):
        left, column = some.astype(np.float32), 0
        for others in _tiles(database):
            hits = left @ others.astype(np.float32).T > 0
            shared[row : row + len(some), column : column + len(others)] = hits
            column += len(others)
        row += len(some)
    return shared


def _tiles(labels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, TILE_CELLS // max(1, labels.shape[1]))
    for start in range(0, len(labels), step):
        yield labels[start : start + step]


def check_count(name: str, value: Any, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an int, got {value!r}; pass a whole number")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}; raise it")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        names = " or ".join(map(repr, choices))
        raise ValueError(f"{name}: expected {names}, got {value!r}; choose one of them")


def check_width(n_bits: int | None, query_codes: Any) -> None:
    """Refuse an `n_bits` that does not fill the bytes of a code."""
    if n_bits is None:
        return
    check_count("n_bits", n_bits)
    check_codes(query_codes, query_codes)
    if -(-n_bits // 8) != query_codes.shape[1]:
        raise ValueError(
            f"n_bits: expected a width of {query_codes.shape[1]} bytes, got {n_bits}; "
            "pass the n_bits the codes were packed with"
        )
