"""The shapes that are measured, as data, and the codes they are measured on."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Order = Literal["random", "descending", "equal"]
ORDERS: tuple[Order, ...] = ("random", "descending", "equal")

# Codes to search for: one query again and again would only show what the caches hold.
_POOL = 32
_POOL_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Shape:
    """One problem: its size, and the order of its database.

    Attributes:
        order: "random"; "descending" = each code nearer than those before it; "equal" = all codes.
        backend: the backend of `hamming` to force; None = the run's.
    """

    n_bits: int
    n_codes: int
    n_queries: int
    k: int
    order: Order = "random"
    backend: str | None = None

    @property
    def n_bytes(self) -> int:
        return self.n_bits // 8

    @property
    def db_bytes(self) -> int:
        return self.n_codes * self.n_bytes

    @property
    def comparisons(self) -> int:
        """Code comparisons of one call."""
        return self.n_codes * self.n_queries

    @property
    def memory_bytes(self) -> int:
        """About what a run needs: a copy for each contender, the largest as float32."""
        call = self.n_queries * (self.n_bytes + 24 * self.k)
        return 7 * (self.db_bytes + call) + 142 * self.n_codes + min(32 * self.db_bytes, 4 * 10**9)

    def __str__(self) -> str:
        words = [f"{self.n_bits} bits", f"N={short(self.n_codes)}", f"Q={self.n_queries}"]
        words += [f"k={self.k}"]
        words += [self.order] * (self.order != "random") + [self.backend or ""]
        return ", ".join(filter(None, words))


class Codes(NamedTuple):
    """`batches (n_batches, n_queries, n_bytes) uint8` to search for in turn, in `db`."""

    batches: np.ndarray
    db: np.ndarray


def parse(text: str) -> Shape:
    """A shape from "BITS,CODES,QUERIES,K[,ORDER]".

    Raises:
        ValueError: the text is no such shape, in one sentence.
    """
    match = re.fullmatch(r"(\d+),(\d+(?:e\d+)?),(\d+),(\d+)(?:,([a-z]+))?", text)
    if match is None or match[5] not in (None, *ORDERS):
        raise ValueError(
            f"expected BITS,CODES,QUERIES,K or BITS,CODES,QUERIES,K,{'|'.join(ORDERS)}, "
            f"for example 64,1e6,100,10, got {text!r}"
        )
    shape = Shape(
        int(match[1]), int(float(match[2])), int(match[3]), int(match[4]), match[5] or "random"
    )
    if shape.n_bits < 8 or shape.n_bits % 8:
        raise ValueError(f"expected a multiple of 8 bits (the rivals' limit), got {shape.n_bits}")
    if not (1 <= shape.k <= shape.n_codes and shape.n_queries >= 1):
        raise ValueError(f"expected k in 1..CODES and at least one query, got {text!r}")
    return shape


def make(shape: Shape, pool: int = _POOL) -> Codes:
    """The codes of a shape, with about `pool` queries; the same ones for the same shape.

    Fewer where the database fits no cache, and what the last search left there does not matter.
    """
    db = database(shape.n_bits, shape.n_codes, shape.order)
    pool = max(min(pool, 4), min(pool, _POOL_BYTES // shape.db_bytes))
    size = (max(1, pool // shape.n_queries), shape.n_queries, shape.n_bytes)
    if shape.order != "random":
        return Codes(np.zeros(size, np.uint8), db)
    rng = np.random.default_rng([1, shape.n_bits, shape.n_codes, shape.n_queries])
    return Codes(rng.integers(0, 256, size, np.uint8), db)


@functools.lru_cache(maxsize=1)
def database(n_bits: int, n_codes: int, order: Order) -> np.ndarray:
    """`(n_codes, n_bits / 8) uint8`; the last one is kept, and with it what rivals built of it."""
    n_bytes = n_bits // 8
    if order == "random":
        rng = np.random.default_rng([0, n_bits, n_codes])
        return rng.integers(0, 256, (n_codes, n_bytes), np.uint8)
    if order == "equal":
        return np.full((n_codes, n_bytes), 0xA5, np.uint8)
    # Every distance from n_bits down to 0, equally often: no order makes a search accept more.
    ones = n_bits - np.arange(n_codes) * (n_bits + 1) // n_codes
    prefixes = np.packbits(np.tri(n_bits + 1, n_bits, -1, np.uint8), axis=1)
    return prefixes[ones]


def short(count: int) -> str:
    """1000000 as "1e6", 1234 as "1234"."""
    digits = str(count).rstrip("0")
    zeros = len(str(count)) - len(digits)
    return f"{digits}e{zeros}" if zeros >= 3 else str(count)
