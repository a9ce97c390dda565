"""Step 6: batches by each kernel variant, and from which size on one overtakes the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

from . import codes, exact, timing
from .card import Call, Card
from .frame import Case, Step
from .searches import Search, Variant, prepared

WIDTHS = (64, 128, 256, 512, 1024)
SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 10_000)
VARIANTS: tuple[Variant, ...] = ("popc", "popc carry-save", "mma", "wgmma")
_DB_BYTES = 2**29  # several times the L2 of 50 or 60 MB


def searches(n_bits: int, n_queries: int, dry: bool) -> tuple[Search, ...]:
    n_codes, k = (3_000, 5) if dry else (_DB_BYTES // (n_bits // 8), 100)
    # Counting takes seconds for thousands of queries, and has long lost there.
    variants = VARIANTS if n_queries <= 1024 else VARIANTS[2:]
    return tuple(Search(n_bits, n_codes, n_queries, k, variant) for variant in variants)


def timed(wanted: Sequence[Search]) -> Callable[[Card], dict[str, Any]]:
    """A case: one batch by every variant, in turn, replayed as graphs if there is a GPU.

    Called, small batches wait for the host, which says nothing of a kernel. A wrong variant is not
    timed.
    """

    def run(card: Card) -> dict[str, Any]:
        calls: dict[str, Call] = {}
        missing: dict[str, str] = {}
        wrong: list[str] = []
        for search in wanted:
            try:
                call = prepared(card, search)
                db = card.database(search.n_bits, search.n_codes)
                queries = codes.queries(card.xp, db, search.n_queries)
                exact.check(card.xp, call(), queries, db, search.k)
                calls[search.variant] = call if card.dry else card.replayed(call)
            except CannotRunError as error:
                missing[search.variant] = str(error)
            except WrongResultError as error:
                wrong.append(f"{search}: {error}")
        times = timing.interleaved(card, calls, seconds=0.4, least=3, most=20, warm_seconds=0.02)
        for found in times.values():
            found["pairs_per_second"] = wanted[0].pairs / (1e-3 * found["median_ms"])
        return {
            "n_codes": wanted[0].n_codes,
            "k": wanted[0].k,
            "replayed": not card.dry,
            "contenders": times,
            "not_run": missing,
            "wrong": wrong,
        }

    return run


def cases(dry: bool) -> Sequence[Case]:
    found = []
    for n_bits in WIDTHS[:1] if dry else WIDTHS:
        for n_queries in (4, 8) if dry else SIZES:
            wanted = searches(n_bits, n_queries, dry)
            seconds = 1.2 + 2.0 * n_queries / 10_000
            name = f"{n_bits} bits, Q={n_queries}"
            found.append(Case(name, timed(wanted), seconds, wanted))
    return tuple(found)


STEP = Step("batches", "Batches by each variant", cases)


def crossover(rows: dict[str, dict[str, Any]], n_bits: int, small: str, large: str) -> int | None:
    """The least batch from which on `large` is always faster than `small`; None = never seen."""
    found = None
    for n_queries in SIZES:
        contenders = rows.get(f"{n_bits} bits, Q={n_queries}", {}).get("contenders", {})
        if not {small, large} <= set(contenders):
            continue
        faster = contenders[large]["median_ms"] < contenders[small]["median_ms"]
        found = (found or n_queries) if faster else None
    return found
