"""One answer whatever the number of threads, and whoever else is searching."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

import hamming

RNG = np.random.default_rng(11)
DB = RNG.integers(0, 4, (3000, 9), dtype=np.uint8)  # few distinct distances: ties everywhere
FLOATS = RNG.normal(size=(40, 72)).astype(np.float32)
ROWS = RNG.integers(-1, len(DB), (40, 50))
MASK = RNG.random(len(DB)) < 0.5


def answers(n_queries: int, threads: int | None) -> list[np.ndarray]:
    """Every function's result; distance, rescore and pack take the count from HAMMING_THREADS."""
    queries = DB[:n_queries]
    return [
        *hamming.topk(queries, DB, 100, threads=threads),
        *hamming.topk(queries, DB, 100, mask=MASK, threads=threads),
        *hamming.radius_search(queries, DB, 8, threads=threads),
        *hamming.radius_search(queries, DB, 8, mask=MASK, threads=threads),
        hamming.distance(queries, DB),
        *hamming.rescore(FLOATS[:n_queries], DB, ROWS[:n_queries], 20),
        hamming.pack(np.tile(FLOATS, (n_queries, 1))),
    ]


def assert_same(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


# Three queries share the threads by parts of the database, forty by queries.
@pytest.mark.parametrize("n_queries", [1, 3, 40])
def test_every_count_gives_the_same(backend: str, monkeypatch, n_queries: int) -> None:
    monkeypatch.setenv("HAMMING_THREADS", "1")
    expected = answers(n_queries, 1)
    for threads in range(1, 9):
        assert_same(answers(n_queries, threads), expected)
        monkeypatch.setenv("HAMMING_THREADS", str(threads))
        assert_same(answers(n_queries, None), expected)


@pytest.mark.parametrize("variable", [None, "1", "3"])
def test_callers_on_several_threads_at_once(backend: str, monkeypatch, variable) -> None:
    monkeypatch.setenv("HAMMING_THREADS", "1")
    expected = {n: answers(n, 1) for n in (2, 40)}
    if variable is None:
        monkeypatch.delenv("HAMMING_THREADS")
    else:
        monkeypatch.setenv("HAMMING_THREADS", variable)
    with ThreadPoolExecutor(4) as pool:
        # A thread starts with no backend forced: it gets the fixture's with the context.
        jobs = [(n, pool.submit(copy_context().run, answers, n, None)) for n in (2, 40) * 4]
        for n, job in jobs:
            assert_same(job.result(), expected[n])
