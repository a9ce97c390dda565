"""What an index asks of its arguments. One form: "name: expected ..., got ...; remedy"."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import arrays, checks
from ..layout import MAX_BITS, bytes_for

Kind = TypeVar("Kind")

MAX_ID = 2**63 - 2  # the number after it is one still


def index_only(index: Any, kind: type[Kind]) -> Kind:
    """`index` if it is one.

    Args:
        index: the argument.
        kind: `Index`, which is made of what is here.
    """
    if not isinstance(index, kind):
        raise TypeError(
            f"index: expected a hamming.Index, got {type(index).__name__}; "
            "wrap codes with hamming.Index.from_codes"
        )
    return index


def indexes_alike(indexes: Any, kind: type[Kind]) -> list[Kind]:
    """`indexes` as a list of at least one, all of one n_bits and on one device."""
    if not hasattr(indexes, "__iter__"):
        raise TypeError(
            f"indexes: expected a list of Index, got {type(indexes).__name__}; pass a list"
        )
    given = list(indexes)
    if not given:
        raise ValueError("indexes: expected at least one index, got none; use Index(n_bits)")
    for index in given:
        if not isinstance(index, kind):
            raise TypeError(
                f"indexes: expected a list of Index, got {type(index).__name__}; pass indexes"
            )
    for name in ("n_bits", "device"):
        values = {getattr(index, name): None for index in given}
        if len(values) > 1:
            first, other, *_ = values
            raise ValueError(
                f"indexes: expected one {name}, got {first} and {other}; join indexes that are "
                "alike"
            )
    return given


def numbers_left(next_id: int, n_codes: int) -> None:
    """There are so many ids from `next_id` on."""
    if next_id + n_codes > MAX_ID + 1:
        raise ValueError(
            f"ids: expected ids for codes added after id {next_id - 1}, got none; "
            "no larger ones are left"
        )


def bits(n_bits: Any) -> int:
    """`n_bits` if codes can have so many."""
    number = checks.integer(n_bits, "n_bits", least=1, remedy="give the bits of one code")
    if number > MAX_BITS:
        raise ValueError(
            f"n_bits: expected at most {MAX_BITS}, got {number}; search codes in parts"
        )
    return number


def codes_of(codes: np.ndarray, name: str, n_bits: int) -> None:
    """`codes` are rows of `n_bits` bits."""
    checks.database(codes, name)
    if codes.shape[1] != bytes_for(n_bits):
        raise ValueError(
            f"{name}: expected {bytes_for(n_bits)} bytes a code for {n_bits} bits, got shape "
            f"{checks.shape_text(codes)}; pack with the same n_bits"
        )


def padding(codes: np.ndarray, name: str, n_bits: int) -> None:
    """The bits behind the last one are zero, or they would count as distance."""
    if n_bits % 8 == 0 or codes.size == 0:
        return
    wrong = (codes[..., -1] & (0xFF >> n_bits % 8)) != 0
    if bool(wrong.any()):
        row = int(wrong.reshape(-1).argmax())
        raise ValueError(
            f"{name}: expected zeros behind the {n_bits} bits of a code, got a one in row {row}; "
            "pack with hamming.pack, which leaves them zero"
        )


def device(x: Any, name: str, expected: str) -> None:
    """`x` lies where the index does."""
    found = arrays.device_of(x, name)
    if found != expected:
        raise ValueError(
            f"{name}: expected device {expected} like the index, got {found}; "
            "move it, or the index with .to()"
        )


def file_path(path: Any, name: str = "path") -> Path:
    """`path` as the path of a file, whether or not there is one.

    Raises:
        TypeError: it is neither a string nor a path.
        ValueError: it names no file.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(
            f"{name}: expected a string or pathlib.Path, got {type(path).__name__}; "
            "give the path of a file"
        )
    text = os.fspath(path)
    if text.rpartition(os.sep)[2] in ("", ".", "..") or "\0" in text:
        raise ValueError(f"{name}: expected the path of a file, got {text!r}; name a file")
    return Path(text)


def id_array(ids: Any, name: str, like: np.ndarray) -> np.ndarray:
    """`ids` as int64, where `like` lies; a list is an array of the host.

    Raises:
        TypeError: they are no integers.
        ValueError: one is negative or does not fit, or they lie on another device.
    """
    array = arrays.view(_listed(ids, name), name).array
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: expected integer ids, got dtype {array.dtype}; give them as int64"
        )
    if array.dtype == np.uint64 and array.size and int(array.max()) > MAX_ID:
        raise ValueError(f"{name}: expected ids up to 2**63 - 2, got {array.max()}; number anew")
    return _placed(array.astype(np.int64, copy=False), name, like)


def one_id(id: Any) -> None:
    """`id` is an integer, whatever its size."""
    if isinstance(id, bool) or not isinstance(id, (int, np.integer)):
        raise TypeError(f"id: expected an integer, got {type(id).__name__}; ask for one id")


def _listed(values: Any, name: str) -> Any:
    """Numbers, lists and sets as arrays; what is neither is left to others."""
    if isinstance(values, (int, np.integer)):
        return np.asarray(values)
    if isinstance(values, (set, frozenset)):
        values = list(values)
    if not isinstance(values, (list, tuple, range)):
        return values
    try:
        return np.asarray(values) if len(values) else np.zeros(0, np.int64)
    except ValueError:
        raise TypeError(f"{name}: expected a list of ids, got lists in it; give one list") from None


def new_ids(ids: np.ndarray, n_codes: int) -> None:
    """One id a code, none negative: -1 stands for no code."""
    if ids.shape != (n_codes,):
        raise ValueError(
            f"ids: expected shape ({n_codes},), one id a code, got {checks.shape_text(ids)}; "
            "align them with codes"
        )
    if n_codes and int(ids.min()) < 0:
        raise ValueError(f"ids: expected at least 0, got {int(ids.min())}; -1 stands for no code")
    if n_codes and int(ids.max()) > MAX_ID:
        raise ValueError(f"ids: expected at most 2**63 - 2, got {int(ids.max())}; number anew")


def duplicate(found: int) -> ValueError:
    """An id that comes twice."""
    return ValueError(
        f"ids: expected each once, got {found} a second time; remove the old code first, or give "
        "another id"
    )


def unknown(first: int, count: int) -> ValueError:
    """Ids that the index does not have."""
    others = f" and {count - 1} more" if count > 1 else ""
    return ValueError(
        f"ids: expected ids of the index, got {first}{others}, which it does not have; "
        "give what index.ids has"
    )


def device_name(device: Any) -> str:
    """`device` with its number."""
    name = str(device)
    kind, _, number = name.partition(":")
    if name in ("cpu", "cuda") or (kind == "cuda" and number.isdecimal()):
        return "cuda:0" if name == "cuda" else name
    raise ValueError(
        f"device: expected 'cpu', 'cuda' or 'cuda:N', got {name!r}; choose one of them"
    )


def candidates(ids: np.ndarray, queries: np.ndarray) -> None:
    """`ids` has a row for each query."""
    if ids.ndim != queries.ndim or ids.shape[:-1] != queries.shape[:-1]:
        raise ValueError(
            f"ids: expected {'(m,)' if queries.ndim == 1 else f'({len(queries)}, m)'} candidates "
            f"for queries {checks.shape_text(queries)}, got {checks.shape_text(ids)}; "
            "give what topk returns for them"
        )


def live_mask(mask: np.ndarray, n_alive: int) -> None:
    """`mask` is one bool for each code of the index."""
    if mask.shape != (n_alive,):
        raise ValueError(
            f"filter: expected shape ({n_alive},), one bool a code, or int64 ids, got "
            f"{checks.shape_text(mask)} of bool; align it with index.ids"
        )


def searchable(n_alive: int) -> None:
    """There is something to search."""
    if n_alive == 0:
        raise ValueError("index: expected at least one code, got none; add codes before searching")


def query_width(queries: np.ndarray, n_bits: int) -> None:
    """Codes of queries are as wide as those of the index."""
    checks.code_dtype(queries, "query_codes")
    n_bytes = bytes_for(n_bits)
    if queries.ndim not in (1, 2) or queries.shape[-1] != n_bytes:
        raise ValueError(
            f"query_codes: expected shape (n_queries, {n_bytes}) or ({n_bytes},) for {n_bits}-bit "
            f"codes, got {checks.shape_text(queries)}; pack queries with the same n_bits"
        )


def value_width(queries: np.ndarray, n_bits: int) -> None:
    """Float queries have a value for each bit."""
    if queries.ndim not in (1, 2) or queries.shape[-1] != n_bits:
        raise ValueError(
            f"queries: expected shape (n_queries, {n_bits}) or ({n_bits},), a value a bit, got "
            f"{checks.shape_text(queries)}; give what the codes are packed from"
        )


def filter_array(filter: Any, like: np.ndarray) -> np.ndarray:
    """`filter` as bools or int64 ids, where `like` lies."""
    array = arrays.view(_listed(filter, "filter"), "filter").array
    if array.dtype == np.bool_:
        return _placed(array, "filter", like)
    if array.dtype.itemsize == 1:  # a mask of other libraries, which would be taken as ids 0 and 1
        raise TypeError(
            f"filter: expected bool or int64 ids, got dtype {array.dtype}; "
            "cast a mask with .astype(bool), or ids to int64"
        )
    return id_array(array, "filter", like)


def _placed(array: np.ndarray, name: str, like: np.ndarray) -> np.ndarray:
    """`array` where `like` lies; what lies on a GPU is not moved to the host."""
    xp = arrays.module(like)
    if arrays.module(array) is xp:
        return array
    if xp is np:
        raise ValueError(
            f"{name}: expected an array in host memory like the index, got one on a GPU; move it"
        )
    moved: np.ndarray = xp.asarray(array)
    return moved
