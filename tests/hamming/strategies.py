"""Random problems at the edges: widths around whole words, duplicates, ties, ragged tails."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

# Bytes a code: below, at and above whole words, each unrolled width and two that are not.
WIDTHS = (1, 2, 3, 4, 7, 8, 9, 12, 16, 24, 31, 32, 33, 48, 64, 96, 125, 128, 260)


class Problem(NamedTuple):
    queries: np.ndarray
    db: np.ndarray
    mask: np.ndarray | None
    threads: int


def codes(rng: np.random.Generator, n: int, n_bytes: int, kind: str) -> np.ndarray:
    if kind == "equal":
        return np.tile(rng.integers(0, 256, n_bytes, dtype=np.uint8), (n, 1))
    if kind == "few":
        return rng.integers(0, 256, (3, n_bytes), dtype=np.uint8)[rng.integers(0, 3, n)]
    if kind == "hundred":
        return rng.integers(0, 256, (100, n_bytes), dtype=np.uint8)[rng.integers(0, 100, n)]
    if kind == "descending":  # distances to the zero code fall with the index
        ones = np.linspace(8 * n_bytes, 0, n).astype(int)
        return np.packbits(np.arange(8 * n_bytes) < ones[:, None], axis=1)
    if kind == "low_entropy":
        return rng.integers(0, 2, (n, n_bytes), dtype=np.uint8)
    return rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)


@st.composite
def problems(draw: st.DrawFn, max_codes: int = 700) -> Problem:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bytes = draw(st.sampled_from(WIDTHS))
    n_codes = draw(st.sampled_from([1, 2, 63, 64, 65, 127, 128, 129]) | st.integers(1, max_codes))
    n_queries = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 9, 17]))
    kind = draw(st.sampled_from(["random", "equal", "few", "descending", "low_entropy"]))
    db = codes(rng, n_codes, n_bytes, kind)
    queries = codes(rng, n_queries, n_bytes, draw(st.sampled_from(["random", "low_entropy"])))
    if draw(st.booleans()) and n_queries:
        queries[0] = 0
    share = draw(st.sampled_from([None, 0.0, 0.02, 0.5, 1.0]))
    mask = None if share is None else rng.random(n_codes) < share
    return Problem(queries, db, mask, draw(st.integers(1, 4)))


def ks(n_codes: int) -> st.SearchStrategy[int]:
    edges = [k for k in (1, 2, 31, 32, 33, 63, 64, 65, n_codes - 1, n_codes) if 1 <= k <= n_codes]
    return st.sampled_from(edges) | st.integers(1, n_codes)
