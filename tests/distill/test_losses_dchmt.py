"""DCHMT's objective against loops over the two outputs that its bits have."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distill.losses.dchmt import distance_margin, indecision, softmax_distances

Array = NDArray[np.float64]


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-4, abs=1e-5)


def two_way(logits: Array) -> Array:
    """(n, n_bits, 2) logits to the 2 n_bits outputs of a softmax over each two."""
    outputs = np.zeros_like(logits)
    for i, j in np.ndindex(logits.shape[:2]):
        powers = [math.exp(z) for z in logits[i, j]]
        outputs[i, j] = [power / sum(powers) for power in powers]
    return outputs.reshape(len(logits), -1)


def margin_loss(a: Array, b: Array, s: Array, share: float) -> float:
    """DCHMT's, of the outputs of `two_way`."""
    limit, near_sum, far_sum = math.sqrt(a.shape[1] * share), 0.0, 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            d = math.sqrt(sum((x - y) ** 2 for x, y in zip(a[i], b[j], strict=True)))
            near_sum += (s[i, j] * d) ** 2
            far_sum += ((1 - s[i, j]) * max(limit - d, 0)) ** 2
    return (near_sum + far_sum) / (len(a) * len(b))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(("n", "m", "n_bits"), [(1, 1, 1), (3, 5, 4), (6, 2, 9)])
def test_one_output_of_a_bit_says_what_two_do(n: int, m: int, n_bits: int, share: float) -> None:
    drawn = np.random.default_rng(n_bits)
    one, other = drawn.normal(size=(n, n_bits, 2)), drawn.normal(size=(m, n_bits, 2))
    s = drawn.integers(0, 2, size=(n, m)).astype(float)
    a, b = (torch.tanh(torch.tensor(z[..., 1] - z[..., 0]) / 2).float() for z in (one, other))
    expected = margin_loss(two_way(one), two_way(other), s, share)
    found = distance_margin(a, b, torch.tensor(s).float(), margin=share)
    assert found.item() == near(expected)
    undecided = 1 - float(np.mean([(2 * p - 1) ** 2 for p in two_way(one).ravel()]))
    assert indecision(a).item() == near(undecided)
    larger = one.argmax(axis=2) == 1
    assert np.array_equal(a.numpy() > 0, larger)


def test_decided_bits_have_their_hamming_distance() -> None:
    a, b = torch.ones(1, 8), torch.ones(1, 8)
    b[0, :3] = -1
    assert softmax_distances(a, b).item() == near(math.sqrt(2 * 3))
    different = torch.zeros(1, 1)
    assert distance_margin(a, b, different, margin=3 / 8).item() == near(0)
    assert distance_margin(a, b, different, margin=4 / 8).item() > 0
    assert indecision(a).item() == 0


def test_items_that_coincide_have_a_finite_gradient() -> None:
    a = torch.full((40, 8), 0.5, requires_grad=True)
    s = torch.eye(40)
    distance_margin(a, a, s, margin=0.5).backward()
    assert torch.isfinite(a.grad).all()
    b = torch.full((40, 8), 0.5, requires_grad=True)
    distance_margin(b, torch.full((40, 8), 0.5001), s, margin=0.5).backward()
    assert torch.isfinite(b.grad).all()
    assert b.grad.abs().sum() > 0
