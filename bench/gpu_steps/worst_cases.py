"""Step 8: orders that flood, large k, masks, and more rows than 32 bits count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

from . import codes, exact, timing
from .card import Call, Card
from .frame import Case, Step
from .searches import Search, backend, calling, prepared

ONE = Search(64, 10**8, 1, 100)
BATCH = Search(256, 2 * 10**7, 64, 100)
ORDERS: tuple[codes.Order, ...] = ("random", "equal", "descending", "hundred")
KS = (10, 100, 1000, 10_000, 100_000, 2**20)
SHARES = (None, 0.001, 0.1, 0.9)
BEYOND = Search(64, 2**31 + 1000, 2, 100)


def orders(base: Search, dry: bool) -> dict[str, Search]:
    del dry
    return {order: replace(base, order=order) for order in ORDERS}


def ks(base: Search, dry: bool) -> dict[str, Search]:
    """A batch has large k one query after the other, so it stops earlier."""
    largest = base.n_codes // 4 if dry else 2**20 if base.n_queries == 1 else 10_000
    return {f"k={k}": replace(base, k=k) for k in KS if k <= largest}


def masks(base: Search, dry: bool) -> dict[str, Search]:
    del dry
    names = {None: "none", 0.001: "0.1 %", 0.1: "10 %", 0.9: "90 %"}
    return {names[share]: replace(base, share=share) for share in SHARES}


def timed(contenders: dict[str, Search]) -> Callable[[Card], dict[str, Any]]:
    """A case: searches that differ in one thing, each checked, as graphs if there is a GPU."""

    def run(card: Card) -> dict[str, Any]:
        calls: dict[str, Call] = {}
        wrong: list[str] = []
        for name, search in contenders.items():
            db = _database(card, search)
            call = prepared(card, search, db)
            queries = codes.queries(card.xp, db, search.n_queries, search.order)
            share = search.share
            mask = None if share is None else codes.mask(card.xp, search.n_codes, share)
            try:
                exact.check(card.xp, call(), queries, db, search.k, mask, most=2)
                calls[name] = call if card.dry else card.replayed(call)
            except WrongResultError as error:
                wrong.append(f"{search}: {error}")
        return {"contenders": timing.interleaved(card, calls, seconds=1.0), "wrong": wrong}

    return run


def _database(card: Card, search: Search) -> Any:
    """The card's own, or one beside it."""
    if search.order == "random":
        return card.database(search.n_bits, search.n_codes)
    return codes.database(card.xp, search.n_bits, search.n_codes, search.order)


def beyond(search: Search) -> Callable[[Card], dict[str, Any]]:
    """A case: the last code, and the first whose row does not fit 32 bits, are found in place."""

    def run(card: Card) -> dict[str, Any]:
        card.forget()
        need, free = search.db_bytes + 2**32, card.free_bytes()
        if need > free:
            raise CannotRunError(f"needs {need / 1e9:.0f} GB, {free / 1e9:.0f} GB are free")
        db = card.database(search.n_bits, search.n_codes)
        first = min(2**31, search.n_codes - 2)
        queries = card.xp.concatenate([db[first : first + 1], db[-1:]])
        call = calling(backend(card, search.variant), queries, db, search.k)
        found = call()
        exact.check(card.xp, found, queries, db, search.k, most=2)
        times = timing.interleaved(card, {"eager": call}, seconds=0.5)
        card.forget()
        return {"n_codes": search.n_codes, "contenders": times}

    return run


def cases(dry: bool) -> Sequence[Case]:
    one = replace(ONE, n_codes=6_000, k=20) if dry else ONE
    batch = replace(BATCH, n_codes=5_000, k=20) if dry else BATCH
    found = []
    for base in (one,) if dry else (one, batch):
        for title, contenders in (("orders", orders), ("k", ks), ("masks", masks)):
            wanted = contenders(base, dry)
            case = Case(f"{title}: {base}", timed(wanted), 6, tuple(wanted.values()))
            found.append(case)
    last = replace(BEYOND, n_codes=5_001, k=20) if dry else BEYOND
    found.append(Case(f"more rows than 32 bits: {last}", beyond(last), 8, (last,)))
    return tuple(found)


STEP = Step("worst_cases", "Orders, k, masks and sizes that hurt", cases)
