"""Step 5: one to three queries, which wait for memory, and the batches that should cost no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

from . import codes, exact, timing
from .card import Call, Card
from .frame import Case, Step
from .searches import Search, prepared

WIDTHS = (64, 128, 256, 512, 1024)
# Batches that are to cost hardly more than one query.
FREE_BATCH = {128: 16, 256: 64, 512: 64, 1024: 64}
EAGER, GRAPH = "eager", "graph"
BILLION = "1e9 codes of 64 bits, top 100"


def searches(n_bits: int, n_codes: int, k: int) -> tuple[Search, ...]:
    batches = (1, 2, 3, *([FREE_BATCH[n_bits]] if n_bits in FREE_BATCH else []))
    return tuple(Search(n_bits, n_codes, n_queries, k) for n_queries in batches)


def name(n_queries: int, how: str) -> str:
    """Of a contender."""
    return f"Q={n_queries}, {how}"


def timed(wanted: Sequence[Search]) -> Callable[[Card], dict[str, Any]]:
    """A case: each search as it is called, and replayed as a CUDA graph without the host's part."""

    def run(card: Card) -> dict[str, Any]:
        first = wanted[0]
        need = int(1.15 * first.db_bytes) + 2**31
        if need > card.free_bytes() + _kept_bytes(card, first):
            raise CannotRunError(f"needs {need / 1e9:.0f} GB of the card's memory")
        db = card.database(first.n_bits, first.n_codes)
        calls: dict[str, Call] = {}
        notes: dict[str, str] = {}
        wrong: list[str] = []
        for search in wanted:
            call = prepared(card, search, db)
            queries = codes.queries(card.xp, db, search.n_queries)
            try:
                exact.check(card.xp, call(), queries, db, search.k, most=1)
            except WrongResultError as error:
                wrong.append(f"{search}: {error}")
                continue
            calls[name(search.n_queries, EAGER)] = call
            if card.dry:
                notes[name(search.n_queries, GRAPH)] = "no GPU"
            else:
                calls[name(search.n_queries, GRAPH)] = card.replayed(call)
        times = timing.interleaved(card, calls, seconds=2.0)
        for timed_call in times.values():
            timed_call["bytes_per_second"] = first.db_bytes / (1e-3 * timed_call["median_ms"])
        found = {"contenders": times, "not_run": notes, "wrong": wrong}
        return {"db_bytes": first.db_bytes, "k": first.k, **found}

    return run


def _kept_bytes(card: Card, search: Search) -> int:
    """What the card keeps of the very database already."""
    return search.db_bytes if card.keeps(search.n_bits, search.n_codes) else 0


def cases(dry: bool) -> Sequence[Case]:
    n_codes, k = (4_000, 5) if dry else (10**8, 100)
    found = []
    for n_bits in WIDTHS[:1] if dry else WIDTHS:
        wanted = searches(n_bits, n_codes, k)
        found.append(Case(f"{n_bits} bits", timed(wanted), 6, wanted))
    one = (Search(64, 5_000 if dry else 10**9, 1, 5 if dry else 100),)
    found.append(Case(str(one[0]) if dry else BILLION, timed(one), 6, one))
    return tuple(found)


STEP = Step("small_batches", "One to three queries", cases)
