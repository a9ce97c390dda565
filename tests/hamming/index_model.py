"""A list beside an index: random sequences of what can be done to one, against plain NumPy."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import hamming
from tests.hamming import oracle

MISSING = 2**31 - 1


class Model:
    """Ids and codes in the order they were added."""

    def __init__(self, n_bits: int) -> None:
        self.n_bits = n_bits
        self.ids: list[int] = []
        self.codes = np.zeros((0, -(-n_bits // 8)), np.uint8)
        self.next_id = 0

    def copy(self) -> Model:
        other = Model(self.n_bits)
        other.ids, other.codes, other.next_id = list(self.ids), self.codes.copy(), self.next_id
        return other

    def add(self, codes: np.ndarray, ids: list[int]) -> None:
        self.codes = np.concatenate([self.codes, codes])
        self.ids = self.ids + ids
        self.next_id = max([self.next_id, *(i + 1 for i in ids)])

    def remove(self, ids: list[int]) -> None:
        kept = [row for row, i in enumerate(self.ids) if i not in ids]
        self.codes, self.ids = self.codes[kept], [self.ids[row] for row in kept]

    def mask(self, filter: Any) -> np.ndarray:
        if filter is None:
            return np.ones(len(self.ids), bool)
        if np.asarray(filter).dtype == bool:
            return np.asarray(filter)
        return np.isin(self.ids, np.asarray(filter, np.int64))

    def topk(self, queries: np.ndarray, k: int, filter: Any) -> tuple[np.ndarray, np.ndarray]:
        distances, rows = oracle.topk(queries, self.codes, k, self.mask(filter))
        return distances, np.where(rows < 0, -1, np.array([*self.ids, -1])[rows])

    def radius_search(self, queries: np.ndarray, radius: int, filter: Any) -> tuple[Any, ...]:
        found = oracle.radius_search(queries, self.codes, radius, self.mask(filter))
        return *found[:2], np.array(self.ids, np.int64)[found[2]]


def coded(rng: np.random.Generator, n: int, n_bits: int) -> np.ndarray:
    """Few distinct codes, so that ties are everywhere."""
    bits = rng.integers(0, 2, (4, n_bits), np.uint8)[rng.integers(0, 4, n)]
    flips = rng.random((n, n_bits)) < 0.05
    return np.packbits(bits ^ flips, axis=1)


class IndexMachine(RuleBasedStateMachine):
    """What is done to an index is done to a model; their answers are compared.

    Attributes:
        there: puts an array where the index lies.
        back: an array as NumPy's.
        home: the device of the index.
    """

    there: Callable[[np.ndarray], Any] = staticmethod(lambda array: array)
    back: Callable[[Any], np.ndarray] = staticmethod(np.asarray)
    home = "cpu"

    @initialize(
        n_bits=st.sampled_from([1, 7, 8, 13, 64, 65, 128, 200]),
        seed=st.integers(0, 2**32 - 1),
        n=st.integers(0, 40),
        numbered=st.booleans(),
    )
    def begin(self, n_bits: int, seed: int, n: int, numbered: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = TemporaryDirectory()
        self.model = Model(n_bits)
        self.kept: list[tuple[hamming.Index, Model]] = []
        codes = coded(self.rng, n, n_bits)
        ids = list(range(n)) if numbered else self._new_ids(n, spread=3)
        self.index = hamming.Index.from_codes(codes, n_bits, None if numbered else ids)
        self.index = self.index.to(self.home)
        self.model.add(codes, ids)

    def _new_ids(self, n: int, spread: int) -> list[int]:
        free = [i for i in range((len(self.model.ids) + n + 1) * spread) if i not in self.model.ids]
        return [int(i) for i in self.rng.choice(free, n, replace=False)]

    def _queries(self) -> np.ndarray:
        return coded(self.rng, int(self.rng.integers(0, 4)), self.model.n_bits)

    def _filter(self, kind: str) -> Any:
        n = len(self.model.ids)
        if kind == "none":
            return None
        if kind == "bools":
            return self.rng.random(n) < self.rng.random()
        most = 2 if kind == "few ids" else n
        chosen = self.rng.choice(self.model.ids, self.rng.integers(0, most + 1)) if n else []
        return [*map(int, chosen), 10**9]  # and one that it does not have

    @rule(n=st.integers(0, 12))
    def add(self, n: int) -> None:
        codes = coded(self.rng, n, self.model.n_bits)
        self.index.add(self.there(codes))
        self.model.add(codes, list(range(self.model.next_id, self.model.next_id + n)))

    @rule(n=st.integers(1, 12), spread=st.sampled_from([1, 4]), ascending=st.booleans())
    def add_with_ids(self, n: int, spread: int, ascending: bool) -> None:
        """Spread 1 fills gaps: ids that were removed come again."""
        codes = coded(self.rng, n, self.model.n_bits)
        ids = self._new_ids(n, spread)
        ids = sorted(ids) if ascending else ids
        self.index.add(self.there(codes), ids=ids)
        self.model.add(codes, ids)

    @precondition(lambda self: self.model.ids)
    @rule(within=st.booleans())
    def add_a_duplicate(self, within: bool) -> None:
        new = self._new_ids(2, 3)
        ids = [new[0], new[1], new[0]] if within else [*new, int(self.rng.choice(self.model.ids))]
        codes = coded(self.rng, 3, self.model.n_bits)
        with pytest.raises(ValueError, match=rf"^ids: expected each once, got {ids[2]} a second"):
            self.index.add(self.there(codes), ids=ids)

    @precondition(lambda self: self.model.ids)
    @rule(share=st.sampled_from([0.0, 0.2, 0.8, 1.0]))
    def remove(self, share: float) -> None:
        n = int(share * len(self.model.ids)) or 1
        ids = [int(i) for i in self.rng.choice(self.model.ids, n, replace=False)]
        self.index.remove([*ids, ids[0]])
        self.model.remove(ids)

    @rule()
    def remove_an_unknown_one(self) -> None:
        unknown = self._new_ids(1, 3)[0]
        known = self.model.ids[:1]
        with pytest.raises(ValueError, match=rf"^ids: expected ids of the index, got {unknown}, "):
            self.index.remove([*known, unknown])

    @precondition(lambda self: self.model.ids)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["none", "bools", "few ids", "ids"]),
        threads=st.sampled_from([None, 1, 3]),
    )
    def search(self, data: st.DataObject, kind: str, threads: int | None) -> None:
        k = data.draw(st.integers(1, len(self.model.ids)))
        queries, filter = self._queries(), self._filter(kind)
        found = self.index.topk(self.there(queries), k, filter=filter, threads=threads)
        self._same(found, self.model.topk(queries, k, filter))
        if len(queries):
            single = self.index.topk(self.there(queries[0]), k, filter=filter)
            self._same(single, [x[0] for x in self.model.topk(queries, k, filter)])

    @rule(share=st.floats(0, 1), kind=st.sampled_from(["none", "bools", "few ids", "ids"]))
    def search_a_radius(self, share: float, kind: str) -> None:
        radius = int(share * self.model.n_bits)
        queries, filter = self._queries(), self._filter(kind)
        found = self.index.radius_search(self.there(queries), radius, filter=filter)
        self._same(found, self.model.radius_search(queries, radius, filter))

    @precondition(lambda self: self.model.ids)
    @rule(n=st.integers(1, 3), data=st.data())
    def rescore(self, n: int, data: st.DataObject) -> None:
        m = data.draw(st.integers(1, 8))
        k = data.draw(st.integers(1, m))
        # Halves: sums are exact, and equal scores frequent.
        queries = self.rng.integers(-2, 3, (n, self.model.n_bits)).astype(np.float32) / 2
        ids = self.rng.choice([*self.model.ids, -1], (n, m)).astype(np.int64)
        found = self.index.rescore(self.there(queries), self.there(ids), k)
        rows = {i: row for row, i in enumerate(self.model.ids)} | {-1: -1}
        at = np.vectorize(rows.__getitem__)(ids)
        scores = np.where(at < 0, -np.inf, oracle.scores(queries, self.model.codes, at))
        order = np.lexsort((at, -scores), axis=1)[:, :k]
        expected = [np.take_along_axis(x, order, axis=1) for x in (scores, ids)]
        self._same(found, [expected[0].astype(np.float32), expected[1]])

    @rule(mmap=st.booleans(), verify=st.sampled_from([None, True]))
    def save_and_load(self, mmap: bool, verify: bool | None) -> None:
        path = Path(self.folder.name) / "index.safetensors"
        self.index.save(path)  # over the file that the index may be mapped from
        self.index = hamming.Index.load(path, mmap=mmap, verify=verify).to(self.home)

    @rule()
    def keep_a_snapshot(self) -> None:
        self.kept = [*self.kept[-2:], (self.index.snapshot(), self.model.copy())]

    @precondition(lambda self: self.kept)
    @rule()
    def go_on_with_a_snapshot(self) -> None:
        """Both may be changed from now on; the one left behind is compared at the end."""
        other = self.kept.pop(0)
        self.kept.append((self.index, self.model))
        self.index, self.model = other

    @rule()
    def pickle(self) -> None:
        if self.home == "cpu":
            self.index = pickle.loads(pickle.dumps(self.index))

    @rule(n=st.integers(0, 5))
    def join_another(self, n: int) -> None:
        codes, ids = coded(self.rng, n, self.model.n_bits), self._new_ids(n, 4)
        other = hamming.Index.from_codes(codes, self.model.n_bits, ids).to(self.home)
        self.index = hamming.Index.concat([self.index, other])
        self.model.add(codes, ids)

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "index"):
            for index, model in [(self.index, self.model), *self.kept]:
                assert len(index) == len(model.ids)
                assert self.back(index.ids).tolist() == model.ids
                np.testing.assert_array_equal(self.back(index.codes), model.codes)

    @precondition(lambda self: self.model.ids)
    @rule(shape=st.sampled_from([(), (3,), (2, 4)]))
    def look_codes_up(self, shape: tuple[int, ...]) -> None:
        rows = self.rng.integers(0, len(self.model.ids), shape)
        ids = np.array(self.model.ids)[rows]
        found = self.index.codes_of(self.there(ids))
        np.testing.assert_array_equal(self.back(found), self.model.codes[rows])
        assert int(ids.reshape(-1)[0]) in self.index
        assert max(self.model.ids) + 1 not in self.index

    @rule(size=st.integers(1, 30))
    def go_through(self, size: int) -> None:
        chunks = [(self.back(ids), self.back(codes)) for ids, codes in self.index.chunks(size)]
        assert all(0 < len(ids) == len(codes) <= size for ids, codes in chunks)
        assert [i for ids, _ in chunks for i in ids.tolist()] == self.model.ids
        codes = np.concatenate([self.model.codes[:0], *(codes for _, codes in chunks)])
        np.testing.assert_array_equal(codes, self.model.codes)

    def _same(self, found: Any, expected: Any) -> None:
        for got, wanted in zip(found, expected, strict=True):
            array = self.back(got)
            np.testing.assert_array_equal(array, wanted)
            assert array.dtype == wanted.dtype

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()
