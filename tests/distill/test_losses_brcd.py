"""BRCD against golden values, against loops written from the specification, and its identities."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from distill.losses import brcd
from distill.losses.distillation import brcd_loss
from distill.types import DistillError

Floats = NDArray[np.float64]

Z_I = [[1, 1, 1, -1, 1, -1], [1, 1, -1, -1, -1, 1], [-1, -1, 1, 1, 1, 1]]
T_I = [[1, 1, 1, 1, 1, -1], [1, 1, 1, -1, -1, 1], [-1, -1, -1, 1, 1, 1]]
T_J = [[1, 1, -1, -1, 1, -1], [-1, -1, 1, 1, 1, 1], [-1, -1, 1, 1, 1, -1]]
C = [0, 0, 1]
CENTERS = [[0.9, 0.95, 0.1, -0.2, 0, -0.05], [-0.9, -0.8, 0.3, 0.7, 0.9, 0.1]]
MASK = [[1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0]]
MODES = ("intended", "released")
FILTERS = ("full", "negatives", "none")


def example(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    floats = [torch.tensor(x, dtype=dtype) for x in (Z_I, T_I, T_J)]
    return [*floats, torch.tensor(C), torch.tensor(CENTERS).double(), torch.tensor(MASK).double()]


def case(seed: int, n: int, n_bits: int, n_clusters: int, *, soft: bool = False) -> list[Tensor]:
    """Codes whose views sometimes lie near their centre and sometimes not."""
    random = torch.Generator().manual_seed(seed)
    centers = torch.rand(n_clusters, n_bits, generator=random, dtype=torch.float64) * 2 - 1
    c = torch.randint(n_clusters, (n,), generator=random)
    near = centers[c].sign()
    noise = torch.rand(3, n, n_bits, generator=random, dtype=torch.float64)
    z_i, t_i, t_j = (torch.where(x < 0.3, -near, near) for x in noise)
    mask = torch.rand(n_clusters, n_bits, generator=random, dtype=torch.float64)
    return [z_i, t_i, t_j, c, centers, mask if soft else (mask > 0.4).double()]


def cosine(a: Floats, b: Floats) -> float:
    dot = na = nb = 0.0
    for x, y in zip(a, b, strict=True):
        dot, na, nb = dot + x * y, na + x * x, nb + y * y
    return dot / math.sqrt(na) / math.sqrt(nb) if na and nb else 0.0


def nearest(code: Floats, centers: Floats) -> int:
    best, least = -1, math.inf
    for k, center in enumerate(centers):
        away = sum((x - y) ** 2 for x, y in zip(code, center, strict=True))
        if away < least:
            best, least = k, away
    return best


def reference(
    tensors: list[Tensor],
    *,
    alpha: float = 0.8,
    tau: float = 0.3,
    order: str = "intended",
    rows: str = "intended",
    filter: str = "full",
) -> list[float]:
    """Sections 3.3, 3.5 and 3.6 of the specification, one number at a time."""
    z, ti, tj, c, centers, mask = (t.numpy() for t in tensors)
    n = len(z)
    view = [int(k) for k in c]
    if filter == "full":
        for b in range(n):
            view[b] = nearest(tj[b] * mask[c[b]] if order == "released" else tj[b], centers)
    Z = [z[b] * mask[c[b]] for b in range(n)] + [tj[b] * mask[c[b]] for b in range(n)]
    losses = []
    for r in range(2 * n):
        b = r % n
        weight = 1.0 if view[b] != c[b] else alpha
        pos = weight * cosine(z[b], ti[b]) / tau + (1 - weight) * cosine(Z[b], Z[n + b]) / tau
        own = c[b] if r < n or rows == "released" else view[b]
        total = math.exp(pos)
        for v in range(2 * n):
            if v in (b, n + b):
                continue
            other = c[v] if v < n else view[v - n]
            if filter != "none" and own == other:
                continue
            total += math.exp(cosine(Z[r], Z[v]) / tau)
        losses.append(-math.log(math.exp(pos) / total))
    return losses


def per_row(tensors: list[Tensor], **options: Any) -> Tensor:
    return brcd_loss(*tensors, per_row=True, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_golden_values(dtype: torch.dtype) -> None:
    *inputs, mask = example(dtype)
    unmasked = torch.ones_like(mask), "intended", 0.0799977
    zero = torch.zeros_like(mask), "released", 0.2241399
    rows = [0.165274, 0.015489, 0.057477, 0.057477, 0.046328, 0.137941]
    zero_rows = [0.156160, 0.156160, 0.360100, 0.156160, 0.156160, 0.360100]
    for (m, mode, value), values in zip((unmasked, zero), (rows, zero_rows), strict=True):
        got = brcd_loss(*inputs, m, mode=mode)
        assert got.dtype == dtype
        assert got.ndim == 0
        assert got.item() == pytest.approx(value, abs=1e-6)
        assert per_row([*inputs, m], mode=mode).tolist() == pytest.approx(values, abs=1e-6)


def test_golden_assignment() -> None:
    t_j, centers = torch.tensor(T_J), torch.tensor(CENTERS)
    assert brcd.assign(t_j, centers).tolist() == [0, 1, 1]
    assert brcd.assign(torch.zeros(1, 6), centers).tolist() == [0]
    assert brcd.assign(torch.zeros(1, 6), centers[[0, 0]]).tolist() == [0]


@pytest.mark.parametrize("mode", MODES)
def test_unprinted_variants(mode: str) -> None:
    expected = reference(example(), order=mode, rows=mode)
    assert per_row(example(), mode=mode).tolist() == pytest.approx(expected, abs=1e-12)
    assert brcd_loss(*example(), mode=mode).item() == pytest.approx(sum(expected) / 6, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 7),
    st.integers(1, 12),
    st.integers(1, 5),
    st.floats(0, 1),
    st.floats(0.1, 2),
    st.sampled_from(MODES),
    st.sampled_from(FILTERS),
    st.booleans(),
)
def test_against_loops(
    seed: int,
    n: int,
    n_bits: int,
    n_clusters: int,
    alpha: float,
    tau: float,
    mode: str,
    filter: str,
    soft: bool,
) -> None:
    tensors = case(seed, n, n_bits, n_clusters, soft=soft)
    options = {"alpha": alpha, "tau": tau, "filter": filter}
    expected = reference(tensors, order=mode, rows=mode, **options)
    got = per_row(tensors, mode=mode, **options)
    assert got.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert brcd_loss(*tensors, mode=mode, **options).item() == pytest.approx(got.mean().item())


def test_the_cases_hold_what_they_should() -> None:
    """The modes differ, a few views are offset, and the rules of released mode both matter."""
    tensors = case(3, 7, 12, 4)
    c, offset = tensors[3], brcd.assign(tensors[2], tensors[4]) != tensors[3]
    assert 0 < offset.sum() < len(c)
    variants = [
        sum(reference(tensors, order=order, rows=rows)) for order in MODES for rows in MODES
    ]
    assert len({round(v, 9) for v in variants}) == 4


def test_zero_mask_identity() -> None:
    """Row loss = log(1 + n_r exp(-alpha_r a_r))."""
    z_i, t_i, t_j, c, centers, mask = case(5, 7, 12, 3)
    got = per_row([z_i, t_i, t_j, c, centers, torch.zeros_like(mask)], mode="released")
    smallest = nearest(np.zeros(12), centers.numpy())
    for r in range(14):
        b = r % 7
        alpha = 0.8 if c[b] == smallest else 1.0
        a = cosine(z_i[b].numpy(), t_i[b].numpy()) / 0.3
        others = [v for v in range(14) if v % 7 != b]
        n_r = sum((c[v].item() if v < 7 else smallest) != c[b].item() for v in others)
        assert got[r].item() == pytest.approx(math.log1p(n_r * math.exp(-alpha * a)), abs=1e-9)


def test_zero_mask_has_the_gradient_of_the_individual_term_alone() -> None:
    z_i, *rest, mask = case(5, 7, 12, 3)
    z_i.requires_grad_()
    brcd_loss(z_i, *rest, torch.zeros_like(mask)).backward()
    assert torch.isfinite(z_i.grad).all()
    assert (z_i.grad != 0).any()


def test_plain_nt_xent_between_student_and_teacher() -> None:
    """No mask, clusters of one image each, no offset view, alpha 0."""
    z_i, t_i, t_j, *_ = case(8, 6, 12, 3)
    t_j[:, :3] = torch.tensor([[x, y, w] for x in (1, -1) for y in (1, -1) for w in (1, -1)])[:6]
    ones = torch.ones_like(t_j)
    for filter in FILTERS:
        got = per_row([z_i, t_i, t_j, torch.arange(6), t_j, ones], alpha=0, filter=filter)
        Z = functional.normalize(torch.cat([z_i, t_j]), dim=1)
        logits = (Z @ Z.T / 0.3).fill_diagonal_(-torch.inf)
        expected = functional.cross_entropy(logits, torch.arange(12).roll(6), reduction="none")
        assert torch.allclose(got, expected, atol=1e-12)


def test_alpha_one_leaves_only_the_individual_positive() -> None:
    z_i, t_i, *_ = case(8, 6, 12, 3)
    individual = brcd.individual_similarity(z_i, t_i, tau=0.3)
    similarity = torch.randn(12, 12, dtype=torch.float64, requires_grad=True)
    stays = torch.zeros(6, dtype=torch.bool)
    positive = brcd.positive_logits(individual, similarity, stays, alpha=1)
    assert torch.equal(positive, individual)
    positive.sum().backward()
    assert not similarity.grad.any()


def test_masked_bits_learn_from_the_individual_term_only() -> None:
    z_i, t_i, t_j, c, centers, mask = case(11, 6, 12, 3)
    z_i.requires_grad_()
    masked = mask[c] == 0
    brcd_loss(z_i, t_i, t_j, c, centers, mask, alpha=0, filter="none").backward()
    assert not z_i.grad[masked].any()
    assert z_i.grad[~masked].any()
    z_i.grad = None
    brcd_loss(z_i, t_i, t_j, c, centers, mask, alpha=0.5, filter="none").backward()
    assert z_i.grad[masked].all()


@pytest.mark.parametrize("mode", MODES)
def test_same_cluster_negatives_weigh_nothing(mode: str) -> None:
    z_i, t_i, _, _, centers, _ = case(2, 5, 12, 2)
    c = torch.tensor([0, 0, 0, 1, 1])
    t_j = centers[c].sign()
    rest = (t_i, t_j, c, centers, torch.ones(2, 12))
    before = per_row([z_i, *rest], mode=mode)
    moved = z_i.clone()
    moved[1] = torch.randn(12, generator=torch.Generator().manual_seed(0)).double()
    after = per_row([moved, *rest], mode=mode)
    same, other = [0, 2, 5, 7], [3, 4, 8, 9]  # rows of images 0 and 2; of images 3 and 4
    assert torch.equal(before[same], after[same])
    assert (before[other] != after[other]).all()
    z_i.requires_grad_()
    per_row([z_i, *rest], mode=mode)[same].sum().backward()
    assert not z_i.grad[1].any()


def test_offset_view_trusts_the_individual_term_until_it_comes_back() -> None:
    z_i, t_i, _, _, _, mask = case(4, 4, 6, 2)
    centers = torch.tensor([[1.0] * 6, [-1.0] * 6])
    c = torch.tensor([0, 0, 1, 1])
    t_j = centers[c].clone()
    individual = brcd.individual_similarity(z_i, t_i, tau=0.3)
    for n_flipped, offset in ((2, False), (4, True)):
        t_j[0, :n_flipped] = -1
        view = brcd.assign(t_j, centers)
        assert (view != c).tolist() == [offset, False, False, False]
        got = per_row([z_i, t_i, t_j.double(), c, centers, torch.ones_like(mask)])
        s = brcd.structural_similarity(z_i, t_j.double(), tau=0.3)
        alpha = 1 if offset else 0.8
        pos = alpha * individual[0] + (1 - alpha) * s[0, 4]
        kept = brcd.kept_negatives(c, view, mode="intended", removal=True)
        for row in (0, 4):
            terms = torch.cat([pos[None], s[row][kept[row]]])
            assert got[row].item() == pytest.approx((terms.logsumexp(0) - pos).item(), abs=1e-12)


def test_offset_view_is_a_negative_under_its_own_cluster() -> None:
    c, view = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    intended = brcd.kept_negatives(c, view, mode="intended", removal=True)
    released = brcd.kept_negatives(c, view, mode="released", removal=True)
    assert intended[4].tolist() == [True, False, False, True, False, False]
    assert released[4].tolist() == [False, False, True, False, False, True]
    assert torch.equal(intended[[0, 1, 2, 3, 5]], released[[0, 1, 2, 3, 5]])
    everything = brcd.kept_negatives(c, view, mode="intended", removal=False)
    assert everything.sum() == 6 * 4


def test_rows_without_negatives_cost_nothing_and_have_finite_gradients() -> None:
    z_i, t_i, t_j, _, centers, mask = case(4, 4, 6, 1)
    z_i.requires_grad_()
    losses = per_row([z_i, t_i, t_j, torch.zeros(4, dtype=torch.int64), centers, mask])
    assert not losses.any()
    losses.mean().backward()
    assert torch.isfinite(z_i.grad).all()
    one = brcd_loss(*(x[:1] for x in example()[:4]), *example()[4:])
    assert one.item() == 0


def test_gradients_are_right_and_reach_the_student_only() -> None:
    z_i, t_i, t_j, c, centers, mask = case(6, 4, 8, 3)
    z_i = (z_i + 0.1 * torch.randn(z_i.shape, generator=torch.Generator().manual_seed(1))).double()
    z_i.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: brcd_loss(z, t_i, t_j, c, centers, mask), [z_i])
    others = [x.clone().requires_grad_() for x in (t_i, t_j, centers, mask)]
    brcd_loss(z_i, others[0], others[1], c, others[2], others[3]).backward()
    assert all(x.grad is None for x in others)


def test_numpy_and_integers_are_welcome() -> None:
    expected = brcd_loss(*example())
    arrays = [x.numpy() for x in example()]
    assert brcd_loss(*arrays) == expected
    integers = [torch.tensor(x) for x in (Z_I, T_I, T_J)]
    assert brcd_loss(*integers, *example()[3:]).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, torch.ones(3), r"student_i: expected shape \(n, n_bits\), got \(3,\)"),
        (1, torch.ones(3, 5), r"teacher_i: expected shape \(3, 6\) as student_i, got \(3, 5\)"),
        (2, torch.ones(2, 6), r"teacher_j: expected shape \(3, 6\) as student_i, got \(2, 6\)"),
        (3, torch.tensor([0, 1]), r"clusters: expected \(3,\) integers, .* got \(2,\)"),
        (3, torch.tensor([0, 1, 2]), r"clusters: expected 0 to 1, got 0 to 2"),
        (4, torch.ones(2, 5), r"centers: expected shape \(n_clusters, 6\), got \(2, 5\)"),
        (5, torch.ones(3, 6), r"mask: expected shape \(2, 6\) as centers, got \(3, 6\)"),
    ],
)
def test_wrong_loss_arguments(position: int, value: Tensor, message: str) -> None:
    arguments = example()
    arguments[position] = value
    with pytest.raises(DistillError, match=message):
        brcd_loss(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, r"alpha: expected 0 to 1, got 1.5"),
        ({"tau": 0}, r"tau: expected a finite number > 0, got 0"),
        ({"mode": "paper"}, r"mode: expected one of intended, released, got 'paper'"),
        ({"filter": "all"}, r"filter: expected one of full, negatives, none, got 'all'"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DistillError, match=message):
        brcd_loss(*example(), **options)
