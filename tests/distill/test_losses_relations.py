"""The distillation baselines against loops written from their formulas."""

import math
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from distill.losses import relations

Rows = list[list[float]]
PAIRS = {
    "pointwise_cosine": relations.pointwise_cosine,
    "hinton_kl": relations.hinton_kl,
    "relational_distance": relations.relational_distance,
    "relational_angle": relations.relational_angle,
    "pkt": relations.pkt,
    "similarity_preserving": relations.similarity_preserving,
}
RELATIONAL = ("relational_distance", "relational_angle", "pkt", "similarity_preserving")


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def minus(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def cosine(a: list[float], b: list[float]) -> float:
    scale = math.sqrt(dot(a, a) * dot(b, b))
    return dot(a, b) / scale if scale else 0.0


def huber(e: float) -> float:
    return e * e / 2 if abs(e) < 1 else abs(e) - 0.5


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x / 4) for x in row)
    return [math.exp(x / 4) / total for x in row]


def pointwise(z: Rows, t: Rows) -> float:
    return sum(1 - cosine(a, b) for a, b in zip(z, t, strict=True)) / len(z)


def hinton(z: Rows, t: Rows) -> float:
    total = 0.0
    for a, b in zip(z, t, strict=True):
        for p, q in zip(softmax(b), softmax(a), strict=True):
            total += p * math.log(p / q)
    return 16 * total / len(z)


def distance(z: Rows, t: Rows) -> float:
    n, scaled = len(z), []
    for rows in (z, t):
        found = {}
        for i in range(n):
            for j in range(n):
                found[i, j] = math.sqrt(dot(minus(rows[i], rows[j]), minus(rows[i], rows[j])))
        apart = [d for (i, j), d in found.items() if i != j]
        mean = sum(apart) / len(apart) if sum(apart) else 1.0
        scaled.append({pair: d / mean for pair, d in found.items()})
    return sum(huber(scaled[0][pair] - scaled[1][pair]) for pair in scaled[0]) / n**2


def angle(z: Rows, t: Rows) -> float:
    n, total = len(z), 0.0
    for i in range(n):
        for j in range(n):
            for k in range(n):
                ours = cosine(minus(z[j], z[i]), minus(z[k], z[i]))
                theirs = cosine(minus(t[j], t[i]), minus(t[k], t[i]))
                total += huber(ours - theirs)
    return total / n**3


def probabilistic(z: Rows, t: Rows) -> float:
    n, total = len(z), 0.0
    for i in range(n):
        p, q = ([(cosine(rows[i], rows[j]) + 1) / 2 for j in range(n)] for rows in (z, t))
        for a, b in zip(p, q, strict=True):
            ours, theirs = a / sum(p), b / sum(q)
            total += theirs * math.log((theirs + 1e-7) / (ours + 1e-7))
    return total / n**2


def gram(z: Rows, t: Rows) -> float:
    n, total = len(z), 0.0
    for i in range(n):
        g, h = ([dot(rows[i], rows[j]) for j in range(n)] for rows in (z, t))
        for a, b in zip(g, h, strict=True):
            total += (a / math.sqrt(dot(g, g)) - b / math.sqrt(dot(h, h))) ** 2
    return total / n**2


LOOPS: dict[str, Callable[[Rows, Rows], float]] = {
    "pointwise_cosine": pointwise,
    "hinton_kl": hinton,
    "relational_distance": distance,
    "relational_angle": angle,
    "pkt": probabilistic,
    "similarity_preserving": gram,
}


def codes(n: int, n_bits: int, seed: int, *, binary: bool = True) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(n, n_bits, generator=random, dtype=torch.float64)
    return values.sign() if binary else values


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31 - 1)),
    binary=st.booleans(),
)
def test_against_loops(name: str, shape: tuple[int, int, int], binary: bool) -> None:
    n, n_bits, seed = shape
    z = codes(n, n_bits, seed, binary=binary)
    t = codes(n, n_bits, seed + 1)
    expected = LOOPS[name](z.tolist(), t.tolist())
    assert PAIRS[name](z, t).item() == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_bitwise_cross_entropy() -> None:
    x, t = codes(4, 5, 0, binary=False) * 3, codes(4, 5, 1)
    total = 0.0
    for value, target in zip(x.flatten().tolist(), t.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-value))
        total -= math.log(p if target > 0 else 1 - p) / 20
    assert relations.bitwise_cross_entropy(x, t).item() == pytest.approx(total, abs=1e-12)
    assert relations.bitwise_cross_entropy(1000 * t, -t).item() == pytest.approx(1000)


def test_temperature() -> None:
    z, t = codes(3, 5, 0), codes(3, 5, 1)
    scaled = relations.hinton_kl(z / 4, t / 4, temperature=1) * 16
    assert relations.hinton_kl(z, t).item() == pytest.approx(scaled.item(), abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_equal_codes_cost_nothing(name: str) -> None:
    t = codes(6, 16, 0)
    assert PAIRS[name](t.clone(), t).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_relations_do_not_see_which_bit_is_which(name: str) -> None:
    z, t = codes(8, 16, 0), codes(8, 16, 1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    flipped = z[:, order].clone()
    flipped[:, 0] *= -1
    same = PAIRS[name](flipped, t).item() == pytest.approx(PAIRS[name](z, t).item(), abs=1e-9)
    assert same == (name in RELATIONAL)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("n_equal", [2, 4])
def test_gradients_of_coinciding_codes_are_finite(name: str, n_equal: int) -> None:
    z, t = codes(4, 8, 0).float(), codes(4, 8, 1).float()
    z[:n_equal], t[2:] = z[0], t[2]
    z.requires_grad_()
    t.requires_grad_()
    PAIRS[name](z, t).backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().max() < 100
    assert t.grad is None


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_of_opposite_codes_are_finite(name: str) -> None:
    t = codes(4, 8, 1).float()
    z = torch.stack([t[0], -t[0], t[1], -t[1]]).requires_grad_()
    PAIRS[name](z, t).backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", PAIRS)
def test_gradients(name: str) -> None:
    z, t = codes(4, 6, 0, binary=False).requires_grad_(), codes(4, 6, 1)
    assert torch.autograd.gradcheck(lambda x: PAIRS[name](x, t), [z])
