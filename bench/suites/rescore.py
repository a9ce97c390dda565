"""`hamming.rescore`: float queries against the codes of a search's candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import hamming

from .. import shapes
from ..harness import Budget, Call
from ..rivals import NUMPY, OURS, TORCH, passive_openmp
from .frame import Suite, WrongResultError


@dataclass(frozen=True)
class RescoreShape:
    """The k best of m candidates for each query, drawn from a database."""

    n_bits: int
    n_codes: int
    n_queries: int
    m: int
    k: int = 10

    @property
    def memory_bytes(self) -> int:
        return self.n_codes * self.n_bits // 4 + 6 * self.n_queries * self.m * (
            4 * self.n_bits + 16
        )

    def __str__(self) -> str:
        size = f"{self.n_bits} bits, N={shapes.short(self.n_codes)}, Q={self.n_queries}"
        return f"{size}, {shapes.short(self.m)} candidates, k={self.k}"


class Problem(NamedTuple):
    """`queries (n_calls, n_queries, n_bits) float32`, `indices (n_queries, m) int64` into `db`."""

    queries: np.ndarray
    db: np.ndarray
    indices: np.ndarray
    k: int

    @property
    def n_calls(self) -> int:
        return len(self.queries)


Found = tuple[np.ndarray, np.ndarray]


def make(shape: RescoreShape) -> Problem:
    rng = np.random.default_rng(0)
    return Problem(
        rng.standard_normal((2, shape.n_queries, shape.n_bits), np.float32),
        rng.integers(0, 256, (shape.n_codes, shape.n_bits // 8), np.uint8),
        np.stack([rng.permutation(shape.n_codes)[: shape.m] for _ in range(shape.n_queries)]),
        shape.k,
    )


def _ours(problem: Problem, threads: int) -> Call:
    del threads  # HAMMING_THREADS
    queries, db, indices, k = problem
    return lambda number: hamming.rescore(queries[number % len(queries)], db, indices, k)


def _numpy(problem: Problem, threads: int) -> Call:
    """Candidates unpacked query by query, so that they stay in a cache, and one product each."""
    threadpool_limits(threads, user_api="blas")
    batches, db, indices, k = problem

    def call(number: int) -> Found:
        scores, rows = [], []
        for query, candidates in zip(batches[number % len(batches)], indices, strict=True):
            bits = np.unpackbits(db[candidates], axis=1).astype(np.float32)
            # Bits of 0 and 1 rather than +-1: the sum of the query makes up the difference.
            values = 2 * (bits @ query) - query.sum()
            best = np.argpartition(-values, k - 1)[:k]
            best = best[np.argsort(-values[best], kind="stable")]
            scores.append(values[best])
            rows.append(candidates[best])
        return np.stack(scores), np.stack(rows)

    return call


def _torch(problem: Problem, threads: int) -> Call:
    """Bytes looked up as eight +-1, query by query, then one product and topk."""
    passive_openmp()
    import torch

    batches, db, indices, k = (torch.as_tensor(value) for value in problem)
    table = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1))
    signs = table.to(torch.float32).mul_(2).sub_(1)

    def call(number: int) -> Found:
        torch.set_num_threads(threads)
        scores, rows = [], []
        for query, candidates in zip(batches[number % len(batches)], indices, strict=True):
            looked_up = signs[db[candidates].to(torch.int32)]  # (m, n_bytes, 8)
            values, columns = (looked_up.flatten(1) @ query).topk(int(k))
            scores.append(values)
            rows.append(candidates[columns])
        return torch.stack(scores).numpy(), torch.stack(rows).numpy()

    return call


def check(problem: Problem, number: int, found: Found, expected: Found) -> str:
    """Scores equal within 1e-5 of the query's L1 norm; nearly equal scores may change places."""
    queries, db, _, _ = problem
    query = queries[number]
    within = 1e-5 * np.abs(query).sum(axis=1, keepdims=True)
    signs = np.unpackbits(db[found[1]], axis=2).astype(np.float64) * 2 - 1
    true = np.einsum("qkb,qb->qk", signs, query.astype(np.float64))
    near = np.abs(found[0] - true) <= within
    wrong = ~near | (np.abs(found[0] - expected[0]) > 2 * within)
    if wrong.any():
        q, rank = (int(i) for i in np.argwhere(wrong)[0])
        raise WrongResultError(
            f"query {q}, rank {rank}: expected the score {expected[0][q, rank]}, "
            f"got {found[0][q, rank]} for a true one of {true[q, rank]}"
        )
    if any(len(set(row)) != len(row) for row in found[1].tolist()):
        raise WrongResultError("expected different candidates, got one of them twice")
    same = np.array_equal(found[1], expected[1])
    return f"scores within 1e-5, {'the same' if same else 'other'} candidates"


_REFERENCE = replace(NUMPY, prepare=_numpy, note="unpackbits and a product, query by query")

SUITE = Suite(
    title="Re-scoring candidates",
    shapes=tuple(
        RescoreShape(bits, 1_000_000, 100, m) for bits in (64, 256, 1024) for m in (100, 1_000)
    ),
    quick=(RescoreShape(64, 10_000, 10, 100), RescoreShape(256, 10_000, 10, 1_000)),
    make=make,
    contenders=(
        replace(OURS, prepare=_ours, note="hamming.rescore"),
        _REFERENCE,
        replace(TORCH, prepare=_torch, note="a table of +-1 and a product, query by query"),
    ),
    check=check,
    reference=_REFERENCE,
    work=lambda shape: 1e3 * shape.n_queries * shape.m,
    unit="M candidates/s",
    ceiling=None,
    budget=Budget(seconds=6),
)
