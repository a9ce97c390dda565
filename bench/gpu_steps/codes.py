"""Codes to search in, made where they are searched: the same bits on a GPU and on the host.

Every word is a hash of its number, so that a database of 1e9 codes needs no copy from the host and
any part of it can be made again.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Order = Literal["random", "equal", "descending", "hundred", "duplicates", "sparse"]
"""Of a database: "random"; "equal" = all codes alike; "descending" = each nearer to the zero code
than those before it; "hundred" = that many distinct ones; "duplicates" = each code about seven
times; "sparse" = one bit of eight set."""

_CHUNK = 2**23  # words or rows made at a time
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def hashes(xp: Any, begin: int, end: int, seed: int) -> Any:
    """`(end - begin,) uint64`: a hash of each number (splitmix64, Steele et al. 2014)."""
    z = xp.arange(begin, end, dtype=np.uint64)
    z += np.uint64(1 + (seed << 40))  # databases have fewer words
    z *= np.uint64(_GOLDEN)
    z ^= z >> np.uint64(30)
    z *= np.uint64(_FIRST)
    z ^= z >> np.uint64(27)
    z *= np.uint64(_SECOND)
    z ^= z >> np.uint64(31)
    return z


def random(xp: Any, n_codes: int, n_bytes: int, seed: int, offset: int = 0) -> Any:
    """`(n_codes, n_bytes) uint8`, which begins `offset` bytes into its memory."""
    n_words = -(-(offset + n_codes * n_bytes) // 8)
    words = xp.empty(n_words, np.uint64)
    for begin in range(0, n_words, _CHUNK):
        end = min(begin + _CHUNK, n_words)
        words[begin:end] = hashes(xp, begin, end, seed)
    return words.view(np.uint8)[offset : offset + n_codes * n_bytes].reshape(n_codes, n_bytes)


def database(
    xp: Any, n_bits: int, n_codes: int, order: Order = "random", offset: int = 0, seed: int = 0
) -> Any:
    """`(n_codes, n_bits / 8) uint8`, which begins `offset` bytes into its memory."""
    n_bytes = n_bits // 8
    codes = random(xp, n_codes, n_bytes, seed, offset)
    if order == "equal":
        codes[:] = np.uint8(0xA5)
    elif order == "sparse":
        for more in (1, 2):
            codes &= random(xp, n_codes, n_bytes, seed + more, offset)
    elif order != "random":
        table = _table(xp, n_bits, n_codes, order, seed)
        for begin in range(0, n_codes, _CHUNK):
            end = min(begin + _CHUNK, n_codes)
            codes[begin:end] = table[_places(xp, begin, end, n_codes, order, len(table))]
    return codes


def _table(xp: Any, n_bits: int, n_codes: int, order: Order, seed: int) -> Any:
    """The distinct codes of an order."""
    if order == "descending":
        return xp.asarray(np.packbits(np.tri(n_bits + 1, n_bits, -1, np.uint8), axis=1))
    distinct = 100 if order == "hundred" else max(1, n_codes // 7)
    return random(xp, distinct, n_bits // 8, seed + 3)


def _places(xp: Any, begin: int, end: int, n_codes: int, order: Order, n_table: int) -> Any:
    """Which code of the table stands in each row."""
    if order != "descending":
        return (hashes(xp, begin, end, 4) % np.uint64(n_table)).astype(np.int64)
    # Every distance from n_bits down to 0, equally often.
    return n_table - 1 - xp.arange(begin, end, dtype=np.int64) * n_table // n_codes


def queries(xp: Any, db: Any, n_queries: int, order: Order = "random", seed: int = 0) -> Any:
    """`(n_queries, n_bytes) uint8`: half of them codes of the database; zeros for "descending"."""
    found = random(xp, n_queries, db.shape[1], seed + 5)
    if order == "descending":
        found[:] = np.uint8(0)
    else:
        rows = np.arange(0, n_queries, 2) * len(db) // max(1, n_queries)
        found[::2] = db[xp.asarray(rows)]
    return found


def mask(xp: Any, n_codes: int, share: float) -> Any:
    """`(n_codes,) bool`, of which about `share` are True."""
    limit = np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    found = xp.empty(n_codes, np.bool_)
    for begin in range(0, n_codes, _CHUNK):
        end = min(begin + _CHUNK, n_codes)
        found[begin:end] = hashes(xp, begin, end, 6) < limit
    return found
