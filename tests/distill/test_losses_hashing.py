"""CIBHash and Bi-half against loops written from their formulas."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.nn import functional

from distill.losses.hashing import (
    bernoulli_kl,
    bi_half,
    bi_half_similarity,
    binary_nt_xent,
    straight_through_sign,
)

shapes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31 - 1))


def normal(n: int, dim: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=random, dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sign_is_exact_and_backward_the_identity(dtype: torch.dtype) -> None:
    x = torch.cat([torch.randn(50) * 5, torch.tensor([0.0, -0.0, 1e-30, -1e-30, 80, -80])])
    x = x.to(dtype).requires_grad_()
    z = straight_through_sign(x)
    assert z.dtype == dtype
    assert z.tolist() == [1 if v > 0 else -1 for v in x.tolist()]
    upstream = torch.randn(len(x)).to(dtype)
    z.backward(upstream)
    p = torch.sigmoid(x.detach())
    assert torch.allclose(x.grad, upstream * p * (1 - p))


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_nt_xent(shape: tuple[int, int, int]) -> None:
    n, n_bits, seed = shape
    z_i, z_j = (straight_through_sign(normal(n, n_bits, seed + s)) for s in (0, 1))
    rows, total = torch.cat([z_i, z_j]).tolist(), 0.0
    for r in range(2 * n):
        partner = (r + n) % (2 * n)
        terms = {v: math.exp(cosine(rows[r], rows[v]) / 0.3) for v in range(2 * n) if v != r}
        total -= math.log(terms[partner] / sum(terms.values()))
    assert binary_nt_xent(z_i, z_j).item() == pytest.approx(total / (2 * n), abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 17])
def test_nt_xent_of_equal_codes(n: int) -> None:
    z = torch.ones(n, 8, requires_grad=True)
    loss = binary_nt_xent(z, z, tau=0.1)
    assert loss.item() == pytest.approx(math.log(2 * n - 1), abs=1e-6)
    loss.backward()
    assert torch.isfinite(z.grad).all()


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_bernoulli_kl(shape: tuple[int, int, int]) -> None:
    n, n_bits, seed = shape
    p_i, p_j = (torch.sigmoid(normal(n, n_bits, seed + s)) for s in (0, 1))
    total = 0.0
    for a, b in ((p_i, p_j), (p_j, p_i)):
        for p, q in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True):
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert bernoulli_kl(p_i, p_j).item() == pytest.approx(total / (2 * n), abs=1e-5)
    assert bernoulli_kl(p_i, p_i.clone()).item() == 0


def test_each_divergence_moves_its_first_argument_only() -> None:
    """d/dp_i is half of KL(p_i || const)'s; nothing comes of p_i's place behind the bars."""
    p, q = (torch.sigmoid(normal(3, 4, s)) for s in (0, 1))
    moved, other = p.clone().requires_grad_(), q.clone().requires_grad_()
    bernoulli_kl(moved, other).backward()
    for grad, ours, theirs in ((moved.grad, p, q), (other.grad, q, p)):
        expected = (torch.logit(ours) - torch.logit(theirs)) / 3 / 2
        assert torch.allclose(grad, expected, atol=1e-6)


def test_divergence_is_finite_at_certainty() -> None:
    p, q = (torch.tensor([[x, 1 - x]], requires_grad=True) for x in (0.0, 1.0))
    loss = bernoulli_kl(p, q)
    loss.backward()
    assert all(torch.isfinite(x).all() for x in (loss, p.grad, q.grad))


@settings(max_examples=25, deadline=None)
@given(shapes, st.booleans())
def test_bi_half(shape: tuple[int, int, int], ties: bool) -> None:
    n, n_bits, seed = shape
    values = normal(n, n_bits, seed)
    values = (values.sign() if ties else values).requires_grad_()
    codes = bi_half(values, 3.0)
    for bit in range(n_bits):
        column = values[:, bit].tolist()
        order = sorted(range(n), key=lambda i: (-column[i], i))
        assert [codes[i, bit].item() for i in order] == [1] * (n // 2) + [-1] * (n - n // 2)
    upstream = normal(n, n_bits, seed + 1)
    codes.backward(upstream)
    for i in range(n):
        for bit in range(n_bits):
            pull = 3.0 * (values[i, bit] - codes[i, bit]) / (n * n_bits)
            expected = (upstream[i, bit] + pull).item()
            assert values.grad[i, bit].item() == pytest.approx(expected, abs=1e-12)


def test_bi_half_is_balanced_however_the_values_lie() -> None:
    codes = bi_half(torch.rand(64, 16) + 5)
    assert not codes.sum(dim=0).any()
    assert codes.dtype == torch.float32


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_bi_half_similarity(shape: tuple[int, int, int]) -> None:
    n, n_bits, seed = shape
    codes, features = bi_half(normal(n, n_bits, seed)), normal(n, 5, seed + 1)
    half, total = n // 2, 0.0
    for i in range(half):
        b = cosine(codes[i].tolist(), codes[i + half].tolist())
        x = cosine(features[i].tolist(), features[i + half].tolist())
        total += (b - x) ** 2 / half
    assert bi_half_similarity(codes, features).item() == pytest.approx(total, abs=1e-12)


def test_bi_half_trains() -> None:
    """From a layer whose bits are much alike, codes come to be as similar as their features."""
    torch.manual_seed(0)
    features = functional.normalize(torch.randn(64, 6), dim=1)
    layer = torch.nn.Linear(6, 16)
    torch.nn.init.ones_(layer.weight)
    layer.weight.data += 0.3 * torch.randn(16, 6)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(150):
        rows = features[torch.randperm(64)]
        loss = bi_half_similarity(bi_half(layer(rows)), rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


def test_features_get_no_gradient() -> None:
    features = normal(4, 3, 0).requires_grad_()
    bi_half_similarity(normal(4, 3, 1).requires_grad_(), features).backward()
    assert features.grad is None
