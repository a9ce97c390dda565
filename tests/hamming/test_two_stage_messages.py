"""What a mistake with a two-stage search says: name, expected, got, remedy, in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hamming
from tests.hamming.staged import N_BITS, made

VALUES, QUERIES = made(50)
INDEX = hamming.Index.from_codes(hamming.pack(VALUES), N_BITS)
SEARCH = hamming.TwoStageSearch(INDEX, VALUES)
ROTATED = hamming.TwoStageSearch(INDEX, VALUES[:, :8], encode=lambda x: np.repeat(x, 5, axis=1))
INT8 = np.zeros((50, N_BITS), np.int8)
NAN = np.where(np.arange(N_BITS) == 3, np.nan, QUERIES).astype(np.float32)


def two(*args: Any, **options: Any) -> hamming.TwoStageSearch:
    return hamming.TwoStageSearch(INDEX, *args, **options)


CASES = [
    (lambda: hamming.TwoStageSearch(hamming.pack(VALUES)), TypeError,
     r"^index: expected a hamming.Index, got ndarray; wrap codes with hamming.Index.from_codes$"),
    (lambda: two(encode=3), TypeError, r"^encode: expected a function of queries, got int; pass"),
    (lambda: two(VALUES.tolist()), TypeError, r"^embeddings: expected a NumPy array.*got list"),
    (lambda: two(VALUES.astype(np.int32)), TypeError,
     r"^embeddings: expected floats, int8 or uint8, got dtype int32; convert"),
    (lambda: two(VALUES[0]), ValueError, r"^embeddings: expected shape \(n, dim\).*got \(40,\); st"),
    (lambda: two(VALUES[:0]), ValueError, r"^embeddings: .*at least one row, got \(0, 40\)"),
    (lambda: two(VALUES[:, :8]), ValueError,
     r"^embeddings: expected width 40 like the codes, got 8; pass encode="),
    (lambda: two(VALUES[:49]), ValueError,
     r"^embeddings: expected a row for every id of the index, got none for id 49 in 49 rows; add"),
    (lambda: two(VALUES, ids=np.arange(1, 51)), ValueError, r"^embeddings: .*none for id 0 in 50"),
    (lambda: two(VALUES, ids=np.arange(49)), ValueError,
     r"^ids: expected int64 of shape \(50,\), one id per row of embeddings, got int64 of shape \(49,\)"),
    (lambda: two(VALUES, ids=np.arange(50.0)), ValueError, r"^ids: expected int64 .*got float64"),
    (lambda: two(VALUES, ids=np.arange(50) // 2), ValueError,
     r"^ids: expected each id once, got 0 twice; keep one row per id$"),
    (lambda: two(VALUES, ids=range(-1, 49)), ValueError, r"^ids: expected 0..2\*\*63 - 1, got -1; n"),
    (lambda: two(VALUES, ids=np.arange(50, dtype=np.uint64) + 2**63), ValueError,
     r"^ids: expected 0..2\*\*63 - 1, got 9223372036854775857; number anew$"),
    (lambda: two(VALUES, ids=[[1], [2, 3]]), ValueError, r"^ids: .*got lists in a list; give one"),
    (lambda: two(threshold=[[1], [1, 2]]), ValueError, r"^threshold: .*got a ragged list; give one"),
    (lambda: two()(np.full(N_BITS, 1e300), 1), ValueError, r"^queries: expected L1 norms of 0 or"),
    (lambda: two(ids=np.arange(50)), ValueError,
     r"^ids: expected None without embeddings, got ndarray; pass the embeddings too$"),
    (lambda: two(scale=2.0), ValueError, r"^scale: expected None without embeddings, got float"),
    (lambda: two(VALUES, scale=2.0), ValueError,
     r"^scale: expected None for float embeddings, got one for float32; only int8"),
    (lambda: two(INT8, scale=np.ones(3)), ValueError,
     r"^scale: expected finite numbers in host memory, a number or \(40,\), got ndarray of shape \(3,\)"),
    (lambda: two(INT8, offset=np.nan), ValueError, r"^offset: expected finite numbers .*got float"),
    (lambda: two(INT8, scale="big"), ValueError, r"^scale: expected finite numbers .*got str"),
    (lambda: two(INT8, ranges=np.zeros((3, N_BITS))), ValueError,
     r"^ranges: expected finite numbers in host memory, \(2, 40\), got ndarray of shape \(3, 40\)"),
    (lambda: two(INT8, ranges=np.zeros((2, N_BITS)), offset=1), ValueError,
     r"^ranges: expected no offset beside ranges, got both; give one of them$"),
    (lambda: two(threshold=np.zeros(3)), ValueError, r"^threshold: expected a number or shape \(40,\)"),
    (lambda: two(threshold=np.inf), ValueError, r"^threshold: expected finite values, got NaN or inf"),
    (lambda: SEARCH(QUERIES.tolist(), 1), TypeError, r"^queries: expected a NumPy array.*got list"),
    (lambda: SEARCH(hamming.pack(QUERIES), 1), TypeError,
     r"^queries: expected float values, got dtype uint8; pass the embeddings before packing$"),
    (lambda: SEARCH(QUERIES[:, :8], 1), ValueError,
     r"^queries: expected shape \(n_queries, 40\) or \(40,\), got \(5, 8\); use the model"),
    (lambda: SEARCH(QUERIES[None], 1), ValueError, r"^queries: expected shape .*got \(1, 5, 40\)"),
    (lambda: ROTATED(QUERIES, 1), ValueError, r"^queries: expected shape \(n_queries, 8\) or \(8,\)"),
    (lambda: two(encode=lambda x: x)(np.float32(1) * QUERIES[None], 1), ValueError,
     r"^queries: expected shape \(n_queries, dim\) or \(dim,\), got \(1, 5, 40\)"),
    (lambda: SEARCH(NAN, 1), ValueError, r"^queries: expected finite values, got NaN or infinity"),
    (lambda: two(encode=lambda x: x[:, :8])(QUERIES, 1), ValueError,
     r"^encode: expected floats of shape \(5, 40\) for 5 queries, got float32 of shape \(5, 8\); return"),
    (lambda: two(encode=lambda x: x[0].tolist())(QUERIES, 1), TypeError,
     r"^encode: expected it to return an array, got list; return"),
    (lambda: two(encode=lambda _: NAN)(QUERIES, 1), ValueError, r"^encode: expected finite values"),
    (lambda: two(np.where(VALUES < 9, np.nan, VALUES))(QUERIES, 1), ValueError,
     r"^embeddings: expected finite values and scores that float32 can hold, got others for id \d+; "),
    (lambda: two(VALUES.astype(np.float64) * 1e39)(QUERIES, 1), ValueError, r"^embeddings: .*finite"),
    (lambda: SEARCH(QUERIES, 0), ValueError, r"^k: expected at least 1, got 0"),
    (lambda: SEARCH(QUERIES, 51), ValueError, r"^k: expected at most the 50 codes.*got 51; lower k$"),
    (lambda: SEARCH(QUERIES, 9, candidates=8), ValueError,
     r"^candidates: expected at least 9, got 8; ask for at least the k = 9 results$"),
    (lambda: SEARCH(QUERIES, 9, candidates=9.0), TypeError, r"^candidates: expected an integer"),
    (lambda: SEARCH(QUERIES, 9, rescored=8), ValueError,
     r"^rescored: expected at least 9, got 8; leave at least the k = 9 results$"),
    (lambda: hamming.TwoStageSearch(hamming.Index(N_BITS))(QUERIES, 1), ValueError,
     r"^index: expected at least one code, got none; add codes before searching$"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_a_mistake_says(case: int) -> None:
    call, kind, text = CASES[case]
    with pytest.raises(kind, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_id_added_later_needs_a_row() -> None:
    index = hamming.Index.from_codes(hamming.pack(VALUES), N_BITS)
    search = hamming.TwoStageSearch(index, VALUES)
    index.add(hamming.pack(QUERIES[:1]))
    with pytest.raises(ValueError, match="got none for id 50 in 50 rows; add its row, or remove"):
        search(QUERIES[:1], 1)
