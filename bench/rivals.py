"""Everything that is timed, behind one signature: our own search and those it is held against."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import hamming

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""`search(query_codes, k)` -> distances and indices, each `(n_queries, k)`."""


@dataclass(frozen=True)
class Rival:
    """One way to search.

    Attributes:
        module: what it imports; it is skipped with a note where that is not installed.
        distribution: the package that has its version.
        prepare: `(db_codes, threads)` -> `Search`; building is not timed.
        note: its configuration, in words.
    """

    name: str
    module: str
    distribution: str
    prepare: Callable[[np.ndarray, int], Search]
    note: str

    @property
    def missing(self) -> str | None:
        """Why it cannot be timed here, or None."""
        return None if importlib.util.find_spec(self.module) else "not installed"

    @property
    def version(self) -> str | None:
        if self.missing:
            return None
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"


def _prepare_ours(db: np.ndarray, threads: int) -> Search:
    return lambda queries, k: hamming.topk(queries, db, k, threads=threads)


def _prepare_faiss(use_heap: bool) -> Callable[[np.ndarray, int], Search]:
    def prepare(db: np.ndarray, threads: int) -> Search:
        # Read once, when faiss loads OpenMP: spinning workers would be charged to whoever is timed.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.IndexBinaryFlat(8 * db.shape[1])
        index.use_heap = use_heap
        index.add(db)
        return index.search

    return prepare


# Codes a block: the block's scratch and its slice of the database stay in L2.
_BLOCK = 32_768


def _prepare_numpy(db: np.ndarray, threads: int) -> Search:
    """Word columns, L2-sized blocks, and only codes nearer than the k-th so far are ranked.

    About five times faster than one xor, popcount and partition over the whole database.
    """
    del threads  # NumPy has one
    width = next(size for size in (8, 4, 2, 1) if db.shape[1] % size == 0)
    columns = np.ascontiguousarray(db.view(f"u{width}").T)  # (n_words, n_codes)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        ranked = [_numpy_nearest(columns, query, k) for query in queries.view(columns.dtype)]
        distances, indices = zip(*ranked, strict=True)
        return np.stack(distances).astype(np.int32), np.stack(indices)

    return search


def _numpy_nearest(columns: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n_words, n_codes = columns.shape
    small = np.uint8 if n_words * columns.itemsize * 8 < 256 else np.uint16
    distances, indices = np.empty(0, small), np.empty(0, np.int64)
    scratch = np.empty(_BLOCK, columns.dtype), np.empty(_BLOCK, np.uint8), np.empty(_BLOCK, small)
    for start in range(0, n_codes, _BLOCK):
        block = columns[:, start : start + _BLOCK]
        words, counts, row = (a[: block.shape[1]] for a in scratch)
        for word, column in enumerate(block):
            np.bitwise_xor(column, query[word], out=words)
            np.bitwise_count(words, out=row if word == 0 else counts)
            if word:
                np.add(row, counts, out=row)
        full = len(distances) == k
        near = np.flatnonzero(row < distances[-1]) if full else np.arange(len(row))
        if len(near):
            distances = np.concatenate([distances, row[near]])
            indices = np.concatenate([indices, near + start])
            # Earlier codes stand first, so a stable sort puts equal distances in order of index.
            order = np.argsort(distances, kind="stable")[:k]
            distances, indices = distances[order], indices[order]
    return distances, indices


OURS = Rival("hamming", "hamming", "hamming-kd", _prepare_ours, "hamming.topk")
FAISS = Rival("faiss", "faiss", "faiss-cpu", _prepare_faiss(True), "IndexBinaryFlat, as it comes")
FAISS_COUNTING = Rival(
    "faiss counting", "faiss", "faiss-cpu", _prepare_faiss(False), "IndexBinaryFlat, use_heap=False"
)
NUMPY = Rival("numpy", "numpy", "numpy", _prepare_numpy, "xor and popcount in blocks, one thread")

RIVALS: tuple[Rival, ...] = (FAISS, FAISS_COUNTING, NUMPY)
