"""The behavioural tests of the spec on drawn features, where the truth is known.

A class has a code; a teacher's view of an item is that code with some bits flipped, so that its
codes come without any training. The student sees the class through a weak random map. What is
trained is the student's head, by the very stages of `distill.methods.brcd`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.distillation.cell import train_student
from bench.distillation.grid import Cell
from distill.image_runs import packed_codes
from distill.methods.brcd import Distillation
from distill.metrics import mean_average_precision
from distill.types import Split

N_CLASSES, N_BITS, DIM = 10, 64, 64
N_TRAIN, N_DATABASE, N_QUERY, VIEWS = 1000, 2000, 500, 4
EPOCHS, SEEDS = 15, (0, 1, 2)
Maps = tuple[float, float]
"""Symmetric, asymmetric."""
RELATIONS = ("pkt w30000", "sp w3000", "rkd w1")


@dataclass(frozen=True)
class World:
    """Drawn features.

    Attributes:
        train: as the stages take it.
        teacher, student: features of clean items, database first.
        labels: (n_items, N_CLASSES).
    """

    train: Split
    teacher: Tensor
    student: Tensor
    labels: NDArray[np.uint8]

    def maps(self, head: nn.Module) -> Maps:
        """Symmetric and asymmetric MAP of a student's head."""
        ours, theirs = packed_codes(head, self.student), packed_codes(nn.Identity(), self.teacher)
        queries, database = ours[N_DATABASE:], self.labels[:N_DATABASE]
        return (
            mean_average_precision(queries, ours[:N_DATABASE], self.labels[N_DATABASE:], database),
            mean_average_precision(
                queries, theirs[:N_DATABASE], self.labels[N_DATABASE:], database
            ),
        )


def draw(seed: int, *, jumps: float = 0.0, coins: float = 0.0) -> World:
    """Draw a world.

    Args:
        seed: of everything.
        jumps: share of views that belong to an item of another class.
        coins: share of the bits of each class that are coin flips for it.
    """
    generator = torch.Generator().manual_seed(seed)
    codes = torch.where(torch.rand(N_CLASSES, N_BITS, generator=generator) < 0.5, -1.0, 1.0)
    useful = torch.rand(N_CLASSES, N_BITS, generator=generator) >= coins
    maps = torch.randn(N_CLASSES, DIM, generator=generator)
    n_items = N_DATABASE + N_QUERY
    classes = torch.randint(N_CLASSES, (n_items,), generator=generator)

    def views(of: Tensor, flips: float, noise: float) -> tuple[Tensor, Tensor]:
        signs = torch.where(torch.rand(*of.shape, N_BITS, generator=generator) < flips, -1.0, 1.0)
        coin = torch.where(torch.rand(*of.shape, N_BITS, generator=generator) < 0.5, -1.0, 1.0)
        teacher = torch.where(useful[of], codes[of] * signs, coin)
        return teacher, maps[of] + noise * torch.randn(*of.shape, DIM, generator=generator)

    teacher, student = views(classes, 0.05, 2.5)
    own = classes[:N_TRAIN, None].expand(-1, VIEWS)
    other = torch.randint(N_CLASSES, own.shape, generator=generator)
    jump = torch.rand(own.shape, generator=generator) < jumps
    seen = torch.where(jump, other, own)
    teacher_views, student_views = views(seen, 0.05, 2.5)
    labels = nn.functional.one_hot(classes, N_CLASSES)
    features = {"teacher": teacher_views, "student": student_views, "clean": teacher[:N_TRAIN]}
    train = Split(features, labels[:N_TRAIN].float())
    return World(train, teacher, student, labels.numpy().astype(np.uint8))


def score(
    world: World, method: str, seed: int, adjust: Callable[[Distillation], None] | None = None
) -> Maps:
    """Train one student and return its MAP, symmetric and asymmetric."""
    cell = Cell("synthetic", N_BITS, "linear", method, seed)
    head = train_student(cell, world.train, nn.Identity(), EPOCHS, None, adjust)
    return world.maps(head)


def measure() -> list[dict[str, Any]]:
    """Run tests 10 to 14, each over the seeds."""
    methods = ("alone", "brcd intended", "brcd no mask", "brcd no filter", "pointwise w5")
    clean = {m: [score(draw(s), m, s) for s in SEEDS] for m in (*methods, *RELATIONS)}
    jumped = {
        m: [score(draw(s, jumps=0.3), m, s) for s in SEEDS]
        for m in ("brcd intended", "brcd no filter")
    }
    coins = {
        m: [score(draw(s, coins=0.5), m, s) for s in SEEDS]
        for m in ("brcd intended", "brcd no mask")
    }
    coins["useful bits masked"] = [
        score(draw(s, coins=0.5), "brcd intended", s, _mask_useful) for s in SEEDS
    ]
    upper = [_teacher_map(draw(s)) for s in SEEDS]
    return [
        *_distilled(clean),
        *_relations(clean),
        _order("11 a third of the views jump class: filter - none", jumped, "brcd no filter"),
        _order("11 clean views: filter - none >= -.01", clean, "brcd no filter", least=-0.01),
        _order("12 half of a class's bits are coins: mask - none", coins, "brcd no mask"),
        _order("12 mask - useful bits masked instead", coins, "useful bits masked"),
        _order("13 full - no mask, reported", clean, "brcd no mask", gate=False),
        _order("13 full - no filter, reported", clean, "brcd no filter", gate=False),
        _between(clean, upper),
    ]


def _mask_useful(stage: Distillation) -> None:
    stage.mask = 1 - stage.mask


def _teacher_map(world: World) -> float:
    codes = packed_codes(nn.Identity(), world.teacher)
    labels = world.labels[N_DATABASE:], world.labels[:N_DATABASE]
    return mean_average_precision(codes[N_DATABASE:], codes[:N_DATABASE], *labels)


def _distilled(scores: Mapping[str, list[Maps]]) -> Iterator[dict[str, Any]]:
    gains = _differences(scores["brcd intended"], scores["alone"])
    for k, paradigm in enumerate(("symmetric", "asymmetric")):
        yield _entry(f"10 distilled - alone, {paradigm}", [gain[k] for gain in gains])
    larger = [asym - sym for sym, asym in gains]
    yield _entry("10 the asymmetric gap is the larger", larger)


def _relations(scores: Mapping[str, list[Maps]]) -> Iterator[dict[str, Any]]:
    for method in ("alone", *RELATIONS):
        found = [asym for _, asym in scores[method]]
        near = min(found) >= 0.5 / N_CLASSES and max(found) <= 2.5 / N_CLASSES
        yield {
            "name": f"10 {method} asymmetric near chance ({1 / N_CLASSES:g})",
            "found": f"{min(found):.3f} to {max(found):.3f}",
            "passed": near,
        }


def _order(
    name: str,
    scores: Mapping[str, list[Maps]],
    other: str,
    *,
    least: float = 0.0,
    gate: bool = True,
) -> dict[str, Any]:
    """Full BRCD against another setting: the mean of both paradigms, seed by seed."""
    found = [sum(pair) / 2 for pair in _differences(scores["brcd intended"], scores[other])]
    return _entry(name, found, least=least, gate=gate)


def _between(scores: Mapping[str, list[Maps]], upper: list[float]) -> dict[str, Any]:
    """14: symmetric <= asymmetric <= teacher for both sides."""
    triples = [
        (sym, asym, top) for (sym, asym), top in zip(scores["brcd intended"], upper, strict=True)
    ]
    means = [statistics.mean(values) for values in zip(*triples, strict=True)]
    return {
        "name": "14 symmetric <= asymmetric <= teacher for both sides",
        "found": " <= ".join(f"{value:.3f}" for value in means),
        "passed": means == sorted(means),
    }


def _differences(one: list[Maps], other: list[Maps]) -> list[Maps]:
    return [(a - c, b - d) for (a, b), (c, d) in zip(one, other, strict=True)]


def _entry(
    name: str, values: list[float], *, least: float = 0.0, gate: bool = True
) -> dict[str, Any]:
    mean = statistics.mean(values)
    found = f"{mean:+.4f} ({', '.join(f'{value:+.4f}' for value in values)})"
    return {"name": name, "found": found, "passed": mean >= least if gate else None}
