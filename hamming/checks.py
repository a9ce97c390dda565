"""Argument checks; an index has more. One form: "name: expected ..., got ...; remedy"."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from .layout import (
    MAX_BITS,
    MAX_CODES,
    MAX_DEVICE_CANDIDATES,
    MAX_DEVICE_K,
    BitOrder,
    TopK,
    bytes_for,
)

UINT8 = np.dtype(np.uint8)
MAX_THREADS = 4096  # more would only cost: results are the same at every count


def integer(value: Any, name: str, *, least: int, remedy: str) -> int:
    """`value` as an int of at least `least`; bools and floats are refused."""
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}; {remedy}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}: expected an integer, got {type(value).__name__}; {remedy}"
        ) from None
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {number}; {remedy}")
    return number


def bit_order(value: Any) -> BitOrder:
    """`value` if it names a bit order."""
    for order in get_args(BitOrder):
        if isinstance(value, str) and value == order:
            return order  # type: ignore[no-any-return]
    raise ValueError(f"bitorder: expected 'big' or 'little', got {value!r}; choose one of them")


def code_dtype(array: np.ndarray, name: str) -> None:
    """Codes are uint8; nothing is cast silently."""
    if array.dtype == UINT8:
        return
    if array.dtype == "int8":
        remedy = "for the sentence-transformers 'binary' form pass what from_binary of "
        remedy += "hamming.interop.sentence_transformers makes of it"
    elif array.dtype.kind in "fb":
        remedy = "turn values into codes with hamming.pack"
    else:
        remedy = "pack values with hamming.pack, or view packed words as bytes with .view('uint8')"
    raise TypeError(f"{name}: expected packed uint8 codes, got dtype {array.dtype}; {remedy}")


def database(array: np.ndarray, name: str) -> None:
    """`array` is a code array of at least one byte per code."""
    code_dtype(array, name)
    if array.ndim != 2:
        raise ValueError(
            f"{name}: expected shape (n_codes, n_bytes), got {shape_text(array)}; "
            "pass one packed code per row"
        )
    if array.shape[1] == 0:
        raise ValueError(
            f"{name}: expected at least one byte per code, got {shape_text(array)}; "
            "pack at least one bit"
        )
    if 8 * array.shape[1] > MAX_BITS + 7 or array.shape[0] >= MAX_CODES:
        raise ValueError(
            f"{name}: expected at most {MAX_BITS} bits and fewer than 2**40 codes, "
            f"got {shape_text(array)}; search it in parts"
        )


def queries_like(query_codes: np.ndarray, db_codes: np.ndarray) -> None:
    """`query_codes` is one code or rows of codes as wide as the database's."""
    database(db_codes, "db_codes")
    code_dtype(query_codes, "query_codes")
    n_bytes = db_codes.shape[1]
    if query_codes.ndim not in (1, 2) or query_codes.shape[-1] != n_bytes:
        raise ValueError(
            f"query_codes: expected shape (n_queries, {n_bytes}) or ({n_bytes},) for "
            f"{8 * n_bytes}-bit codes, got {shape_text(query_codes)}; "
            "pack queries and database with the same n_bits"
        )


def top_k(k: Any, n_codes: int, device: str = "cpu") -> int:
    """`k` if 1 <= k <= n_codes, and the device's kernels can select so many."""
    number = integer(k, "k", least=1, remedy="ask for at least one neighbour")
    if n_codes == 0:
        raise ValueError(
            "db_codes: expected at least one code, got 0; fill the database before searching it"
        )
    if number > n_codes:
        raise ValueError(
            f"k: expected at most the {n_codes} codes of the database, got {number}; lower k"
        )
    if device != "cpu" and number > MAX_DEVICE_K:
        raise ValueError(
            f"k: expected at most {MAX_DEVICE_K} on {device}, got {number}; "
            "lower k or search on the CPU"
        )
    return number


def search_mask(mask: np.ndarray, n_codes: int) -> None:
    """`mask` is one bool per code."""
    if mask.dtype != "bool":
        raise TypeError(
            f"mask: expected dtype bool, got {mask.dtype}; compare or cast it to bool first"
        )
    if mask.shape != (n_codes,):
        raise ValueError(
            f"mask: expected shape ({n_codes},), one bool per code, got {shape_text(mask)}; "
            "align it with db_codes"
        )


def thread_count(threads: Any) -> int:
    """`threads`, else HAMMING_THREADS, else the CPUs this process may use."""
    if threads is not None:
        remedy = "use 1 or more, or None for all CPUs"
        return min(MAX_THREADS, integer(threads, "threads", least=1, remedy=remedy))
    text = os.environ.get("HAMMING_THREADS", "")
    if text:
        if not text.isdecimal() or not text.strip("0") or len(text) > 9:
            raise ValueError(
                f"HAMMING_THREADS: expected a positive integer, got {text!r}; "
                "unset it or correct it"
            )
        return min(MAX_THREADS, int(text))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def packable(values: np.ndarray) -> None:
    """`values` can be turned into codes."""
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise TypeError(
            f"x: expected bool, integer or floating values, got dtype {values.dtype}; "
            "cast them to float32 first"
        )
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            f"x: expected shape (..., n_bits) with at least one bit, got {shape_text(values)}; "
            "put the bits in the last axis"
        )
    if values.shape[-1] > MAX_BITS:
        raise ValueError(
            f"x: expected at most {MAX_BITS} bits, got {values.shape[-1]}; split the codes"
        )


def pack_threshold(threshold: np.ndarray, n_bits: int) -> None:
    """`threshold` is a number or one number per bit, none of them NaN."""
    if threshold.dtype.kind not in "biuf":
        raise TypeError(
            f"threshold: expected a number or (n_bits,) numbers, got dtype {threshold.dtype}; "
            "pass real numbers"
        )
    if threshold.shape not in ((), (n_bits,)):
        raise ValueError(
            f"threshold: expected a number or shape ({n_bits},), got {shape_text(threshold)}; "
            "give one threshold per bit"
        )
    if threshold.dtype.kind == "f" and bool((threshold != threshold).any()):
        raise ValueError("threshold: expected numbers, got NaN; remove the NaN")


def device_threshold(threshold: np.ndarray, n_bits: int, compared: np.dtype) -> None:
    """`threshold`, on a GPU, is one float per bit of float values; NaN is not looked for."""
    if threshold.dtype.kind != "f" or compared.kind != "f":
        raise TypeError(
            f"threshold: expected floats for float values on a GPU, got dtype {threshold.dtype} "
            f"for {compared}; pass a number or a host array"
        )
    if threshold.shape != (n_bits,):
        raise ValueError(
            f"threshold: expected a number or shape ({n_bits},), got {shape_text(threshold)}; "
            "give one threshold per bit"
        )


def unpack_bits(n_bits: Any, n_bytes: int) -> int:
    """`n_bits` if it fits the bytes of a code; all their bits for None."""
    if n_bits is None:
        return 8 * n_bytes
    number = integer(n_bits, "n_bits", least=1, remedy="name the bits of one code")
    if bytes_for(number) > n_bytes:
        raise ValueError(
            f"n_bits: expected at most {8 * n_bytes} for codes of {n_bytes} bytes, got {number}; "
            "lower n_bits"
        )
    return number


def rescore_shapes(queries: np.ndarray, db_codes: np.ndarray, indices: np.ndarray) -> None:
    """Float queries and their candidates fit the database."""
    database(db_codes, "db_codes")
    if queries.dtype.kind != "f":
        raise TypeError(
            f"queries: expected float values, got dtype {queries.dtype}; "
            "pass the embeddings before packing"
        )
    n_bytes = db_codes.shape[1]
    if queries.ndim not in (1, 2) or bytes_for(queries.shape[-1]) != n_bytes:
        raise ValueError(
            f"queries: expected shape (n_queries, n_bits) with n_bits in "
            f"{8 * n_bytes - 7}..{8 * n_bytes} for codes of {n_bytes} bytes, "
            f"got {shape_text(queries)}; use queries of the codes' own encoder"
        )
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"indices: expected integers, got dtype {indices.dtype}; pass the indices of a topk"
        )
    if indices.ndim != queries.ndim or indices.shape[:-1] != queries.shape[:-1]:
        raise ValueError(
            f"indices: expected one row of candidates per query, got {shape_text(indices)} for "
            f"queries {shape_text(queries)}; pass the indices of a topk of the same queries"
        )


def candidates(indices: np.ndarray, n_codes: int) -> None:
    """Every candidate is -1 or a row of the database."""
    if indices.size and (int(indices.min()) < -1 or int(indices.max()) >= n_codes):
        raise ValueError(
            f"indices: expected -1 or 0..{n_codes - 1}, got {int(indices.min())}.."
            f"{int(indices.max())}; pass indices into this database"
        )


def finite(values: np.ndarray, name: str) -> None:
    """No NaN or infinity: neither has a place in an order."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite values, got NaN or infinity; remove them")


def rescore_k(k: Any, n_candidates: int, device: str = "cpu") -> int:
    """`k` if 1 <= k <= n_candidates, and the device's kernels can order so many."""
    if device != "cpu" and n_candidates > MAX_DEVICE_CANDIDATES:
        raise ValueError(
            f"indices: expected at most {MAX_DEVICE_CANDIDATES} candidates a query on {device}, "
            f"got {n_candidates}; re-score fewer"
        )
    number = integer(k, "k", least=1, remedy="ask for at least one neighbour")
    if number > n_candidates:
        raise ValueError(
            f"k: expected at most the {n_candidates} candidates of a query, got {number}; "
            "lower k or search for more candidates"
        )
    return number


def shard_results(results: Any) -> Sequence[Any]:
    """`results` if it is a sequence of top-k lists with at least one in it."""
    if not isinstance(results, Sequence) or isinstance(results, (str, bytes, TopK)):
        raise TypeError(
            f"results: expected a list of TopK, got {type(results).__name__}; "
            "pass the shards' results as a list"
        )
    if len(results) == 0:
        raise ValueError("results: expected at least one top-k list, got none; pass the shards'")
    return results


def shard_result(result: Any) -> tuple[Any, Any]:
    """`result` as its distances and indices."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"results: expected TopK pairs of distances and indices, got {type(result).__name__}; "
            "pass what topk returns"
        )
    return result


def merge_parts(parts: Sequence[tuple[np.ndarray, ...]], k: int) -> None:
    """Per-shard distances and indices are integers of equal shapes, of the same queries."""
    for distances, indices in parts:
        for array, dtype in ((distances, np.int32), (indices, np.int64)):
            if array.dtype.kind not in "iu":
                raise TypeError(
                    f"results: expected integer distances and indices, got dtype {array.dtype}; "
                    "pass what topk returns"
                )
            if array.size and int(array.max()) > np.iinfo(dtype).max:
                raise ValueError(
                    f"results: expected numbers that fit {np.dtype(dtype)}, got {array.max()}; "
                    "pass distances first, then indices"
                )
        if distances.shape != indices.shape:
            raise ValueError(
                f"results: expected distances and indices of one shape, got "
                f"{shape_text(distances)} and {shape_text(indices)}; "
                "pass what topk returns"
            )
    shapes = [distances.shape for distances, _ in parts]
    if any(len(s) not in (1, 2) for s in shapes) or len({s[:-1] for s in shapes}) != 1:
        raise ValueError(
            f"results: expected top-k lists of the same queries, got shapes {shapes}; "
            "search every shard with the same query_codes"
        )
    if (n_entries := sum(s[-1] for s in shapes)) < k:
        raise ValueError(
            f"k: expected at most the {n_entries} entries of all results, got {k}; "
            "lower k or ask each shard for more"
        )


def finite_flag(value: Any) -> bool | None:
    """`value` if it is a bool or None."""
    if value is not None and not isinstance(value, bool):
        raise TypeError(
            f"check_finite: expected True, False or None, got {value!r}; choose one of them"
        )
    return value


def rescore_range(queries: np.ndarray) -> None:
    """Finite, of scores, at most the L1 norm of a query, that float32 can tell apart."""
    norms = np.abs(queries).sum(axis=-1, dtype=np.float64)
    if not np.isfinite(norms).all():
        finite(queries, "queries")
    least, most = 1e-33, float(np.finfo(np.float32).max)
    if ((norms > most) | ((norms > 0) & (norms < least))).any():
        raise ValueError(
            f"queries: expected L1 norms of 0 or {least:g}..{most:.2g}, which float32 scores can "
            f"hold, got {norms.min():.2g}..{norms.max():.2g}; scale the queries"
        )


def shape_text(array: np.ndarray) -> str:
    """A shape as Python writes it."""
    return str(tuple(int(n) for n in array.shape))
