"""Step 3: every variant of every search against the CPU's engine, and that against brute force.

Small problems run with shrunken sizes, so that a few thousand codes meet samples, several segments,
floods of ties and parts of a batch; large ones with the sizes that are shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import hamming
from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError
from hamming.backends.cuda_plan import Tuning

from . import codes, exact
from .card import Card
from .frame import Case, Step
from .searches import FORCED, Search, Variant, backend, prepared

SHRUNKEN = Tuning(
    workspace_bytes=40_000,
    hits_per_k=4,
    least_hits=16,
    sample_codes=64,
    growth=2,
    tie_chunks=3,
    blocks_per_sm=1,
)
# More than a block of each variant holds.
QUERIES: dict[Variant, int] = {"popc": 11, "popc carry-save": 11, "mma": 70, "wgmma": 150}
TALLIED: tuple[Variant, ...] = ("mma", "wgmma")  # those that have hits to add up
WIDTHS = (8, 24, 64, 104, 128, 256, 264, 512, 1000, 1024, 2048, 2056)
ORDERS: tuple[codes.Order, ...] = ("equal", "descending", "hundred", "duplicates", "sparse")
_SHOWN = 5  # differences of a case that are kept


def small(variant: Variant, n_bits: int, dry: bool) -> tuple[Search, ...]:
    """Problems of one variant and width: orders, k, masks, and addresses that no load likes."""
    n_codes = 4_500 if dry else 20_011
    n_queries = 3 if dry else QUERIES[variant]
    base = Search(n_bits, n_codes, n_queries, 10, variant, tuning=SHRUNKEN)
    if dry:
        return (base, replace(base, order="equal", k=33), replace(base, share=0.1, k=100))
    shifts = {64: (1, 4, 8), 256: (1, 8), 1024: (8,)}.get(n_bits, ())
    return (
        base,
        *(replace(base, order=order) for order in ORDERS),
        *(replace(base, k=k) for k in (1, 33, 1000, n_codes)),
        replace(base, k=n_codes, order="equal", n_queries=2),
        *(replace(base, share=share, k=100) for share in (0.0, 0.001, 0.5)),
        *(replace(base, offset=offset) for offset in shifts),
    )


def tallied(variant: Variant, n_bits: int, dry: bool) -> tuple[Search, ...]:
    """The same problems, with hits added up beforehand."""
    tuning = replace(SHRUNKEN, tally=True)
    return tuple(replace(search, tuning=tuning) for search in small(variant, n_bits, dry))


def large(n_bits: int) -> tuple[Search, ...]:
    """Problems of one width and a million codes, in the shipped sizes."""
    return tuple(
        Search(n_bits, 1_000_077, QUERIES[variant], k, variant, order)
        for order in ("random", "equal", "descending")
        for variant in FORCED
        for k in (1, 100, 5000)
    )


def differences(searches: Sequence[Search]) -> Callable[[Card], dict[str, Any]]:
    """A case that runs the searches and keeps what is wrong."""

    def run(card: Card) -> dict[str, Any]:
        wrong: list[str] = []
        missing: list[str] = []
        for search in searches:
            try:
                check_topk(card, search)
            except CannotRunError as error:
                missing.append(str(error))
            except WrongResultError as error:
                wrong.append(f"{search}: {error}")
        if len(missing) == len(searches):
            raise CannotRunError(missing[0])
        return {
            "problems": len(searches) - len(missing),
            "wrong": wrong[:_SHOWN],
            "n_wrong": len(wrong),
            "not_run": sorted(set(missing)),
        }

    return run


def check_topk(card: Card, search: Search) -> None:
    """One search, every query of it.

    Raises:
        WrongResultError: with the first difference.
    """
    db = codes.database(card.xp, search.n_bits, search.n_codes, search.order, search.offset)
    found = prepared(card, search, db)()
    host_db = card.get(db)
    queries = card.get(codes.queries(card.xp, db, search.n_queries, search.order))
    mask = None if search.share is None else codes.mask(np, search.n_codes, search.share)
    with hamming.use_backend(cpu_backend()):
        expected = hamming.topk(queries, host_db, search.k, mask=mask)
    exact.check(np, expected, queries, host_db, search.k, mask, most=2)
    compare(hamming.TopK(*map(card.get, found)), expected)


def compare(found: hamming.TopK, expected: hamming.TopK) -> None:
    """Raises WrongResultError with the first difference."""
    wrong = (found.distances != expected.distances) | (found.indices != expected.indices)
    if not wrong.any():
        return
    query, rank = (int(i) for i in np.argwhere(wrong)[0])
    raise WrongResultError(
        f"{int(wrong.any(axis=1).sum())} of {len(wrong)} queries; query {query}, rank {rank}: "
        f"expected distance {expected.distances[query, rank]} and index "
        f"{expected.indices[query, rank]}, got {found.distances[query, rank]} and "
        f"{found.indices[query, rank]}"
    )


def cpu_backend() -> str:
    """The best that needs no GPU."""
    return next(name for name in hamming.backends() if name != "cuda")


def radius(search: Search) -> Callable[[Card], dict[str, Any]]:
    """`radius_search` by the search's variant: few hits, many, a mask, and a flood."""

    def run(card: Card) -> dict[str, Any]:
        wrong: list[str] = []
        total = 0
        for order, share in (("random", None), ("random", 0.3), ("equal", None)):
            db = card.database(search.n_bits, search.n_codes, order)
            queries = codes.queries(card.xp, db, search.n_queries, order)
            mask = None if share is None else codes.mask(card.xp, search.n_codes, share)
            host = card.get(queries), card.get(db)
            host_mask = None if mask is None else card.get(mask)
            for limit in (0, 7 * search.n_bits // 16, search.n_bits):
                with hamming.use_backend(backend(card, search.variant, search.tuning)):
                    found = hamming.radius_search(queries, db, limit, mask=mask)
                with hamming.use_backend(cpu_backend()):
                    expected = hamming.radius_search(*host, limit, mask=host_mask)
                total += int(expected.offsets[-1])
                pairs = zip(map(card.get, found), expected, strict=True)
                if not all(np.array_equal(got, wanted) for got, wanted in pairs):
                    wrong.append(f"{search}, {order}, mask {share}, radius {limit}: differs")
        return {"hits": total, "wrong": wrong[:_SHOWN], "n_wrong": len(wrong)}

    return run


def cases(dry: bool) -> Sequence[Case]:
    widths = (64, 264) if dry else WIDTHS
    found = []
    for variant in FORCED:
        for n_bits in widths:
            searches = small(variant, n_bits, dry)
            found.append(
                Case(
                    f"{variant}, {n_bits} bits",
                    differences(searches),
                    seconds=2,
                    searches=searches,
                    variant=variant,
                )
            )
        for n_bits in widths[:1] if dry else (64, 256):
            search = replace(small(variant, n_bits, dry)[0], n_codes=600 if dry else 20_011)
            name = f"radius, {variant}, {n_bits} bits"
            found.append(Case(name, radius(search), 2, (search,), variant=variant))
    for variant in TALLIED:
        for n_bits in widths[:1] if dry else (64, 256, 1024):
            searches = tallied(variant, n_bits, dry)
            case = Case(f"{variant} tally, {n_bits} bits", differences(searches), 2, searches)
            found.append(replace(case, variant=variant))
    for n_bits in () if dry else (64, 256, 1024):
        searches = large(n_bits)
        found.append(Case(f"N=1e6, {n_bits} bits", differences(searches), 12, searches))
    return tuple(found)


STEP = Step("correctness", "Searches against the CPU's engine and brute force", cases)
