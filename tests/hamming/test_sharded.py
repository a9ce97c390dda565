"""Shards in one process find what NumPy finds in all of their codes, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hamming
from hamming import Index, arrays, dispatch
from hamming.sharded import Shards
from hamming.sharded.agreement import check_disjoint
from tests.hamming import oracle, strategies


class Cut(NamedTuple):
    """Shards, and what is in them, in their order."""

    indexes: list[Index]
    ids: np.ndarray
    codes: np.ndarray
    queries: np.ndarray
    mask: np.ndarray | None
    filter: Any


@st.composite
def cuts(draw: st.DrawFn) -> Cut:
    """Any problem, its ids in any order, cut into 1 to 5 shards, with removed rows in some."""
    problem = draw(strategies.problems(max_codes=300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = len(problem.db)
    ids = np.arange(n) * 3 + 5
    if draw(st.booleans()):
        rng.shuffle(ids)
    places = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    kept = rng.random(n) < draw(st.sampled_from([0.5, 1.0]))
    kept[rng.integers(n)] = True
    indexes = []
    for a, b in zip([0, *places], [*places, n], strict=True):
        index = Index(8 * problem.db.shape[1])
        for c, d in ((a, (a + b) // 2), ((a + b) // 2, b)):
            index.add(problem.db[c:d], ids=ids[c:d])
        index.remove(ids[a:b][~kept[a:b]])
        indexes.append(index)
    mask = None if problem.mask is None else problem.mask[kept]
    filter = mask
    if mask is not None and draw(st.booleans()):
        filter = rng.permutation(np.concatenate([ids[kept][mask], ids[~kept], [10**12]]))
    return Cut(indexes, ids[kept], problem.db[kept], problem.queries, mask, filter)


def expected_topk(cut: Cut, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, rows = oracle.topk(cut.queries, cut.codes, k, cut.mask)
    return distances, np.where(rows < 0, -1, cut.ids[np.maximum(rows, 0)])


def check(found: tuple[Any, ...], expected: tuple[np.ndarray, ...]) -> None:
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
        assert got.dtype == wanted.dtype
        assert got.flags.writeable


@given(cut=cuts(), data=st.data())
def test_any_cut_is_one_search(cut: Cut, data: st.DataObject) -> None:
    shards = Shards(cut.indexes)
    assert len(shards) == len(cut.ids)
    np.testing.assert_array_equal(shards.ids, cut.ids)
    k = data.draw(strategies.ks(len(shards)))
    check(shards.topk(cut.queries, k, filter=cut.filter), expected_topk(cut, k))
    radius = data.draw(st.integers(0, shards.n_bits + 1))
    distances, rows = (
        oracle.radius_search(cut.queries, cut.codes, radius, cut.mask)[i] for i in (1, 2)
    )
    offsets = oracle.radius_search(cut.queries, cut.codes, radius, cut.mask)[0]
    found = shards.radius_search(cut.queries, radius, filter=cut.filter, threads=1)
    check(found, (offsets, distances, cut.ids[rows]))


@settings(max_examples=20)
@given(cut=cuts(), data=st.data())
def test_it_is_what_one_index_finds(cut: Cut, data: st.DataObject) -> None:
    """Also where the oracle and the shards might err alike."""
    k = data.draw(strategies.ks(len(cut.ids)))
    whole = Index.concat(cut.indexes)
    check(
        Shards(cut.indexes).topk(cut.queries, k, filter=cut.filter),
        whole.topk(cut.queries, k, filter=cut.filter),
    )


@given(cut=cuts(), data=st.data())
def test_candidates_of_any_shard_are_rescored(cut: Cut, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    whole, shards = Index.concat(cut.indexes), Shards(cut.indexes)
    m = data.draw(st.integers(1, 20))
    ids = rng.choice(np.append(cut.ids, -1), (3, m))
    # Small whole numbers: many scores are equal.
    queries = rng.integers(-2, 3, (3, shards.n_bits)).astype(np.float32)
    k = data.draw(st.integers(1, m))
    check(shards.rescore(queries, ids, k), whole.rescore(queries, ids, k))
    one = shards.rescore(queries[0], ids[0], k)
    check(one, whole.rescore(queries[0], ids[0], k))


def test_what_no_shard_has_is_named() -> None:
    shards = Shards([shard(0, 10), Index(32), shard(10, 60)])
    queries = np.ones((2, 32))
    with pytest.raises(ValueError, match=r"^ids: expected ids of the index, got 60 and 1 more,"):
        shards.rescore(queries, np.array([[3, 60], [70, -1]]), 1)
    with pytest.raises(ValueError, match=r"^queries: expected shape \(n_queries, 32\)"):
        shards.rescore(queries[:, :8], np.array([[3], [4]]), 1)
    with pytest.raises(ValueError, match=r"^k: expected at most the 1 candidates"):
        shards.rescore(queries, np.array([[3], [4]]), 2)
    with pytest.raises(ValueError, match=r"^ids: expected \(2, m\) candidates"):
        shards.rescore(queries, np.array([3, 4]), 1)
    with pytest.raises(ValueError, match=r"^queries: .*finite"):
        shards.rescore(np.full((1, 32), np.nan), np.array([[3]]), 1)
    with pytest.raises(TypeError, match=r"^queries: expected "):
        shards.rescore(queries.astype(np.int64), np.array([[3], [4]]), 1)


def test_no_queries_are_rescored_to_nothing() -> None:
    found = Shards([shard(0, 10), shard(10, 60)]).rescore(
        np.zeros((0, 32), np.float32), np.zeros((0, 3), np.int64), 2
    )
    assert [x.shape for x in found] == [(0, 2), (0, 2)]


def test_rescored_torch_queries_stay_torch() -> None:
    torch = pytest.importorskip("torch")
    shards = Shards([shard(0, 10), shard(10, 60)])
    queries = torch.randn(2, 32).bfloat16()
    ids = torch.tensor([[3, 30], [5, 50]])
    found = shards.rescore(queries, ids, 2)
    whole = Index.concat([shard(0, 10), shard(10, 60)]).rescore(queries, ids, 2)
    assert all(torch.equal(a, b) for a, b in zip(found, whole, strict=True))


CODES = np.random.default_rng(0).integers(0, 4, (60, 4), np.uint8)


def shard(begin: int, end: int, first: int | None = None) -> Index:
    first = begin if first is None else first
    return Index.from_codes(CODES[begin:end], ids=np.arange(first, first + end - begin))


def test_one_code_as_query() -> None:
    shards = Shards([shard(0, 10), shard(10, 60)])
    distances, ids = shards.topk(CODES[12], 40)
    assert distances.shape == ids.shape == (40,)
    check((distances, ids), tuple(x[0] for x in oracle.topk(CODES[12:13], CODES, 40)))
    check(shards.radius_search(CODES[12], 3), oracle.radius_search(CODES[12:13], CODES, 3))


def test_torch_in_torch_out() -> None:
    torch = pytest.importorskip("torch")
    found = Shards([shard(0, 10), shard(10, 60)]).topk(torch.from_numpy(CODES[:3]), 5)
    assert all(isinstance(x, torch.Tensor) for x in found)
    check(tuple(x.numpy() for x in found), oracle.topk(CODES[:3], CODES, 5))


def test_later_changes_of_an_index_are_not_seen() -> None:
    index = Index(32)
    index.add(CODES[:20])
    shards = Shards([index, shard(20, 60)])
    index.remove([0])
    index.add(CODES[:1], ids=[30])
    check(shards.topk(CODES[:2], 60), oracle.topk(CODES[:2], CODES, 60))


class Elsewhere(Index):
    """An index that says it lies on another device, for the paths between devices."""

    def __init__(self, n_bits: int) -> None:
        super().__init__(n_bits)
        self.place = "cpu"
        self.meet: Callable[[], object] = list

    def put(self, place: str, meet: Callable[[], object]) -> Elsewhere:
        self.place, self.meet = place, meet
        return self

    def snapshot(self) -> Elsewhere:
        return super().snapshot().put(self.place, self.meet)

    @property
    def device(self) -> str:
        return self.place

    def topk(self, *args: Any, **options: Any) -> Any:
        self.meet()
        return Index.concat([self]).topk(*args, **options)


@contextmanager
def on_no_device(device: str) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    yield lambda array: array


def test_devices_search_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices meet at a barrier that one after the other would never pass."""
    monkeypatch.setattr(arrays, "on_device", on_no_device)
    barrier, backends = threading.Barrier(2), []

    def meet() -> None:
        barrier.wait(timeout=20)
        backends.append(dispatch.choose("cpu").name)

    indexes = []
    for begin, place, action in ((0, "one", meet), (20, "two", meet), (40, "one", list)):
        ids = np.arange(begin, begin + 20)
        index = Elsewhere.from_codes(CODES[begin : begin + 20], ids=ids)
        indexes.append(index.put(place, action))
    with hamming.use_backend("reference"):
        found = Shards(indexes).topk(CODES[:3], 50)
    check(found, oracle.topk(CODES[:3], CODES, 50))
    assert backends == ["reference", "reference"]


def test_messages() -> None:
    shards = Shards([shard(0, 10), shard(10, 60)])
    empty = Shards([Index(32), Index(32)])
    for message, call in {
        r"^indexes: expected at least one Index, got none; ": lambda: Shards([]),
        r"^shard 1: expected codes of 32 bits like those of shard 0, got 8; ": lambda: Shards(
            [shard(0, 10), Index(8)]
        ),
        r"^ids: expected each in one shard only, got 5 in shards 0 and 2; give ": lambda: Shards(
            [shard(0, 6), shard(10, 20), shard(20, 30, first=5)]
        ),
        r"^k: expected at most the 60 codes of the database, got 61; ": lambda: shards.topk(
            CODES[:2], 61
        ),
        r"^radius: expected at least 0, got -1; ": lambda: shards.radius_search(CODES[:2], -1),
        r"^filter: expected shape \(60,\), one bool a code, or int64 ids, got \(10,\)": (
            lambda: shards.topk(CODES[:2], 1, filter=np.ones(10, bool))
        ),
        r"^query_codes: expected shape \(n_queries, 4\) or \(4,\) for 32-bit codes, got \(2, 3\)": (
            lambda: shards.topk(CODES[:2, :3], 1)
        ),
        r"^index: expected at least one code, got none; ": lambda: empty.topk(CODES[:2], 1),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match=r"^indexes: expected a list of hamming\.Index, got \['nd"):
        Shards([CODES])
    with pytest.raises(TypeError, match=r"^filter: expected integer ids, got dtype float64; "):
        shards.topk(CODES[:2], 1, filter=np.ones(10))
    assert len(empty.radius_search(CODES[:2], 3).offsets) == 3


def test_ids_are_compared_only_where_ranges_overlap() -> None:
    asked = []

    def ids_of(shard: int) -> np.ndarray:
        asked.append(shard)
        return np.array([[0, 9], [10, 19], [15, 30], [40, 49], []][shard])

    check_disjoint([(0, 9), (10, 19), (15, 30), (40, 49), None], ids_of)
    assert asked == [1, 2]
