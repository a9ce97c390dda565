"""The mask of BRCD: which bits it keeps, what it warns of and what it refuses."""

import logging
import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from distill.losses.distillation import bit_mask
from distill.types import DistillError


def test_mask_keeps_fixed_bits_and_drops_coins() -> None:
    n, random = 500, np.random.default_rng(0)
    clusters = np.repeat([0, 1], n)
    codes = random.choice([-1.0, 1.0], (2 * n, 64))
    codes[:n, :20] = 1
    codes[n:, 10:40] = -1
    mask = bit_mask(codes, clusters, 2, 0.3)
    assert mask.dtype == torch.float32
    assert torch.equal(mask[0], (torch.arange(64) < 20).float())
    inside = (torch.arange(64) >= 10) & (torch.arange(64) < 40)
    assert torch.equal(mask[1], inside.float())
    assert torch.equal(bit_mask(torch.tensor(codes), torch.tensor(clusters), 2, 0.3), mask)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([0, 0.1, 0.2, 0.25, 0.5, 0.6, 1]),
)
def test_mask_against_loops(seed: int, n: int, n_bits: int, n_clusters: int, margin: float) -> None:
    random = np.random.default_rng(seed)
    codes = random.choice([-1, 1], (n, n_bits))
    clusters = random.integers(n_clusters, size=n)
    mask = bit_mask(codes, clusters, n_clusters, margin)
    for k in range(n_clusters):
        members = [i for i in range(n) if clusters[i] == k]
        for bit in range(n_bits):
            total = abs(sum(int(codes[i, bit]) for i in members))
            assert mask[k, bit] == (1 if members and total / len(members) > margin else 0)


def test_margin_is_strict() -> None:
    codes = torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, -1], [1, -1, -1]])
    clusters = torch.zeros(4, dtype=torch.int64)
    assert bit_mask(codes, clusters, 1, 0.5).tolist() == [[1, 0, 0]]
    assert bit_mask(codes, clusters, 1, 0.49).tolist() == [[1, 1, 0]]


def test_bare_and_empty_clusters_are_named(caplog: pytest.LogCaptureFixture) -> None:
    codes = torch.tensor([[1.0, -1], [1, -1], [1, -1], [-1, 1]])
    with caplog.at_level(logging.WARNING):
        mask = bit_mask(codes, torch.tensor([0, 0, 2, 2]), 4, 0)
    assert mask.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert [r.getMessage() for r in caplog.records] == [
        "mask: no bit of cluster 1, 2, 3 has a mean beyond the margin 0; lower the margin"
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        bit_mask(codes, torch.tensor([0, 0, 0, 1]), 2, 0.4)
    assert not caplog.records


CODES, LABELS = torch.ones(3, 2), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CODES[0], LABELS, 1, 0.5), r"codes: expected shape \(n, n_bits\), got \(2,\); pass"),
        ((CODES / 2, LABELS, 1, 0.5), r"codes: expected -1 and \+1 only, got 0.5; take"),
        ((CODES * torch.nan, LABELS, 1, 0.5), r"codes: expected -1 and \+1 only, got nan; take"),
        ((CODES, LABELS[:2], 1, 0.5), r"clusters: expected \(3,\) integers, .* got \(2,\)"),
        ((CODES, LABELS.float(), 1, 0.5), r"clusters: expected \(3,\) integers, .* torch.float32"),
        ((CODES, LABELS + 1, 1, 0.5), r"clusters: expected 0 to 0, got 1 to 1; number"),
        ((CODES, LABELS - 1, 1, 0.5), r"clusters: expected 0 to 0, got -1 to -1; number"),
        ((CODES, LABELS, 0, 0.5), r"n_clusters: expected at least 1, got 0; try"),
        ((CODES, LABELS, 1, -0.1), r"margin: expected a finite number >= 0, got -0.1; try"),
        ((CODES, LABELS, 1, math.nan), r"margin: expected a finite number >= 0, got nan; try"),
    ],
)
def test_wrong_mask_arguments(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DistillError, match=message):
        bit_mask(*arguments)
