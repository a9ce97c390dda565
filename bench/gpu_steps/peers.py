"""Step 7: others on the same data in the same process, each held against our answer first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.gpu_peers import Peer, peers
from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError

from . import codes, exact, timing
from .card import Call, Card, torch_module
from .frame import Case, Step
from .searches import Search, prepared

OURS = "hamming"
SHAPES = (  # those of which most is promised first: some peers take seconds a call
    Search(256, 10**7, 1024, 100),
    Search(256, 10**7, 1, 100),
    Search(512, 10**7, 1024, 100),
    Search(256, 10**7, 10_000, 100),
    Search(1024, 10**7, 1024, 100),
    Search(64, 10**8, 1, 100),
)
_DRY_SHAPES = (Search(64, 4096, 4, 5),)
_CHECKED = 8  # queries whose rows are looked at one by one; distances are compared for all


def compared(search: Search) -> Callable[[Card], dict[str, Any]]:
    """A case: all peers on one search."""

    def run(card: Card) -> dict[str, Any]:
        torch = torch_module()
        db = card.database(search.n_bits, search.n_codes)
        queries = codes.queries(card.xp, db, search.n_queries)
        ours = prepared(card, search, db)
        expected = ours()
        exact.check(card.xp, expected, queries, db, search.k)
        calls: dict[str, Call] = {OURS: ours}
        missing: dict[str, str] = {}
        notes: dict[str, str] = {OURS: "hamming.topk on CuPy arrays"}
        there = torch.from_dlpack(db), torch.from_dlpack(queries)
        for peer in peers():
            try:
                call = _prepared(card, peer, search, *there)
                agree(card, expected, call(), queries, db)
                calls[peer.name], notes[peer.name] = call, peer.note
            except (CannotRunError, WrongResultError) as error:
                missing[peer.name] = str(error)
            except Exception as error:  # theirs must not stop the others
                missing[peer.name] = f"{type(error).__name__}: {error}".splitlines()[0]
        times = timing.interleaved(card, calls, seconds=1.5, least=3, most=20)
        for found in times.values():
            found["pairs_per_second"] = search.pairs / (1e-3 * found["median_ms"])
        return {"contenders": times, "not_run": missing, "notes": notes}

    return run


def _prepared(card: Card, peer: Peer, search: Search, db: Any, queries: Any) -> Call:
    need, free = peer.bytes_of(search.n_codes, search.n_bits), card.free_bytes()
    if need > free and not card.dry:
        raise CannotRunError(f"needs {need / 1e9:.0f} GB, {free / 1e9:.0f} GB are free")
    find = peer.prepare(db, search.k)
    return lambda: find(queries)


def agree(card: Card, expected: Any, found: tuple[Any, Any], queries: Any, db: Any) -> None:
    """Distances are equal, and rows true hits, none twice; which of equal ones is theirs to say.

    Raises:
        WrongResultError: they are not.
    """
    distances, rows = (_on(card, array) for array in found)
    if not bool((distances == expected.distances).all()):
        n_wrong = int((distances != expected.distances).any(axis=1).sum())
        raise WrongResultError(f"other distances for {n_wrong} of {len(queries)} queries")
    step = max(1, len(queries) // _CHECKED)
    for query in range(0, len(queries), step):
        own = exact.distances_of(card.xp, queries[query], db[rows[query]])
        n_different = len(card.xp.unique(rows[query]))
        if n_different != rows.shape[1] or not bool((own == distances[query]).all()):
            raise WrongResultError(f"query {query}: rows that are not at their distances")


def _on(card: Card, array: Any) -> Any:
    """A result of torch or of NumPy among the card's own arrays."""
    if hasattr(array, "is_cuda"):
        return card.xp.from_dlpack(array)
    return card.xp.asarray(array)


def cases(dry: bool) -> Sequence[Case]:
    return tuple(
        Case(
            str(search),
            compared(search),
            12 if search.n_queries < 10_000 else 60,  # faiss takes 3 s a call
            (search,),
            needs_gpu=True,
        )
        for search in (_DRY_SHAPES if dry else SHAPES)
    )


STEP = Step("peers", "Others on the same data", cases)
