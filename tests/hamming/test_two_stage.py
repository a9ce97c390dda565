"""Two-stage search: candidates by codes, re-scored, re-ranked by stored embeddings."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hamming
from hamming import reranking
from tests.hamming.staged import N_BITS, equal, expected, made


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 30),
    more=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    threshold=st.sampled_from(["zero", "number", "each"]),
    block=st.sampled_from([1, 100, 2**20]),
)
def test_equals_the_stages_one_after_the_other(seed, k, more, threshold, block) -> None:
    values, queries = made(200, seed)
    rng = np.random.default_rng(seed)
    limit = {"zero": 0.0, "number": 0.25, "each": rng.normal(size=N_BITS)}[threshold]
    sizes = (k + max(more), k + min(more))
    index = hamming.Index.from_codes(hamming.pack(values, threshold=limit), N_BITS)
    search = hamming.TwoStageSearch(index, values, threshold=limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranking, "_BLOCK", block)
        result = search(queries, k, candidates=sizes[0], rescored=sizes[1])
    equal(result, *expected(queries, values, values, k, sizes, limit))


def test_without_embeddings_the_scores_are_those_of_the_codes() -> None:
    values, queries = made()
    index = hamming.Index.from_codes(hamming.pack(values, threshold=0.5), N_BITS)
    result = hamming.TwoStageSearch(index, threshold=0.5)(queries, 7, candidates=50)
    signs = np.where(values > 0.5, 1.0, -1.0)
    shifted = np.where(values > 0.5, 1, -1).astype(np.float64), queries.astype(np.float64) - 0.5
    _, rows = expected(queries, values, signs, 50, (50, 50), 0.5)
    scores = np.take_along_axis(shifted[1] @ shifted[0].T, rows, axis=1)
    for q in range(len(queries)):
        order = np.lexsort((rows[q], -scores[q].astype(np.float32)))[:7]
        np.testing.assert_array_equal(result.indices[q], rows[q][order])
        np.testing.assert_allclose(result.scores[q], scores[q][order], rtol=1e-5)


def test_the_numbers_of_candidates_by_default() -> None:
    values, queries = made(2000)
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    search = hamming.TwoStageSearch(index, values)
    for k, sizes in ((3, (200, 100)), (20, (400, 200)), (150, (2000, 1000)), (1500, (2000, 1500))):
        equal(search(queries, k), *expected(queries, values, values, k, sizes))
    equal(search(queries, 60, candidates=100), *expected(queries, values, values, 60, (100, 60)))


def test_candidates_are_clipped_to_the_index() -> None:
    values, queries = made(30)
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    result = hamming.TwoStageSearch(index, values)(queries, 30, candidates=10**6, rescored=10**6)
    exact = queries.astype(np.float64) @ values.astype(np.float64).T
    np.testing.assert_array_equal(result.indices, np.argsort(-exact, axis=1, kind="stable"))


def test_values_that_only_stage_2_cannot_hold_are_fine_without_it() -> None:
    values, queries = made(30)
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    search = hamming.TwoStageSearch(index, values)
    expected = search(queries, 3, candidates=30, rescored=30)
    tiny = search(queries.astype(np.float64) * 1e-36, 3, candidates=30, rescored=30)
    np.testing.assert_array_equal(tiny.indices, expected.indices)
    with pytest.raises(ValueError, match=r"^queries: expected L1 norms"):
        search(queries.astype(np.float64) * 1e-36, 3, candidates=30, rescored=20)


def test_equal_scores_go_to_the_code_added_earlier() -> None:
    """Equal rows, different codes: neither the distance nor stage 2 may decide."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (500, 8), np.uint8)
    ids = rng.permutation(10_000)[:500]
    rows = rng.integers(0, 2, (4, 16)).astype(np.float32)[rng.integers(4, size=500)]
    index = hamming.Index.from_codes(codes, ids=ids)
    encode = lambda queries: np.repeat(queries, 4, axis=1)  # noqa: E731
    queries = rng.normal(size=(3, 16)).astype(np.float32)
    # Integers of any width, in an array or a list.
    search = hamming.TwoStageSearch(index, rows, ids=ids.astype(np.uint32).tolist(), encode=encode)
    for m in (500, 37):
        result = search(queries, 37, candidates=500, rescored=m)
        for q in range(3):
            place = np.array([int(np.flatnonzero(ids == one)[0]) for one in result.indices[q]])
            order = np.lexsort((place, -result.scores[q]))
            np.testing.assert_array_equal(order, np.arange(37))
    assert len(np.unique(result.scores[0])) <= 4


def test_filters() -> None:
    values, queries = made()
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    search = hamming.TwoStageSearch(index, values)
    mask = np.zeros(300, bool)
    mask[::7] = True
    wanted = expected(queries, values, values, 50, (200, 100), mask=mask)
    assert (wanted[1] == -1).any()
    for chosen in (mask, np.flatnonzero(mask), np.array([*np.flatnonzero(mask), 10**6])):
        equal(search(queries, 50, filter=chosen), *wanted)
    nothing = search(queries, 2, filter=np.zeros(300, bool))
    assert (nothing.indices == -1).all()
    assert (nothing.scores == -np.inf).all()


def test_rows_of_removed_ids_stay_where_they_are() -> None:
    values, queries = made()
    index = hamming.Index(N_BITS)
    index.add(hamming.pack(values[:100]))
    index.add(hamming.pack(values[100:]))
    search = hamming.TwoStageSearch(index, values)
    gone = np.arange(0, 300, 3)
    index.remove(gone)
    mask = np.ones(300, bool)
    mask[gone] = False
    equal(
        search(queries, 20, candidates=90, rescored=60),
        *expected(queries, values, values, 20, (90, 60), mask=mask),
    )


def test_codes_of_another_encoder() -> None:
    values, queries = made()
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(N_BITS, N_BITS)))[0][:, :24]
    index = hamming.Index.from_codes(hamming.pack(values @ rotation), 24)
    search = hamming.TwoStageSearch(index, values, encode=lambda x: x @ rotation)
    result = search(queries, 9, candidates=300, rescored=300)
    exact = queries.astype(np.float64) @ values.astype(np.float64).T
    np.testing.assert_array_equal(result.indices, np.argsort(-exact, axis=1, kind="stable")[:, :9])
    one = search(queries[1], 9, candidates=300, rescored=300)
    np.testing.assert_array_equal(one.indices, result.indices[1])
    coarse = hamming.TwoStageSearch(index, encode=lambda x: x @ rotation)(queries, 9)
    nearest = index.topk(hamming.pack(queries @ rotation), 200).indices
    wanted = index.rescore((queries @ rotation).astype(np.float32), nearest, 9)
    np.testing.assert_array_equal(coarse.indices, wanted.indices)
    np.testing.assert_array_equal(coarse.scores, wanted.scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_torch_in_torch_out(dtype: torch.dtype) -> None:
    values, queries = made()
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    asked = torch.from_numpy(queries).to(dtype).requires_grad_()
    stored = torch.from_numpy(values).requires_grad_()
    seen = []

    def encode(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.dtype)
        return x

    plain = asked.detach().float().numpy()
    for search in (
        hamming.TwoStageSearch(index, stored),
        hamming.TwoStageSearch(index, values, encode=encode),
    ):
        result = search(asked, 5, candidates=60, rescored=40)
        assert isinstance(result.scores, torch.Tensor)
        assert isinstance(result.indices, torch.Tensor)
        equal(result, *expected(plain, values, values, 5, (60, 40)))
    assert seen == [dtype]


def test_one_query_and_none() -> None:
    values, queries = made()
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    for search in (hamming.TwoStageSearch(index), hamming.TwoStageSearch(index, values)):
        several = search(queries, 5)
        one = search(queries[2], 5)
        assert one.scores.shape == one.indices.shape == (5,)
        np.testing.assert_array_equal(one.indices, several.indices[2])
        np.testing.assert_array_equal(one.scores, several.scores[2])
        none = search(queries[:0], 5)
        assert none.scores.shape == none.indices.shape == (0, 5)


def test_searches_see_whole_changes_of_the_index() -> None:
    """Ids come and go in pairs; a snapshot never holds one of two."""
    values, queries = made(2000, n_queries=1)
    values[1::2] = values[::2]  # two of a pair are found one after the other
    codes = hamming.pack(values)
    index = hamming.Index.from_codes(codes[:1000], N_BITS)
    search = hamming.TwoStageSearch(index, values)
    failed: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            for i in range(1000, 2000, 2):
                index.add(codes[i : i + 2], ids=np.array([i, i + 1]))
                index.remove(np.array([i - 1000, i - 999]))
        except BaseException as error:  # pragma: no cover
            failed.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        found = search(queries, 1000, candidates=1000)
        kept = set(found.indices[0].tolist())
        assert len(kept) == 1000
        assert all(i ^ 1 in kept for i in kept)
    writer.join()
    assert not failed
