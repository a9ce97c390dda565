"""Searches on the emulated device, every kernel and every step of the selection, against NumPy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hamming
from hamming.backends import cuda_plan
from hamming.backends.cuda_plan import Facts, Shape, TopkPlan, Tuning
from hamming.backends.cuda_search import Searcher, Selection
from tests.cuda.device import AMPERE, HOPPER, SMALL, TURING, EmulatedBackend, emulated
from tests.hamming import oracle
from tests.hamming.strategies import codes

# Device, queries, bytes: each pair of a kernel and a way to load rows. Odd widths have no aligned
# loads at all.
CASES = [
    *((TURING, 1, n_bytes) for n_bytes in (3, 4, 8, 13, 16, 32, 96, 128, 260)),
    *((TURING, 3, n_bytes) for n_bytes in (8, 32)),
    *((AMPERE, 5, n_bytes) for n_bytes in (3, 8, 13, 16, 32, 64, 96, 128, 192, 256)),
    *((AMPERE, 20, n_bytes) for n_bytes in (8, 32)),
    *((HOPPER, 7, n_bytes) for n_bytes in (3, 8, 12, 13, 16, 32, 64, 96, 128)),
    (HOPPER, 150, 32),
]
KINDS = ["random", "equal", "few", "hundred", "descending", "low_entropy"]
EXAMPLES = settings(max_examples=6)


def name_of(case: object) -> str:
    return f"sm_{case.capability[0]}{case.capability[1]}" if isinstance(case, Facts) else str(case)


cases = pytest.mark.parametrize(("facts", "n_queries", "n_bytes"), CASES, ids=name_of)


def aligned(array: np.ndarray, offset: int = 0) -> np.ndarray:
    """A copy at a multiple of 16 bytes, plus `offset`."""
    room = np.empty(array.nbytes + 32, np.uint8)
    start = -room.ctypes.data % 16 + offset
    view = room[start : start + array.nbytes].reshape(array.shape)
    view[:] = array
    return view


@cache
def backend_of(facts: Facts, tuning: Tuning, seed: int) -> EmulatedBackend:
    return emulated(facts, tuning, seed)


def check_topk(
    backend: EmulatedBackend,
    queries: np.ndarray,
    db: np.ndarray,
    k: int,
    mask: np.ndarray | None = None,
) -> None:
    with hamming.use_backend(backend):
        found = hamming.topk(queries, db, k, mask=mask)
    distances, indices = oracle.topk(queries, db, k, mask)
    np.testing.assert_array_equal(found.distances, distances)
    np.testing.assert_array_equal(found.indices, indices)


@cases
@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    n_codes=st.sampled_from([1, 63, 64, 65, 127, 129, 4100]) | st.integers(1, 700),
    k=st.sampled_from([1, 2, 31, 33, 65]) | st.integers(1, 700),
    share=st.sampled_from([None, None, 0.0, 0.02, 0.5, 1.0]),
)
def test_topk(
    facts: Facts, n_queries: int, n_bytes: int, seed: int, kind: str, n_codes: int, k: int, share
) -> None:
    rng = np.random.default_rng(seed)
    db = aligned(codes(rng, n_codes, n_bytes, kind))
    queries = codes(rng, n_queries, n_bytes, "random")
    queries[0] = 0
    mask = None if share is None else rng.random(n_codes) < share
    check_topk(backend_of(facts, SMALL, seed % 3), queries, db, min(k, n_codes), mask)


def test_the_cases_run_every_kernel() -> None:
    variants = {
        cuda_plan.scan_for(Shape(n_queries, 1000, n_bytes, 16), facts, SMALL).variant
        for facts, n_queries, n_bytes in CASES
    }
    assert variants == {"popc", "mma", "wgmma"}


@pytest.mark.parametrize("facts", [TURING, AMPERE, HOPPER], ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_floods_of_every_segment(facts: Facts, kind: str) -> None:
    """Room for a handful of hits, in many segments: ties are placed by chunks."""
    rng = np.random.default_rng(1)
    db = aligned(codes(rng, 30_000, 8, kind))
    queries = codes(rng, 6, 8, "random")
    queries[0] = 0
    backend = backend_of(facts, replace(SMALL, sample_codes=0, least_hits=4), 0)
    mask = rng.random(len(db)) < 0.6
    for k in (1, 5, 70):
        check_topk(backend, queries, db, k)
        check_topk(backend, queries, db, k, mask)


@pytest.mark.parametrize("kind", ["random", "equal", "descending"])
@pytest.mark.parametrize(("facts", "n_queries"), [(AMPERE, 40), (HOPPER, 40), (HOPPER, 130)])
def test_hits_that_are_added_up_beforehand(facts: Facts, n_queries: int, kind: str) -> None:
    tuning = replace(SMALL, tally=True, wgmma_queries=100)
    shape = Shape(n_queries, 3_000, 32, 16)
    assert ("HAMMING_TALLY", 1) in cuda_plan.scan_for(shape, facts, tuning).kernel.defines
    rng = np.random.default_rng(2)
    db = aligned(codes(rng, 3_000, 32, kind))
    queries = codes(rng, n_queries, 32, "random")
    queries[0], queries[-1] = 0, db[5]
    backend = backend_of(facts, tuning, 1)
    for k in (1, 40):
        check_topk(backend, queries, db, k)


def test_ties_are_ranked_over_chunks() -> None:
    """The wanted ties end in the third chunk, and chunks have different numbers of them."""
    tuning = replace(SMALL, sample_codes=0, least_hits=4)
    segments = cuda_plan.topk_plan(Shape(1, 40_000, 8, 16), 70, tuning).segments
    begin, end = segments[2]
    chunk = cuda_plan.tie_chunk_codes(end - begin, tuning)
    assert 2 * chunk < end - begin <= 3 * chunk
    ones = np.full(40_000, 40)
    ones[:begin] = 10
    for place, ties in enumerate([50, 10, 1000]):
        ones[begin + place * chunk + 7 * np.arange(ties) % chunk] = 5
    db = aligned(np.packbits(np.arange(64) < ones[:, None], axis=1))
    check_topk(backend_of(TURING, tuning, 0), np.zeros((1, 8), np.uint8), db, 70)


def test_floods_happen_and_need_their_kernels() -> None:
    """The tie kernels are what the test above is about: without them it fails."""
    db = np.zeros((30_000, 8), np.uint8)
    backend = emulated(TURING, replace(SMALL, sample_codes=0, least_hits=4))
    device = backend.make_device()
    launch = device.launch
    device.launch = lambda kernel, grid, args: (
        None if kernel.entry == "place_ties" else launch(kernel, grid, args)
    )
    with pytest.raises(AssertionError):
        check_topk(backend, db[:1], db, 3)


def test_large_k_is_merged_from_tiles() -> None:
    rng = np.random.default_rng(2)
    db = aligned(codes(rng, 9_000, 4, "random"))
    queries = codes(rng, 2, 4, "random")
    backend = backend_of(TURING, Tuning(sample_codes=64, least_hits=64), 0)
    for k in (2048, 2049, 4097, 8192, 9_000):
        check_topk(backend, queries, db, k)


class LastRows(Searcher):
    """Searches a database as the last rows of one that has FIRST rows before them."""

    FIRST = 2**33

    def shape(self, n_queries: int) -> Shape:
        return replace(super().shape(n_queries), n_codes=self.FIRST + len(self.db))

    def search(self, shape: Shape, words: np.ndarray, selection: Selection) -> np.void:
        record = super().search(shape, words, selection)
        record["codes"] -= self.FIRST * shape.n_bytes  # never read there
        record["mask"] -= self.FIRST
        return record


@pytest.mark.parametrize("facts", [TURING, AMPERE, HOPPER], ids=name_of)
@pytest.mark.parametrize("capacity", [64, 5000])
def test_rows_that_32_bits_cannot_number(facts: Facts, capacity: int) -> None:
    rng = np.random.default_rng(3)
    db, queries = aligned(codes(rng, 4500, 8, "low_entropy")), codes(rng, 6, 8, "low_entropy")
    mask = rng.random(len(db)) < 0.7
    device = emulated(facts).make_device()
    searcher = LastRows(device, db, mask.view(np.uint8), SMALL)
    bounds = [searcher.FIRST, searcher.FIRST + 2048, searcher.FIRST + len(db)]
    plan = TopkPlan(6, capacity, 0, 0, tuple(pairwise(bounds)))
    distances, indices = np.empty((6, 9), np.int32), np.empty((6, 9), np.int64)
    searcher._topk_block(plan, queries, 9, distances, indices)
    expected = oracle.topk(queries, db, 9, mask)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(indices, expected[1] + searcher.FIRST)


@pytest.mark.parametrize("facts", [TURING, AMPERE, HOPPER], ids=name_of)
@pytest.mark.parametrize("offset", [1, 2, 4, 8])
def test_views_at_odd_addresses(facts: Facts, offset: int) -> None:
    rng = np.random.default_rng(offset)
    db = aligned(codes(rng, 400, 32, "random"), offset)
    check_topk(backend_of(facts, SMALL, 0), codes(rng, 6, 32, "random"), db, 9)


@pytest.mark.parametrize("facts", [TURING, AMPERE, HOPPER], ids=name_of)
@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    n_codes=st.integers(1, 3000),
    radius=st.integers(0, 70),
    masked=st.booleans(),
)
def test_radius_search(
    facts: Facts, seed: int, kind: str, n_codes: int, radius: int, masked: bool
) -> None:
    rng = np.random.default_rng(seed)
    db = aligned(codes(rng, n_codes, 8, kind))
    queries = codes(rng, 6, 8, "random")
    queries[0] = 0
    mask = rng.random(n_codes) < 0.5 if masked else None
    with hamming.use_backend(backend_of(facts, SMALL, seed % 3)):
        found = hamming.radius_search(queries, db, radius, mask=mask)
    for got, expected in zip(found, oracle.radius_search(queries, db, radius, mask), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("n_bytes", [3, 4, 8, 13, 32, 128])
def test_distance(n_bytes: int) -> None:
    rng = np.random.default_rng(n_bytes)
    db, queries = aligned(codes(rng, 300, n_bytes, "random")), codes(rng, 2, n_bytes, "random")
    with hamming.use_backend(backend_of(TURING, SMALL, 0)):
        found = hamming.distance(queries, db)
    np.testing.assert_array_equal(found, oracle.distances(queries, db))


def test_nothing_to_search_for() -> None:
    db = np.zeros((10, 8), np.uint8)
    with hamming.use_backend(backend_of(TURING, SMALL, 0)):
        assert hamming.topk(db[:0], db, 3).indices.shape == (0, 3)
        assert hamming.radius_search(db[:0], db, 3).offsets.tolist() == [0]
        assert hamming.radius_search(db[:2], db[:0], 3).offsets.tolist() == [0, 0, 0]
        assert hamming.distance(db[:0], db).shape == (0, 10)
