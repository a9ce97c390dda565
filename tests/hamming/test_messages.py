"""What a user's mistake says: name, expected, got, remedy, in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hamming

Q = np.zeros((2, 8), np.uint8)
DB = np.zeros((10, 8), np.uint8)
X = np.ones((2, 64), np.float32)

CASES = [
    (lambda: hamming.topk(Q[:, :4], DB, 1), ValueError,
     r"query_codes: expected shape \(n_queries, 8\) or \(8,\) for 64-bit codes, got \(2, 4\); pack"),
    (lambda: hamming.topk(Q[None], DB, 1), ValueError, r"query_codes: .*got \(1, 2, 8\)"),
    (lambda: hamming.topk(Q, DB[0], 1), ValueError, r"db_codes: expected shape \(n_codes, n_bytes\)"),
    (lambda: hamming.topk(Q[:, :0], DB[:, :0], 1), ValueError, r"db_codes: .*at least one byte"),
    (lambda: hamming.topk(Q, DB[:0], 1), ValueError, r"db_codes: expected at least one code, got 0"),
    (lambda: hamming.topk(Q.astype(np.float32), DB, 1), TypeError,
     r"query_codes: expected packed uint8 codes, got dtype float32; turn values .* hamming.pack"),
    (lambda: hamming.topk(Q, DB.view(np.uint64), 1), TypeError, r"db_codes: .*uint64; .*view\('uint8'\)"),
    (lambda: hamming.topk(Q, DB.view(np.int8), 1), TypeError, r"int8; for the sentence-transformers"),
    (lambda: hamming.topk(Q.tolist(), DB, 1), TypeError, r"query_codes: expected a NumPy array.*got list"),
    (lambda: hamming.topk(Q, DB, 0), ValueError, r"k: expected at least 1, got 0; ask"),
    (lambda: hamming.topk(Q, DB, 11), ValueError,
     r"k: expected at most the 10 codes of the database, got 11; lower k"),
    (lambda: hamming.topk(Q, DB, 1.5), TypeError, r"k: expected an integer, got float"),
    (lambda: hamming.topk(Q, DB, True), TypeError, r"k: expected an integer, got True"),
    (lambda: hamming.topk(Q, DB, 1, threads=0), ValueError, r"threads: expected at least 1, got 0"),
    (lambda: hamming.topk(Q, DB, 1, mask=np.ones(9, bool)), ValueError,
     r"mask: expected shape \(10,\), one bool per code, got \(9,\); align"),
    (lambda: hamming.topk(Q, DB, 1, mask=np.ones(10)), TypeError, r"mask: expected dtype bool"),
    (lambda: hamming.radius_search(Q, DB, -1), ValueError, r"radius: expected at least 0, got -1"),
    (lambda: hamming.pack(np.array(1.0)), ValueError, r"x: expected shape \(\.\.\., n_bits\)"),
    (lambda: hamming.pack(np.empty((3, 0))), ValueError, r"x: .*at least one bit, got \(3, 0\)"),
    (lambda: hamming.pack(np.array(["a"])), TypeError, r"x: expected bool, integer or floating"),
    (lambda: hamming.pack(X + 1j), TypeError, r"x: .*complex"),
    (lambda: hamming.pack([[1, 0]]), TypeError, r"x: expected a NumPy array.*numpy.asarray"),
    (lambda: hamming.pack(X, threshold=np.zeros(3)), ValueError,
     r"threshold: expected a number or shape \(64,\), got \(3,\)"),
    (lambda: hamming.pack(X, threshold=float("nan")), ValueError, r"threshold: .*got NaN"),
    (lambda: hamming.pack(X, bitorder="middle"), ValueError, r"bitorder: expected 'big' or 'little'"),
    (lambda: hamming.pack(torch.eye(3).to_sparse()), TypeError, r"x: expected a dense torch tensor"),
    (lambda: hamming.unpack(Q, 65), ValueError, r"n_bits: expected at most 64 for codes of 8 bytes"),
    (lambda: hamming.unpack(Q, 0), ValueError, r"n_bits: expected at least 1, got 0"),
    (lambda: hamming.unpack(X), TypeError, r"codes: expected packed uint8"),
    (lambda: hamming.unpack(np.array(1, np.uint8)), ValueError, r"codes: .*got \(\)"),
    (lambda: hamming.unpack(Q[:, :0]), ValueError, r"codes: .*at least 1, got \(2, 0\)"),
    (lambda: hamming.pack(X, bitorder=np.array(["big", "little"])), ValueError, r"bitorder: expected"),
    (lambda: hamming.rescore(X[:, :50], DB, np.zeros((2, 3), int), 1), ValueError,
     r"queries: expected shape \(n_queries, n_bits\) with n_bits in 57\.\.64 .* got \(2, 50\)"),
    (lambda: hamming.rescore(Q, DB, np.zeros((2, 3), int), 1), TypeError, r"queries: expected float"),
    (lambda: hamming.rescore(X, DB, np.zeros((2, 3), int), 4), ValueError,
     r"k: expected at most the 3 candidates of a query, got 4"),
    (lambda: hamming.rescore(X, DB, np.full((2, 3), 10), 1), ValueError,
     r"indices: expected -1 or 0\.\.9, got 10\.\.10"),
    (lambda: hamming.rescore(X, DB, np.full((2, 3), -2), 1), ValueError, r"indices: .*got -2"),
    (lambda: hamming.rescore(X, DB, np.zeros((2, 3)), 1), TypeError, r"indices: expected integers"),
    (lambda: hamming.rescore(X, DB, np.zeros(3, int), 1), ValueError, r"indices: expected one row"),
    (lambda: hamming.rescore(X * np.nan, DB, np.zeros((2, 3), int), 1), ValueError,
     r"queries: expected finite values"),
    (lambda: hamming.merge_topk([], 1), ValueError, r"results: expected at least one top-k list"),
    (lambda: hamming.merge_topk([hamming.topk(Q, DB, 2)], 3), ValueError,
     r"k: expected at most the 2 entries of all results, got 3"),
    (lambda: hamming.merge_topk([hamming.topk(Q, DB, 2), hamming.topk(Q[0], DB, 2)], 3), ValueError,
     r"results: expected top-k lists of the same queries"),
    (lambda: hamming.topk(None, DB, 1), TypeError, r"query_codes: expected a NumPy array.*got NoneType"),
    (lambda: hamming.radius_search(Q, None, 1), TypeError, r"db_codes: .*got NoneType"),
    (lambda: hamming.distance(Q, None), TypeError, r"db_codes: .*got NoneType"),
    (lambda: hamming.rescore(X, DB, None, 1), TypeError, r"indices: .*got NoneType"),
    (lambda: hamming.topk(Q, DB, 1, mask=np.ma.ones(10, bool)), TypeError, r"mask: .*masked"),
    (lambda: hamming.pack(X, threshold=None), TypeError, r"threshold: .*got NoneType"),
    (lambda: hamming.pack(X, threshold="1"), TypeError, r"threshold: .*got str"),
    (lambda: hamming.pack(X, threshold=[[1], [1, 2]]), ValueError, r"threshold: .*ragged list"),
    (lambda: hamming.pack(X, threshold=1j), TypeError, r"threshold: .*got complex"),
    (lambda: hamming.pack(X, check_finite="no"), TypeError, r"check_finite: expected True, False"),
    (lambda: hamming.use_backend(3).__enter__(), TypeError, r"name: expected one of .*got 3"),
    (lambda: hamming.use_backend(None).__enter__(), TypeError, r"name: .*got None"),
    (lambda: hamming.rescore(X * 3e38, DB, np.zeros((2, 3), int), 1), ValueError,
     r"queries: expected L1 norms of 0 or 1e-33\.\..*scale the queries"),
    (lambda: hamming.rescore(X.astype(float) * 1e-50, DB, np.zeros((2, 3), int), 1), ValueError,
     r"queries: expected L1 norms"),
    (lambda: hamming.merge_topk(None, 1), TypeError, r"results: expected a list of TopK, got NoneType"),
    (lambda: hamming.merge_topk(hamming.topk(Q, DB, 2), 1), TypeError, r"results: .*got TopK"),
    (lambda: hamming.merge_topk([Q], 1), TypeError, r"results: expected TopK pairs .*got ndarray"),
    (lambda: hamming.merge_topk([hamming.TopK(np.ones(2), np.ones(2, int))], 1), TypeError,
     r"results: expected integer distances and indices, got dtype float64"),
    (lambda: hamming.merge_topk([hamming.TopK(np.array([2**40]), np.array([1]))], 1), ValueError,
     r"results: expected numbers that fit int32, got 1099511627776; pass distances first"),
    (lambda: hamming.merge_topk([hamming.TopK(np.ones((1, 2), int), np.ones((1, 1), int))], 1),
     ValueError, r"results: expected distances and indices of one shape, got \(1, 2\) and \(1, 1\)"),
    (lambda: hamming.merge_topk([hamming.topk(Q, DB, 2),
                                 hamming.TopK(*[torch.empty(2, 2, device="meta")] * 2)], 1),
     ValueError, r"results\[1\]: expected device cpu like results\[0\], got meta"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)))
def test_message(number: int) -> None:
    call, error, pattern = CASES[number]
    with pytest.raises(error, match=pattern) as raised:
        call()
    text = str(raised.value)
    assert "\n" not in text
    assert "; " in text
    assert ": expected" in text
