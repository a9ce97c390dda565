"""Indexes with ids, behind one signature: our own and those of faiss."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import numpy as np

import hamming

from ..rivals import passive_openmp
from .problem import Found, K, Problem


class Contender(Protocol):
    """What is done with an index."""

    name: str
    note: str

    def build(self, problem: Problem, n_calls: int = 1) -> Any: ...
    def add(self, index: Any, codes: np.ndarray, ids: np.ndarray | None) -> None: ...
    def remove(self, index: Any, ids: np.ndarray) -> None: ...
    def search(self, index: Any, queries: np.ndarray) -> Found: ...
    def save(self, index: Any, path: Path, *, durable: bool) -> None: ...
    def load(self, path: Path, how: str) -> Any: ...


LOADS = ("checked", "unchecked", "mapped")
"""How a file is loaded; faiss has no checksums, so that its only full load is "checked" here."""


class Ours:
    """`hamming.Index` on one thread."""

    name = "hamming"
    note = "Index(n_bits).add"

    def build(self, problem: Problem, n_calls: int = 1) -> hamming.Index:
        index = hamming.Index(problem.n_bits)
        for codes, ids in problem.parts(n_calls):
            index.add(codes, ids)
        return index

    def add(self, index: hamming.Index, codes: np.ndarray, ids: np.ndarray | None) -> None:
        index.add(codes, ids)

    def remove(self, index: hamming.Index, ids: np.ndarray) -> None:
        index.remove(ids)

    def search(self, index: hamming.Index, queries: np.ndarray) -> Found:
        return index.topk(queries, K, threads=1)

    def save(self, index: hamming.Index, path: Path, *, durable: bool) -> None:
        with contextlib.nullcontext() if durable else _no_fsync():
            index.save(path)

    def load(self, path: Path, how: str) -> hamming.Index:
        return hamming.Index.load(path, mmap=how == "mapped", verify=how == "checked")


@contextlib.contextmanager
def _no_fsync() -> Iterator[None]:
    with mock.patch("os.fsync"):
        yield


class Faiss:
    """An index of faiss on one thread.

    Args:
        kind: "IDMap2", which finds codes by id in a hash table; "IDMap", which looks through all
            ids; "Flat", whose ids are the positions.
    """

    use_heap = True
    """How `IndexBinaryFlat` selects; `choose_selection` sets the faster one for all."""

    def __init__(self, kind: str) -> None:
        passive_openmp()
        import faiss

        faiss.omp_set_num_threads(1)
        self._faiss = faiss
        self._kind = kind
        self.name = f"faiss {kind}"
        flat = "IndexBinaryFlat"
        self.note = flat if kind == "Flat" else f"IndexBinary{kind} of an {flat}"

    def build(self, problem: Problem, n_calls: int = 1) -> Any:
        index = self._configured(self._faiss.IndexBinaryFlat(problem.n_bits))
        if self._kind != "Flat":
            index = getattr(self._faiss, f"IndexBinary{self._kind}")(index)
        for codes, ids in problem.parts(n_calls):
            self.add(index, codes, ids)
        return index

    def add(self, index: Any, codes: np.ndarray, ids: np.ndarray | None) -> None:
        if ids is None:
            index.add(codes)
        else:
            index.add_with_ids(codes, ids)

    def remove(self, index: Any, ids: np.ndarray) -> None:
        if index.remove_ids(ids) != len(ids):
            raise AssertionError("faiss removed other codes than it was told")

    def search(self, index: Any, queries: np.ndarray) -> Found:
        return index.search(queries, K)

    def filtered(self, index: Any, queries: np.ndarray, selector: Any) -> Found:
        parameters = self._faiss.SearchParameters(sel=selector)
        return index.search(queries, K, params=parameters)

    def batch(self, ids: np.ndarray) -> Any:
        """The selector that is made of ids."""
        return self._faiss.IDSelectorBatch(ids)

    def bitmap(self, ids: np.ndarray) -> Any:
        """The selector with a bit for each number up to the largest id: the fastest, once made."""
        bits = np.zeros(int(ids.max()) + 1, bool)
        bits[ids] = True
        return self._faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))

    def save(self, index: Any, path: Path, *, durable: bool) -> None:
        self._faiss.write_index_binary(index, str(path))
        if durable:  # faiss leaves that to its caller
            with path.open("rb+") as file:
                os.fsync(file.fileno())

    def load(self, path: Path, how: str) -> Any:
        flags = self._faiss.IO_FLAG_MMAP_IFC if how == "mapped" else 0
        index = self._faiss.read_index_binary(str(path), flags)
        self._configured(index if self._kind == "Flat" else index.index)
        return index

    def _configured(self, index: Any) -> Any:
        """It is no part of a file."""
        self._faiss.downcast_IndexBinary(index).use_heap = Faiss.use_heap
        return index


def contenders(ids: np.ndarray | None) -> list[Contender]:
    """Ours first; without ids faiss needs no map of them."""
    kinds = ("Flat",) if ids is None else ("IDMap2", "IDMap")
    return [Ours(), *(Faiss(kind) for kind in kinds)]


def named(name: str) -> Contender:
    return Ours() if name == Ours.name else Faiss(name.removeprefix("faiss "))
