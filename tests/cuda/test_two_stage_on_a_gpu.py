"""Two-stage search on a (stand-in) GPU: the answers of the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hamming
from tests.cuda.fake_cupy import FakeArray
from tests.cuda.test_arrays_on_a_gpu import gpu, there  # noqa: F401
from tests.hamming.staged import N_BITS, made

VALUES, QUERIES = made()
CODES = hamming.pack(VALUES, threshold=0.25)
IDS = np.arange(300)[::-1].copy()


def searches(move: Any, device: str) -> list[hamming.TwoStageSearch]:
    """With the rows of ids by default, and of ids of their own as int8."""
    by_default = hamming.Index.from_codes(CODES, N_BITS).to(device)
    backwards = hamming.Index.from_codes(CODES, N_BITS, ids=IDS).to(device)
    int8 = np.clip(40 * VALUES, -128, 127).astype(np.int8)
    return [
        hamming.TwoStageSearch(by_default, threshold=0.25),
        hamming.TwoStageSearch(by_default, move(VALUES), threshold=np.full(N_BITS, 0.25)),
        hamming.TwoStageSearch(
            backwards, move(int8), ids=move(IDS), scale=1 / 40, offset=0.1, threshold=0.25
        ),
    ]


def test_the_answers_of_the_host() -> None:
    pairs = zip(searches(there, "cuda"), searches(lambda x: x, "cpu"), strict=True)
    for device, host in pairs:
        for queries in (QUERIES, QUERIES[0]):
            got = device(there(queries), 5, candidates=60)
            assert all(isinstance(part, FakeArray) for part in got)
            with hamming.use_backend("reference"):
                want = host(queries, 5, candidates=60)
            np.testing.assert_array_equal(got.indices.hidden, want.indices)
            np.testing.assert_allclose(got.scores.hidden, want.scores, rtol=1e-5)


def test_arguments_of_the_other_side() -> None:
    device = hamming.Index.from_codes(CODES, N_BITS).to("cuda")
    with pytest.raises(ValueError, match=r"^embeddings: expected device cuda:0 like the index, "):
        hamming.TwoStageSearch(device, VALUES)
    with pytest.raises(ValueError, match=r"^ids: expected device cuda:0 like embeddings, got cpu"):
        hamming.TwoStageSearch(device, there(VALUES), ids=IDS)
    with pytest.raises(ValueError, match=r"^queries: expected device cuda:0 like the index, got"):
        hamming.TwoStageSearch(device)(QUERIES, 1)
    with pytest.raises(ValueError, match=r"^encode: expected device cuda:0 like the index, got"):
        hamming.TwoStageSearch(device, encode=lambda _: QUERIES)(there(QUERIES), 1)
