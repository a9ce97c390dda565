"""Step 4: packing and re-scoring against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import hamming
from bench.suites.frame import WrongResultError
from hamming.backends.cuda_plan import TUNING
from hamming.layout import NO_INDEX

from .card import Card
from .frame import Case, Step

_RESCORED = ((64, 100, 10), (256, 1000, 100), (1024, 5000, 5000), (200, 3000, 1))  # bits, m, k
_DTYPES = ("float32", "float64", "float16", "int8", "uint16", "int64")


def packing(card: Card) -> dict[str, Any]:
    """Every kind of number, both bit orders, widths that fill no word, thresholds, NaN."""
    wrong: list[str] = []
    rng = np.random.default_rng(0)
    n_rows = 50 if card.dry else 3001
    dtypes = _DTYPES[:2] if card.dry else _DTYPES
    for dtype in dtypes:
        for n_bits in (1, 33, 64, 100):
            values = (40 + 30 * rng.random((n_rows, n_bits))).astype(dtype)
            limits = (40 + 30 * rng.random(n_bits)).astype(dtype)
            for bitorder in ("big", "little"):
                with hamming.use_backend(card.backend(TUNING)):
                    found = hamming.pack(
                        card.xp.asarray(values), threshold=limits, bitorder=bitorder
                    )
                    bits = hamming.unpack(found, n_bits, bitorder=bitorder)
                expected = np.packbits(values > limits, axis=1, bitorder=bitorder)
                if not np.array_equal(card.get(found), expected):
                    wrong.append(f"pack, {dtype}, {n_bits} bits, {bitorder}: differs")
                if not np.array_equal(card.get(bits), values > limits):
                    wrong.append(f"unpack, {dtype}, {n_bits} bits, {bitorder}: differs")
    wrong += _nan(card)
    return {"wrong": wrong}


def _nan(card: Card) -> list[str]:
    """NaN packs as 0 where nobody looks, and is found where somebody does."""
    values = np.ones((9, 70), np.float32)
    values[5, 66] = np.nan
    there = card.xp.asarray(values)
    with hamming.use_backend(card.backend(TUNING)):
        found = card.get(hamming.pack(there, check_finite=False))
        try:
            hamming.pack(there, check_finite=True)
            return ["pack: NaN was not found"]
        except ValueError as error:
            wrong = [] if "row 5" in str(error) else [f"pack: {error}"]
    same = np.array_equal(found, np.packbits(values > 0, axis=1))
    return wrong + ([] if same else ["pack: NaN did not pack as 0"])


def rescoring(card: Card) -> dict[str, Any]:
    """Scores within what float32 sums may differ, in the order that they are returned in."""
    rng = np.random.default_rng(1)
    n_codes = 300 if card.dry else 100_000
    for n_bits, m, k in _RESCORED[:1] if card.dry else _RESCORED:
        db = rng.integers(0, 256, (n_codes, n_bits // 8), np.uint8)
        queries = rng.standard_normal((7, n_bits)).astype(np.float32)
        candidates = rng.permuted(np.tile(np.arange(n_codes), (7, 1)), axis=1)[:, :m]
        candidates[:, 3] = NO_INDEX
        with hamming.use_backend(card.backend(TUNING)):
            found = hamming.rescore(*map(card.xp.asarray, (queries, db, candidates)), k)
        check_scores(queries, db, candidates, card.get(found.scores), card.get(found.indices))
    return {}


def check_scores(
    queries: np.ndarray,
    db: np.ndarray,
    candidates: np.ndarray,
    scores: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Raises WrongResultError where the k best candidates are not these, in this order."""
    for query, named, found, indices in zip(queries, candidates, scores, rows, strict=True):
        there = named[named != NO_INDEX]
        signs = 2.0 * np.unpackbits(db[there], axis=1) - 1.0
        exact = dict(zip(there.tolist(), signs @ query.astype(np.float64), strict=True))
        allowed = 1e-5 * float(np.abs(query).sum())
        real = indices[indices != NO_INDEX].tolist()
        kept = set(real)
        if len(real) != min(len(indices), len(there)) or len(kept) != len(real):
            raise WrongResultError(f"{len(real)} rows, {len(kept)} of them different")
        if any(abs(exact[row] - found[i]) > allowed for i, row in enumerate(real)):
            raise WrongResultError("a score is not within 1e-5 of the query's norm")
        keys = list(zip((-found[: len(real)]).tolist(), real, strict=True))
        if keys != sorted(keys):
            raise WrongResultError("scores and rows are out of order")
        rest = [score for row, score in exact.items() if row not in kept]
        if rest and max(rest) > found[len(real) - 1] + 2 * allowed:
            raise WrongResultError("a better candidate was left out")


def cases(dry: bool) -> Sequence[Case]:
    del dry
    return (Case("pack and unpack", packing, 8), Case("rescore", rescoring, 8))


STEP = Step("values", "Packing and re-scoring against NumPy", cases)
