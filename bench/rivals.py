"""The searches that are timed, behind one signature: our own and those it is held against."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import hamming

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""`search(query_codes, k)` -> distances and indices, each `(n_queries, k)`."""


class CannotRunError(Exception):
    """Why a contender takes no part on this problem, in a few words."""


@dataclass(frozen=True)
class Rival:
    """One way to do a suite's work.

    Attributes:
        module: what it imports; it is skipped with a note where that is not installed.
        distribution: the package that has its version.
        prepare: `(db_codes, threads)` -> `Search`, or what the suite says; building is not timed.
            Raises CannotRunError.
        note: its configuration, in words.
    """

    name: str
    module: str
    distribution: str
    prepare: Callable[[Any, int], Callable[..., Any]]
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


def passive_openmp() -> None:
    """Before OpenMP is loaded: spinning workers would be charged to whoever is timed."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def faiss_index(db: np.ndarray, *, use_heap: bool = True) -> Any:
    passive_openmp()
    import faiss

    index = faiss.IndexBinaryFlat(8 * db.shape[1])
    index.use_heap = use_heap
    index.add(db)
    return index


def _prepare_faiss(use_heap: bool) -> Callable[[np.ndarray, int], Search]:
    def prepare(db: np.ndarray, threads: int) -> Search:
        index = faiss_index(db, use_heap=use_heap)
        import faiss

        def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            faiss.omp_set_num_threads(threads)  # a property of the process, not of an index
            return index.search(queries, k)

        return search

    return prepare


_kept: dict[str, tuple[np.ndarray, Any]] = {}


def _built(name: str, db: np.ndarray, build: Callable[[np.ndarray], Any]) -> Any:
    """What a rival builds of a database, kept until it is given another one."""
    if _kept.get(name, (None,))[0] is not db:
        _kept.pop(name, None)  # before the next: two may not fit
        _kept[name] = db, build(db)
    return _kept[name][1]


# usearch has no exact search of stored codes without building its graph first.
_BUILD_SECONDS = 10.0
_BUILD_SAMPLE = 65_536


def _usearch_index(db: np.ndarray) -> Any:
    """Its graph is not used, so it is built as poorly, and as fast, as can be."""
    from usearch.index import Index, MetricKind

    index = Index(
        ndim=8 * db.shape[1],
        metric=MetricKind.Hamming,
        dtype="b1",
        connectivity=2,
        expansion_add=1,
    )
    begin = time.perf_counter()
    for start in range(0, len(db), _BUILD_SAMPLE):
        rows = db[start : start + _BUILD_SAMPLE]
        index.add(np.arange(start, start + len(rows)), rows)
        if start == 0:
            seconds = (time.perf_counter() - begin) * len(db) / len(rows)
            if seconds > _BUILD_SECONDS:
                raise CannotRunError(f"left out: its index would take {seconds:.0f} s to build")
    return index


def _prepare_usearch(db: np.ndarray, threads: int) -> Search:
    """The index's own exact search, twice as fast as the function `usearch.index.search`."""
    index = _built("usearch", db, _usearch_index)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = index.search(queries, k, exact=True, threads=threads)
        shape = (len(queries), k)  # it drops the first axis of a single query
        return (
            found.distances.reshape(shape).astype(np.int32),
            found.keys.reshape(shape).astype(np.int64),
        )

    return search


_TORCH_BYTES = 4_200_000_000  # 1e6 codes of 1024 bits


def _prepare_torch(db: np.ndarray, threads: int) -> Search:
    """From the inner products of +-1 vectors: d = (n_bits - a.b) / 2, exact in float32."""
    passive_openmp()
    import torch

    need = 32 * db.nbytes
    if need > _TORCH_BYTES:
        raise CannotRunError(f"left out: needs {need / 1e9:.0f} GB as float32")
    n_codes, n_bits = len(db), 8 * db.shape[1]
    signs = _built("torch", db, torch_signs)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        torch.set_num_threads(threads)
        chunks = [nearest(queries[i : i + 128], k) for i in range(0, len(queries), 128)]
        distances, indices = zip(*chunks, strict=True)
        return np.concatenate(distances), np.concatenate(indices)

    def nearest(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        left = torch_signs(queries)
        # The products of a block stay in the caches; a large k is kept from filling memory.
        size = max(2**19 // len(queries), 4096, 8 * k)
        best, rows = [], []
        for start in range(0, n_codes, size):
            products = left @ signs[start : start + size].T
            values, columns = products.topk(min(k, products.shape[1]), dim=1)
            best.append(values)
            rows.append(columns.add_(start))
        values, columns = torch.cat(best, dim=1).topk(k, dim=1)
        indices = torch.cat(rows, dim=1).gather(1, columns)
        return ((n_bits - values) / 2).to(torch.int32).numpy(), indices.numpy()

    return search


def torch_signs(codes: np.ndarray) -> Any:
    """`(n, n_bytes) uint8` as `(n, n_bits)` float32 of +-1."""
    import torch

    signs = torch.empty(len(codes), 8 * codes.shape[1])
    for start in range(0, len(codes), _BLOCK):
        block = slice(start, start + _BLOCK)
        bits = torch.from_numpy(np.unpackbits(codes[block], axis=1))
        signs[block] = bits.to(torch.float32).mul_(2).sub_(1)
    return signs


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
USEARCH = Rival("usearch", "usearch", "usearch", _prepare_usearch, "Index.search(exact=True)")
TORCH = Rival("torch", "torch", "torch", _prepare_torch, "+-1 float32 matmul and topk in blocks")

RIVALS: tuple[Rival, ...] = (FAISS, FAISS_COUNTING, NUMPY, USEARCH, TORCH)
