"""A top-k search as data, the kernels it needs, and how a kernel variant is forced."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

import hamming
from bench.rivals import CannotRunError
from bench.shapes import short
from hamming.backends.cuda import CudaBackend
from hamming.backends.cuda_plan import TUNING, Facts, Kernel, Tuning
from hamming.layout import TopK

from . import codes
from .card import Call, Card
from .codes import Order

Variant = Literal["auto", "popc", "popc carry-save", "mma", "wgmma"]

NEVER = 2**31  # more queries than a batch has
_FORCED: dict[Variant, dict[str, int]] = {
    "auto": {},
    "popc": {"mma_queries": NEVER, "wgmma_queries": NEVER},
    "popc carry-save": {"mma_queries": NEVER, "wgmma_queries": NEVER},
    "mma": {"mma_queries": 1, "wgmma_queries": NEVER},
    "wgmma": {"mma_queries": NEVER, "wgmma_queries": 1, "wgmma_words": 1, "wgmma_most": NEVER},
}
FORCED: tuple[Variant, ...] = ("popc", "popc carry-save", "mma", "wgmma")
# Its plans count through carry-save adders; compiled for the card that is there.
_CARRY_SAVE = (8, 6)


@dataclass(frozen=True)
class Search:
    """One top-k search.

    Attributes:
        share: of the codes that a mask leaves searchable; None = no mask.
        offset: bytes from an aligned address to the database.
    """

    n_bits: int
    n_codes: int
    n_queries: int
    k: int
    variant: Variant = "auto"
    order: Order = "random"
    share: float | None = None
    offset: int = 0
    tuning: Tuning = TUNING

    @property
    def db_bytes(self) -> int:
        return self.n_codes * self.n_bits // 8

    @property
    def pairs(self) -> int:
        """Comparisons of a query and a code."""
        return self.n_codes * self.n_queries

    def __str__(self) -> str:
        words = [f"{self.n_bits} bits", f"N={short(self.n_codes)}", f"Q={self.n_queries}"]
        words += [f"k={self.k}", *[self.order] * (self.order != "random")]
        words += [] if self.share is None else [f"mask {self.share:g}"]
        words += [f"offset {self.offset}"] * (self.offset != 0)
        return ", ".join([*words, *[self.variant] * (self.variant != "auto")])


def forced(tuning: Tuning, variant: Variant, banned: set[str]) -> Tuning:
    """Sizes that leave a plan no other choice; "auto" keeps those that are not banned."""
    if variant != "auto":
        return replace(tuning, **_FORCED[variant])
    return replace(tuning, **{f"{name}_queries": NEVER for name in banned & {"mma", "wgmma"}})


def backend(card: Card, variant: Variant, tuning: Tuning = TUNING) -> CudaBackend:
    """The card's backend, kept to one variant."""
    if variant in card.banned:
        raise CannotRunError(f"{variant} has hung before")
    capability = _CARRY_SAVE if variant == "popc carry-save" else None
    return card.backend(forced(tuning, variant, card.banned), capability)


def refusal(search: Search, facts: Facts) -> str | None:
    """Why the card's plan would not take the variant, or None."""
    if search.variant == "auto":
        return None
    scan = f"scan_{search.variant.split()[0]}"
    if any(kernel.entry == scan for kernel in launched(search, facts)):
        return None
    return f"{scan} does not take {search.n_bits} bits on {facts.capability}"


def prepared(card: Card, search: Search, db: Any = None) -> Call:
    """The search as a call.

    Args:
        card: where.
        search: what.
        db: `(n_codes, n_bits / 8) uint8`; None = the card's own database of that shape.

    Raises:
        CannotRunError: the variant does not take the shape, or has hung before.
    """
    if reason := refusal(search, card.facts):
        raise CannotRunError(reason)
    db = card.database(search.n_bits, search.n_codes, search.order) if db is None else db
    queries = codes.queries(card.xp, db, search.n_queries, search.order)
    mask = None if search.share is None else codes.mask(card.xp, search.n_codes, search.share)
    return calling(backend(card, search.variant, search.tuning), queries, db, search.k, mask)


def calling(engine: CudaBackend, queries: Any, db: Any, k: int, mask: Any = None) -> Call:
    """`hamming.topk` on a backend."""

    def call() -> TopK:
        with hamming.use_backend(engine):
            return hamming.topk(queries, db, k, mask=mask)

    return call


def kernels(searches: Sequence[Search], facts: Facts) -> list[Kernel]:
    """What the searches launch, one of each file and its defines."""
    every = [
        kernel
        for search in searches
        if refusal(search, facts) is None
        for kernel in launched(search, facts)
    ]
    return list({(kernel.file, kernel.defines): kernel for kernel in every}.values())


@functools.lru_cache(maxsize=4096)
def launched(search: Search, facts: Facts) -> tuple[Kernel, ...]:
    """Every launch of a search on such a card, without one: no plan looks at a value."""
    if search.variant == "popc carry-save":
        facts = replace(facts, capability=_CARRY_SAVE)
    device = _ListingDevice(facts, search.offset)
    tuning = forced(search.tuning, search.variant, set())
    nothing, n_bytes = np.zeros(1, np.uint8), search.n_bits // 8
    CudaBackend(make_device=lambda: device, tuning=tuning).topk(
        np.broadcast_to(nothing, (search.n_queries, n_bytes)),
        np.broadcast_to(nothing, (search.n_codes, n_bytes)),
        search.k,
        mask=None,
        threads=1,
    )
    return tuple(device.launched)


class _ListingDevice:
    """Writes down what would be launched; see `hamming.backends.cuda_launch.Device`."""

    def __init__(self, facts: Facts, offset: int) -> None:
        self.facts = facts
        self.launched: list[Kernel] = []
        self._offset = offset

    def empty(self, count: int, dtype: type[np.generic]) -> np.ndarray:
        return np.broadcast_to(np.zeros(1, dtype), (count,))

    def address(self, array: Any) -> int:
        return 0 if array is None else self._offset

    def launch(self, kernel: Kernel, _grid: tuple[int, int], _args: Sequence[Any]) -> None:
        self.launched.append(kernel)

    def read(self, array: np.ndarray) -> np.ndarray:
        return array
