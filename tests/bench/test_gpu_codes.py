"""What a GPU's answers are held against, and what they are asked about."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

import hamming
from bench.gpu_steps import codes, exact
from bench.suites.frame import WrongResultError
from tests.hamming import oracle


@pytest.mark.parametrize("order", get_args(codes.Order))
@pytest.mark.parametrize(("n_bits", "offset"), [(64, 0), (104, 1)])
def test_brute_force_is_exact(order: codes.Order, n_bits: int, offset: int) -> None:
    db = codes.database(np, n_bits, 500, order, offset)
    queries = codes.queries(np, db, 3, order)
    for share in (None, 0.0, 0.1):
        mask = None if share is None else codes.mask(np, 500, share)
        for k in (1, 33, 500):
            expected = hamming.TopK(*oracle.topk(queries, db, k, mask))
            exact.check(np, expected, queries, db, k, mask)
    expected.indices[1, 0] += 1
    with pytest.raises(WrongResultError, match=r"^query 1, rank 0: expected distance"):
        exact.check(np, expected, queries, db, 500, mask)


def test_codes_are_what_their_order_says() -> None:
    def made(order: codes.Order) -> np.ndarray:
        return codes.database(np, 64, 4000, order)

    assert np.array_equal(made("random"), made("random"))
    assert len(np.unique(made("random"), axis=0)) == 4000
    assert len(np.unique(made("equal"), axis=0)) == 1
    assert len(np.unique(made("hundred"), axis=0)) == 100
    assert 400 < len(np.unique(made("duplicates"), axis=0)) < 600
    assert np.unpackbits(made("sparse")).mean() == pytest.approx(1 / 8, abs=0.01)
    ones = np.unpackbits(made("descending"), axis=1).sum(axis=1)
    assert (ones[0], ones[-1]) == (64, 0)
    assert (np.diff(ones.astype(int)) <= 0).all()
    assert codes.mask(np, 10_000, 0.1).mean() == pytest.approx(0.1, abs=0.02)
