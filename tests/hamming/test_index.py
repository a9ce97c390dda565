"""An index against a list, whatever is done to it and in which order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
from hypothesis.stateful import run_state_machine_as_test

import hamming
from hamming.index import segments, state
from hamming.index.tail import Tail
from tests.hamming.index_model import IndexMachine

# As they are, an index of some dozens of codes is one segment, and every id filter a copied row.
SMALL = {"few segments": (1 << 20, 32, 16), "many": (1, 4, 2), "masks": (40, 3, 0)}


@pytest.mark.parametrize("sizes", SMALL)
def test_every_sequence(backend: str, sizes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room, most, gather = SMALL[sizes]
    monkeypatch.setattr(state, "MIN_BYTES", room)
    monkeypatch.setattr(state, "MAX_SEGMENTS", most)
    monkeypatch.setattr(segments, "GATHER", gather)
    examples = hypothesis.settings().max_examples // 4  # fewer where kernels are emulated
    settings = hypothesis.settings(max_examples=examples, stateful_step_count=40)
    run_state_machine_as_test(IndexMachine, settings=settings)


RNG = np.random.default_rng(8)
DB = RNG.integers(0, 256, (2000, 8), np.uint8)
QUERIES = RNG.integers(0, 256, (3, 8), np.uint8)


def test_an_array_is_searched_where_it_lies() -> None:
    index = hamming.Index.from_codes(DB)
    assert np.shares_memory(index.codes, DB)
    for got, expected in zip(index.topk(QUERIES, 9), hamming.topk(QUERIES, DB, 9), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_growth_copies_nothing_that_is_stored() -> None:
    """The first segment is the caller's array still; rows of the second stay where they are."""
    index = hamming.Index.from_codes(DB)
    index.add(DB[:10])
    grown = index._state.segments[1].codes
    for _ in range(50):
        index.add(DB[:10])
    first, second = index._state.segments
    assert first.codes is DB
    assert second.codes[:10].ctypes.data == grown.ctypes.data
    joined = hamming.Index.concat([hamming.Index.from_codes(DB, ids=range(9000, 11_000)), index])
    assert [s.codes.ctypes.data for s in joined._state.segments] == [
        DB.ctypes.data,
        *(s.codes.ctypes.data for s in index._state.segments),
    ]


def test_a_thousand_single_adds_make_few_segments(monkeypatch) -> None:
    monkeypatch.setattr(state, "MIN_BYTES", 8)
    index = hamming.Index(8)
    for _ in range(1000):
        index.add(DB[:1, :1])
    assert len(index._state.segments) <= 11


def test_removed_memory_is_freed() -> None:
    """A segment of the index's own keeps less than half; an array of the caller's stays."""
    for index, rows in [(hamming.Index(64), 800), (hamming.Index.from_codes(DB), 2000)]:
        if not len(index):
            index.add(DB)
        index.remove(np.arange(1200))
        assert len(index._state.segments[0].codes) == rows
        np.testing.assert_array_equal(index.codes, DB[1200:])


def test_ids_follow_the_largest_one_so_far() -> None:
    index = hamming.Index(64)
    index.add(DB[:2])
    index.add(DB[2:3], ids=[70])
    index.add(DB[3:5])
    index.remove(72)
    index.add(DB[5:6])
    assert index.ids.tolist() == [0, 1, 70, 71, 73]
    assert index.ids.dtype == np.int64


def test_ids_that_follow_each_other_take_no_memory(tmp_path) -> None:
    index = hamming.Index.from_codes(DB[:10], ids=np.arange(50, 60))
    index.add(DB[10:20], ids=list(range(60, 70)))
    index.save(tmp_path / "index")
    assert (tmp_path / "index").stat().st_size < 20 * 8 + 1000
    assert b"range:50" in (tmp_path / "index").read_bytes()
    assert index.ids.tolist() == list(range(50, 70))


def test_the_last_ids_there_are() -> None:
    index = hamming.Index(64)
    index.add(DB[:1], ids=[2**63 - 3])
    index.add(DB[1:2])
    assert index.ids.tolist() == [2**63 - 3, 2**63 - 2]
    with pytest.raises(ValueError, match=r"^ids: expected ids for codes added after id 9223372036"):
        index.add(DB[2:3])
    index.add(DB[2:4], ids=range(2))
    index.remove(range(0))
    assert len(index) == 4


def test_an_id_may_come_again_and_is_the_last_then() -> None:
    index = hamming.Index.from_codes(np.zeros((4, 1), np.uint8))
    index.remove([1])
    index.add(np.zeros((1, 1), np.uint8), ids=[1])
    assert index.topk(np.zeros(1, np.uint8), 4).indices.tolist() == [0, 2, 3, 1]


def test_what_is_given_and_taken_cannot_change_it() -> None:
    ids = np.array([5, 1, 9])
    index = hamming.Index.from_codes(DB[:3].copy(), ids=ids)
    ids[:] = 7
    assert index.ids.tolist() == [5, 1, 9]
    for array in (index.ids, index.codes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_memory_map_is_searched_as_a_plain_array(tmp_path) -> None:
    np.save(tmp_path / "codes.npy", DB)
    index = hamming.Index.from_codes(np.load(tmp_path / "codes.npy", mmap_mode="r"))
    assert type(index.codes) is np.ndarray
    assert not index.codes.flags.owndata


def test_torch_in_torch_out() -> None:
    torch = pytest.importorskip("torch")
    index = hamming.Index.from_codes(torch.from_numpy(DB), ids=torch.arange(2000).flip(0))
    index.add(torch.from_numpy(DB[:5]), ids=torch.arange(3000, 3005))
    found = index.topk(torch.from_numpy(QUERIES), 4)
    assert isinstance(found.indices, torch.Tensor)
    chosen = index.topk(torch.from_numpy(QUERIES), 4, filter=torch.tensor([3, 3001]))
    assert set(chosen.indices.unique().tolist()) == {-1, 3, 3001}
    values = torch.randn(3, 64, dtype=torch.bfloat16)
    rescored = index.rescore(values, found.indices, 2)
    assert isinstance(rescored.indices, torch.Tensor)
    assert isinstance(index.radius_search(torch.from_numpy(QUERIES), 9).offsets, torch.Tensor)


@pytest.mark.parametrize("sizes", [(1 << 20, 32), (64, 3)])
def test_readers_see_whole_adds_and_removals(sizes: tuple[int, int], monkeypatch) -> None:
    """One thread adds blocks of 7 equal codes and removes whole blocks; others count what they see.

    A search of a radius of 0 finds 0 or 7 of a block, whatever happens meanwhile.
    """
    monkeypatch.setattr(state, "MIN_BYTES", sizes[0])
    monkeypatch.setattr(state, "MAX_SEGMENTS", sizes[1])
    index, done = hamming.Index(16), threading.Event()
    blocks = np.arange(120, dtype=np.uint16)
    codes = blocks.astype(">u2").view(np.uint8).reshape(-1, 2)

    def read() -> tuple[int, set[int]]:
        searches, counts = 0, set[int]()
        while not done.is_set() or not searches:
            found = index.radius_search(codes, 0, threads=1)
            counts |= set(np.diff(found.offsets).tolist())
            snapshot = index.snapshot()
            assert len(snapshot.ids) == len(snapshot.codes) == len(snapshot)
            assert len(snapshot) % 7 == 0
            searches += 1
        return searches, counts

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for round_ in range(3):
                for block in range(len(blocks)):
                    first = 7 * (round_ * len(blocks) + block)
                    ids = first + RNG.permutation(7)
                    index.add(np.repeat(codes[block : block + 1], 7, axis=0), ids=ids)
                    if block % 3 == 2:
                        index.remove(np.arange(first - 7, first))
                index.remove(index.ids)
        finally:
            done.set()
        for reader in readers:
            searches, counts = reader.result()
            assert searches > 0
            assert counts <= {0, 7}


def test_writers_wait_for_each_other() -> None:
    index = hamming.Index(64)

    def write(first: int) -> None:
        for step in range(50):
            index.add(DB[:3], ids=first + 3 * step + np.arange(3))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 4000, 1000)))
    assert len(index) == 600
    assert len(set(index.ids.tolist())) == 600


def test_ids_of_many_parts_are_compared_where_their_ranges_overlap(monkeypatch) -> None:
    """Once for each group of ranges that overlap, not for each pair of parts."""
    looked_at = []
    live_ids = segments.Segment.live_ids
    monkeypatch.setattr(
        segments.Segment, "live_ids", lambda self: looked_at.append(len(self)) or live_ids(self)
    )
    apart = [hamming.Index.from_codes(DB[:2], ids=[10 * i, 10 * i + 5]) for i in range(50)]
    assert len(hamming.Index.concat(apart)) == 100
    assert looked_at == []
    over = [hamming.Index.from_codes(DB[:2], ids=[i, 1000 + i]) for i in range(50)]
    assert len(hamming.Index.concat([*over, *apart[11:]])) == 178
    assert len(looked_at) <= 100
    with pytest.raises(ValueError, match=r"^ids: expected each once, got 7 a second time"):
        hamming.Index.concat([*over, hamming.Index.from_codes(DB[:1], ids=[7])])
    freed = hamming.Index.concat([over[7]])
    freed.remove(7)
    hamming.Index.concat([*over[:7], freed, *over[8:], hamming.Index.from_codes(DB[:1], ids=[7])])


def test_what_is_no_id_is_not_in_it() -> None:
    index = small()
    assert np.int32(9) in index
    assert [number in index for number in (4, -1, 3, 2**63 - 1, 2**70)] == [True] + 4 * [False]


def test_a_small_part_costs_a_large_one_no_sort(monkeypatch) -> None:
    large = hamming.Index.from_codes(DB, ids=RNG.permutation(5000)[:2000])
    new = np.setdiff1d(np.arange(5000), large.ids)[:3]
    small_one = hamming.Index.from_codes(DB[:3], ids=new)
    hamming.Index.concat([large, small_one])  # sorts the large one
    sizes = []
    sort, argsort = np.sort, np.argsort
    monkeypatch.setattr(np, "sort", lambda x, *a, **o: sizes.append(len(x)) or sort(x, *a, **o))
    monkeypatch.setattr(
        np, "argsort", lambda x, *a, **o: sizes.append(len(x)) or argsort(x, *a, **o)
    )
    assert len(hamming.Index.concat([large, small_one])) == 2003
    assert sum(sizes) <= 6
    with pytest.raises(ValueError, match=r"^ids: expected each once, got \d+ a second time"):
        hamming.Index.concat([large, hamming.Index.from_codes(DB[:1], ids=large.ids[7:8])])


def test_a_set_is_a_filter() -> None:
    index = hamming.Index.from_codes(DB)
    found = index.topk(QUERIES, 9, filter={3, 30, 300})
    for got, expected in zip(found, index.topk(QUERIES, 9, filter=[3, 30, 300]), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_failed_add_leaves_nothing(monkeypatch) -> None:
    index = hamming.Index(64)
    index.add(DB[:5])

    def fail(*args: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Tail, "_with_ids", fail)
        with pytest.raises(MemoryError):
            index.add(DB[5:10])
    assert len(index) == 5
    index.add(DB[10:12])
    np.testing.assert_array_equal(index.codes, DB[[0, 1, 2, 3, 4, 10, 11]])


def small() -> hamming.Index:
    return hamming.Index.from_codes(np.zeros((3, 2), np.uint8), n_bits=13, ids=[4, 2, 9])


CODE = np.zeros((1, 2), np.uint8)
MESSAGES = [
    (lambda: hamming.Index(0), "n_bits: expected at least 1, got 0; "),
    (lambda: hamming.Index(2**24), "n_bits: expected at most 16777208, got 16777216; "),
    (
        lambda: hamming.Index.from_codes(CODE, 7),
        "codes: expected 1 bytes a code for 7 bits, got sh",
    ),
    (
        lambda: hamming.Index.from_codes(CODE + 1, 13),
        "codes: expected zeros behind the 13 bits of a",
    ),
    (
        lambda: hamming.Index.from_codes(CODE, ids=[1, 2]),
        r"ids: expected shape \(1,\), one id a code",
    ),
    (
        lambda: small().add(CODE, ids=[-1]),
        "ids: expected at least 0, got -1; -1 stands for no code",
    ),
    (lambda: small().add(CODE, ids=[2**63 - 1]), r"ids: expected at most 2\*\*63 - 2, got 92"),
    (lambda: small().add(CODE, ids=[9]), "ids: expected each once, got 9 a second time; "),
    (lambda: small().add(CODE, ids=[1.0]), "ids: expected integer ids, got dtype float64; "),
    (lambda: small().add(CODE, ids="1"), "ids: expected a NumPy array, torch tensor or DLPack"),
    (
        lambda: small().add(CODE[:, :1]),
        r"codes: expected 2 bytes a code for 13 bits, got shape \(1, 1",
    ),
    (lambda: small().add(CODE[0]), r"codes: expected shape \(n_codes, n_bytes\), got \(2,\); "),
    (
        lambda: small().add(CODE + 7),
        "codes: expected zeros behind the 13 bits of a code, got a one",
    ),
    (lambda: small().remove([4, 5, 6]), "ids: expected ids of the index, got 5 and 1 more, which "),
    (lambda: hamming.Index(13).topk(CODE, 1), "index: expected at least one code, got none; "),
    (lambda: small().topk(CODE, 4), "k: expected at most the 3 codes of the database, got 4; "),
    (
        lambda: small().topk(CODE[:, :1], 1),
        r"query_codes: expected shape \(n_queries, 2\) or \(2,\) f",
    ),
    (lambda: small().topk(CODE + 1, 1), "query_codes: expected zeros behind the 13 bits of a code"),
    (
        lambda: small().topk(CODE, 1, filter=[True]),
        r"filter: expected shape \(3,\), one bool a code, ",
    ),
    (
        lambda: small().topk(CODE, 1, filter=[0.5]),
        "filter: expected integer ids, got dtype float64; ",
    ),
    (
        lambda: small().topk(CODE, 1, filter=np.array([1, 0, 1], np.uint8)),
        "filter: expected bool or int64 ids, got dtype uint8; cast a mask with .astype",
    ),
    (lambda: small().codes_of([4, 3]), "ids: expected ids of the index, got 3, which it does not"),
    (lambda: hamming.Index(13).codes_of(0), "ids: expected ids of the index, got 0, which it do"),
    (lambda: "4" in small(), "id: expected an integer, got str; ask for one id"),
    (lambda: small().save("there/"), "path: expected the path of a file, got 'there/'; name a f"),
    (lambda: small().save("there/."), "path: expected the path of a file, got 'there/.'; name a"),
    (lambda: small().save(".."), r"path: expected the path of a file, got '\.\.'; name a file"),
    (lambda: small().radius_search(CODE, -1), "radius: expected at least 0, got -1; "),
    (
        lambda: small().rescore(np.ones((1, 16)), [[4]], 1),
        r"queries: expected shape \(n_queries, 13\)",
    ),
    (
        lambda: small().rescore(np.ones((1, 13)), [4], 1),
        r"ids: expected \(1, m\) candidates for que",
    ),
    (
        lambda: small().rescore(np.ones((1, 13)), [[5]], 1),
        "ids: expected ids of the index, got 5, wh",
    ),
    (
        lambda: small().rescore(np.ones((1, 13)), [[-2]], 1),
        "ids: expected ids of the index, got -2",
    ),
    (
        lambda: small().remove([[1], [2, 3]]),
        "ids: expected a list of ids, got lists in it; give one",
    ),
    (lambda: small().save(""), "path: expected the path of a file, got ''; name a file"),
    (
        lambda: small().save("a\0b"),
        r"path: expected the path of a file, got 'a\\x00b'; name a file",
    ),
    (
        lambda: small().save(None),
        "path: expected a string or pathlib.Path, got NoneType; give the ",
    ),
    (lambda: hamming.Index.load(b"x"), "path: expected a string or pathlib.Path, got bytes; give "),
    (lambda: hamming.Index.concat(5), "indexes: expected a list of Index, got int; pass a list"),
    (lambda: small().to("gpu"), "device: expected 'cpu', 'cuda' or 'cuda:N', got 'gpu'; "),
    (lambda: hamming.Index.concat([]), "indexes: expected at least one index, got none; "),
    (lambda: hamming.Index.concat([CODE]), "indexes: expected a list of Index, got ndarray; "),
    (
        lambda: hamming.Index.concat([small(), small()]),
        "ids: expected each once, got 2 a second time",
    ),
    (
        lambda: hamming.Index.concat([small(), hamming.Index(9)]),
        "indexes: expected one n_bits, got 13 ",
    ),
]


@pytest.mark.parametrize("number", range(len(MESSAGES)))
def test_messages(number: int) -> None:
    call, text = MESSAGES[number]
    with pytest.raises((ValueError, TypeError), match=f"^{text}"):
        call()


def test_without_a_gpu_there_is_one_sentence() -> None:
    if "cuda" in hamming.backends():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=r"^device: expected one .*got cuda:0 \(.*'cpu'$"):
        small().to("cuda")
