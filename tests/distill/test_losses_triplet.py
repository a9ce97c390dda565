"""SKDCH's losses against loops in plain Python."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.losses import triplet

RNG = np.random.default_rng(5)
NEAR = {"rel": 1e-5, "abs": 1e-6}


def codes(n: int, n_bits: int = 6) -> Tensor:
    return torch.tensor(RNG.uniform(-1, 1, (n, n_bits)))


def sigmoid_distance(a: Tensor, b: Tensor) -> float:
    """Squared distance between u = (1 + h) / 2."""
    total = 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total += ((1 + x) / 2 - (1 + y) / 2) ** 2
    return total


def log_loss(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def test_distances_are_between_sigmoid_outputs() -> None:
    a, b = codes(4), codes(5)
    pairs = triplet.code_distances(a, b)
    for i in range(4):
        assert triplet.code_distance(a[i], b[i]).item() == pytest.approx(
            sigmoid_distance(a[i], b[i])
        )
        for j in range(5):
            assert pairs[i, j].item() == pytest.approx(sigmoid_distance(a[i], b[j]))


def test_of_binary_codes_the_distance_is_hamming_s() -> None:
    a, b = torch.tensor([1.0, -1, 1, -1]), torch.tensor([1.0, 1, -1, -1])
    assert triplet.code_distance(a, b).item() == 2


def test_equal_codes_have_no_negative_distance() -> None:
    a = torch.full((50, 64), 0.3)
    assert (triplet.code_distances(a, a) >= 0).all()


def test_the_rankings() -> None:
    d = torch.tensor(RNG.uniform(0, 6, (3, 40)))
    near, far, within = d
    plain = [max(0.0, 2 + p - n) for p, n in zip(near.tolist(), far.tolist(), strict=True)]
    improved = [
        max(0.0, 2 + p - (n + w) / 2)
        for p, n, w in zip(near.tolist(), far.tolist(), within.tolist(), strict=True)
    ]
    assert 0 in plain
    assert 0 in improved
    assert triplet.triplet_ranking(near, far, margin=2.0).item() == pytest.approx(
        sum(plain) / 40, **NEAR
    )
    assert triplet.symmetric_ranking(near, far, within, margin=2.0).item() == pytest.approx(
        sum(improved) / 40, **NEAR
    )


def test_the_pull_has_the_gradient_of_the_distance() -> None:
    """The second hinge never sleeps: weighted by epsilon it adds epsilon times the distance's."""
    epsilon, a, b = 0.02, codes(7).requires_grad_(), codes(7)
    pull = epsilon * triplet.absolute_pull(triplet.code_distance(a, b), offset=0.1)
    (of_pull,) = torch.autograd.grad(pull, a)
    (of_distance,) = torch.autograd.grad(triplet.code_distance(a, b).mean(), a)
    assert torch.allclose(of_pull, epsilon * of_distance, rtol=1e-12, atol=0)
    assert (of_pull != 0).all()
    value = sum(0.1 + sigmoid_distance(x, y) for x, y in zip(a, b, strict=True)) / 7
    assert pull.item() == pytest.approx(epsilon * value)


def test_an_offset_below_zero_lets_near_positives_be() -> None:
    d = torch.tensor([0.5, 2.0], requires_grad=True)
    triplet.absolute_pull(d, offset=-1.0).backward()
    assert d.grad is not None
    assert d.grad.tolist() == [0, 0.5]


def test_partners() -> None:
    near, far = torch.tensor(RNG.uniform(0, 5, (2, 9)))
    partners = torch.arange(9) % 3 == 0
    wanted = sum(
        log_loss(-p, float(own)) / 9
        for p, own in zip(near.tolist(), partners.tolist(), strict=True)
    )
    wanted += sum(log_loss(-n, 0.0) / 9 for n in far.tolist())
    found = triplet.partner_likelihood(near, far, partners)
    assert found.item() == pytest.approx(wanted, **NEAR)


def test_the_reward() -> None:
    near, chosen = torch.tensor(RNG.uniform(0, 5, (2, 6, 2)))
    rewards = triplet.margin_reward(near, chosen, margin=1.5)
    for i in range(6):
        for j in range(2):
            away = abs(1.5 + near[i, j].item() - chosen[i, j].item())
            assert rewards[i, j].item() == pytest.approx(10**-away, **NEAR)
    at_margin = triplet.margin_reward(torch.tensor(2.0), torch.tensor(3.5), margin=1.5)
    assert at_margin.item() == 1


def test_the_choice() -> None:
    scores, rewards = torch.tensor(RNG.normal(size=(2, 5, 3)))
    total = 0.0
    for row, paid in zip(scores.tolist(), rewards.tolist(), strict=True):
        norm = sum(map(math.exp, row))
        total += sum(abs(math.exp(s) / norm - r) for s, r in zip(row, paid, strict=True))
    assert triplet.choice_loss(scores, rewards).item() == pytest.approx(total / 15, **NEAR)


def test_classes_that_are_not_known_are_not_read() -> None:
    logits = torch.tensor(RNG.normal(size=(4, 3)), requires_grad=True)
    labels = torch.tensor([[1.0, 0, 0], [math.nan] * 3, [0, 1, 1], [math.nan] * 3]).double()
    known = torch.tensor([True, False, True, False])
    loss = triplet.class_likelihood(logits, labels, known)
    wanted = sum(
        log_loss(logits[i, k].item(), labels[i, k].item()) for i in (0, 2) for k in (0, 1, 2)
    )
    assert loss.item() == pytest.approx(wanted / 6, **NEAR)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[[1, 3]] == 0).all()
    assert triplet.class_likelihood(logits, labels, known & False).item() == 0
