"""Every loss term against a reference written as loops, straight from its formula."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from distill.losses.contrastive import info_nce, supervised_contrast
from distill.losses.distillation import pair_distillation, relation_distillation
from distill.losses.quantization import balance, quantization, shared_quantization, sign
from distill.losses.similarity import label_similarity, pairwise_nll


def codes(n: int, n_bits: int, seed: int) -> Tensor:
    return torch.tanh(torch.randn(n, n_bits, generator=torch.Generator().manual_seed(seed)))


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


shapes = st.tuples(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31 - 1)
)


@settings(max_examples=25, deadline=None)
@given(shapes, st.booleans())
def test_pairwise_nll(shape: tuple[int, int, int, int], normalize: bool) -> None:
    n_a, n_b, n_bits, seed = shape
    a, b = codes(n_a, n_bits, seed), codes(n_b, n_bits, seed + 1)
    s = (codes(n_a, n_b, seed + 2) > 0).float()
    total = 0.0
    for i in range(n_a):
        for j in range(n_b):
            if normalize:
                theta = n_bits / 2 * cosine(a[i].tolist(), b[j].tolist())
            else:
                theta = sum(x * y for x, y in zip(a[i].tolist(), b[j].tolist(), strict=True)) / 2
            total -= s[i, j].item() * theta - math.log1p(math.exp(theta))
    got = pairwise_nll(a, b, s, normalize=normalize)
    assert got.item() == pytest.approx(total / n_a / n_b, rel=1e-4, abs=1e-5)


def test_pairwise_nll_is_finite_and_right_for_huge_codes() -> None:
    a = torch.full((1, 4096), 1.0, requires_grad=True)
    similar, dissimilar = torch.ones(1, 1), torch.zeros(1, 1)
    assert pairwise_nll(a, a.detach(), similar).item() == pytest.approx(0)
    assert pairwise_nll(a, a.detach(), dissimilar).item() == pytest.approx(64)
    pairwise_nll(a, -a.detach(), similar).backward()
    assert torch.isfinite(a.grad).all()


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_label_similarity(shape: tuple[int, int, int, int]) -> None:
    n_a, n_b, n_labels, seed = shape
    a, b = (codes(n_a, n_labels, seed) > 0).float(), (codes(n_b, n_labels, seed + 1) > 0).float()
    binary, multilevel = label_similarity(a, b), label_similarity(a, b, kind="multilevel")
    for i in range(n_a):
        for j in range(n_b):
            shared = sum(x * y for x, y in zip(a[i].tolist(), b[j].tolist(), strict=True))
            assert binary[i, j].item() == (1.0 if shared > 0 else 0.0)
            norm = math.sqrt(a[i].sum().item() * b[j].sum().item())
            assert multilevel[i, j].item() == pytest.approx(shared / norm if norm else 0, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31 - 1))
def test_terms_on_pairs(n: int, n_bits: int, seed: int) -> None:
    a, b = codes(n, n_bits, seed), codes(n, n_bits, seed + 1)
    pair = relation = quantized = shared = 0.0
    for i in range(n):
        for j in range(n):
            student = cosine(a[i].tolist(), b[j].tolist())
            relation += (student - cosine(b[i].tolist(), b[j].tolist())) ** 2 / n**2
        for x, y in zip(a[i].tolist(), b[i].tolist(), strict=True):
            pair += (x - y) ** 2 / (n * n_bits)
            quantized += ((1 if y > 0 else -1) - x) ** 2 / (n * n_bits)
            both = 1 if x + y > 0 else -1
            shared += ((both - x) ** 2 + (both - y) ** 2) / (2 * n * n_bits)
    assert pair_distillation(a, b).item() == pytest.approx(pair, abs=1e-5)
    assert relation_distillation(a, b).item() == pytest.approx(relation, abs=1e-5)
    assert quantization(a, sign(b)).item() == pytest.approx(quantized, abs=1e-5)
    assert shared_quantization(a, b).item() == pytest.approx(shared, abs=1e-5)
    means = [sum(a[i, k].item() for i in range(n)) / n for k in range(n_bits)]
    assert balance(a).item() == pytest.approx(sum(m * m for m in means) / n_bits, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31 - 1))
def test_info_nce(n: int, dim: int, seed: int) -> None:
    a = torch.nn.functional.normalize(codes(n, dim, seed), dim=1)
    b = torch.nn.functional.normalize(codes(n, dim, seed + 1), dim=1)
    logits = [[(a[i] @ b[j]).item() / 0.1 for j in range(n)] for i in range(n)]
    total = 0.0
    for i in range(n):
        row = math.log(sum(math.exp(x) for x in logits[i])) - logits[i][i]
        column = math.log(sum(math.exp(logits[j][i]) for j in range(n))) - logits[i][i]
        total += (row + column) / (2 * n)
    assert info_nce(a, b, temperature=0.1).item() == pytest.approx(total, rel=1e-4, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(shapes, st.booleans())
def test_supervised_contrast(shape: tuple[int, int, int, int], soft: bool) -> None:
    n_a, n_b, n_bits, seed = shape
    a, b = codes(n_a, n_bits, seed), codes(n_b, n_bits, seed + 1)
    s = codes(n_a, n_b, seed + 2)
    s = s.clamp(min=0) if soft else (s > 0).float()
    total = 0.0
    for i in range(n_a):
        logits = [cosine(a[i].tolist(), b[j].tolist()) / 0.2 for j in range(n_b)]
        norm = math.log(sum(math.exp(x) for x in logits))
        mass = sum(s[i].tolist())
        for j in range(n_b):
            if mass > 0:
                total -= s[i, j].item() / mass * (logits[j] - norm) / n_a
    got = supervised_contrast(a, b, s, temperature=0.2)
    assert got.item() == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_sign_of_zero_is_minus_one() -> None:
    assert sign(torch.tensor([-2.0, -0.0, 0.0, 1e-30])).tolist() == [-1, -1, -1, 1]


def test_perfect_codes_cost_nothing() -> None:
    exact = sign(codes(5, 8, 0))
    assert quantization(exact, exact).item() == 0
    assert pair_distillation(exact, exact).item() == 0
    assert relation_distillation(exact, exact).item() == pytest.approx(0, abs=1e-12)


def test_no_gradient_reaches_the_binary_target() -> None:
    target = codes(3, 4, 0).requires_grad_()
    h = codes(3, 4, 1).requires_grad_()
    quantization(h, target).backward()
    assert target.grad is None
    assert h.grad is not None
