"""Which methods, students, code lengths and seeds are compared, most telling first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from distill.config import DistillConfig

Head = Literal["linear", "mlp"]
Teacher = Literal["cibhash", "bihalf", "labelled"]

_OURS = {"mask": "off", "own_loss": False}

METHODS: dict[str, dict[str, Any]] = {
    "alone": {"kind": "alone"},
    "brcd intended": {},
    "brcd no mask": {"mask": "off"},
    "brcd no mask, own loss off": {"mask": "off", "own_loss": False},
    "pointwise w1": {"kind": "pointwise"},
    "pointwise w5": {"kind": "pointwise", "weight": 5.0},
    "pointwise w20": {"kind": "pointwise", "weight": 20.0},
    "bce w1": {"kind": "bce"},
    "bce w5": {"kind": "bce", "weight": 5.0},
    "bce w20": {"kind": "bce", "weight": 20.0},
    # Alone in the sum, a weight changes nothing: Adam divides it out.
    "bce, own loss off": {"kind": "bce", "own_loss": False},
    "pointwise, own loss off": {"kind": "pointwise", "own_loss": False},
    "brcd no filter": {"filter": "none"},
    "brcd no mask, no filter": {"mask": "off", "filter": "none"},
    "brcd released": {"mode": "released", "mask": "zero"},
    "brcd no mask w3": {"mask": "off", "weight": 3.0},
    "brcd no mask w0.33": {"mask": "off", "weight": 1 / 3},
    "sp w1": {"kind": "sp"},
    "sp w3000": {"kind": "sp", "weight": 3000.0},
    "pkt w1": {"kind": "pkt"},
    "pkt w30000": {"kind": "pkt", "weight": 30000.0},
    "hinton w1": {"kind": "hinton"},
    "rkd w1": {"kind": "rkd"},
    "brcd soft mask": {"mask": "soft"},
    "brcd soft mask, own loss off": {"mask": "soft", "own_loss": False},
    "brcd own loss off": {"own_loss": False},
    "brcd no mask, negatives filter": {"mask": "off", "filter": "negatives"},
    "ours, tau 0.2": {**_OURS, "tau": 0.2},
    "ours, tau 0.5": {**_OURS, "tau": 0.5},
    "ours, alpha 0.5": {**_OURS, "alpha": 0.5},
    "ours, alpha 1": {**_OURS, "alpha": 1.0},
    "ours, 5 clusters": {**_OURS, "clusters": 5},
    "ours, 20 clusters": {**_OURS, "clusters": 20},
    "brcd margin 0.3": {"margin": 0.3},
    "brcd margin 0.1": {"margin": 0.1},
    "brcd 30 clusters": {"clusters": 30},
    "brcd 30 clusters, no mask": {"clusters": 30, "mask": "off"},
}
"""Name -> what differs from the defaults of `DistillConfig`."""

FAMILIES = {
    "pointwise": ("pointwise w1", "pointwise w5", "pointwise w20", "pointwise, own loss off"),
    "bce": ("bce w1", "bce w5", "bce w20", "bce, own loss off"),
    "sp": ("sp w1", "sp w3000"),
    "pkt": ("pkt w1", "pkt w30000"),
}
"""Baselines whose weight is tuned, each on its own."""
VARIANTS = (
    "brcd intended",
    "brcd no mask",
    "brcd no mask, own loss off",
    "brcd no mask w3",
    "brcd no mask w0.33",
    "ours, tau 0.2",
    "ours, tau 0.5",
    "ours, alpha 0.5",
    "ours, alpha 1",
    "ours, 5 clusters",
    "ours, 20 clusters",
)
"""Settings of BRCD among which validation chooses; "ours" is without mask and own loss."""
ALIGNED = ("pointwise", "bce", "brcd", "ours")
"""Methods whose codes are the teacher's bit for bit: what begins with one of these."""

FEW = (
    "alone",
    "pointwise w5",
    "bce w5",
    "brcd intended",
    "brcd no mask",
    "brcd no mask, own loss off",
    "ours, alpha 0.5",
)
TUNED = tuple(dict.fromkeys([*FEW, *FAMILIES["pointwise"], *FAMILIES["bce"], "brcd no mask w3"]))
REGIMES = (
    "brcd margin 0.3",
    "brcd margin 0.1",
    "brcd 30 clusters",
    "brcd 30 clusters, no mask",
)
"""Where a mask might do better, one student only."""
MASKS = (*FEW, "brcd soft mask")
SEEDS = (0, 1, 2)
MORE_SEEDS = (3, 4)


def teacher_key(teacher: Teacher, bits: int, seed: int) -> str:
    """The name of a teacher in the record."""
    return f"{teacher}/{bits}/{seed}"


@dataclass(frozen=True)
class Cell:
    """One training and its scores."""

    student: str
    bits: int
    head: Head
    method: str
    seed: int
    teacher: Teacher = "cibhash"

    @property
    def key(self) -> str:
        """Its name in the record."""
        student = self.student if self.teacher == "cibhash" else f"{self.student} {self.teacher}"
        return f"{student}/{self.bits}/{self.head}/{self.method}/{self.seed}"

    @property
    def teacher_key(self) -> str:
        """The name of its teacher in the record."""
        return teacher_key(self.teacher, self.bits, self.seed)

    def settings(self) -> DistillConfig:
        """What is distilled."""
        return DistillConfig(**METHODS[self.method])


def groups() -> Iterator[tuple[str, list[Cell]]]:
    """Groups of cells in the order in which they are measured; teachers are trained per group."""
    ablations = ("brcd no filter", "brcd no mask, no filter", "brcd released", "sp w1", "sp w3000")
    relations = ("pkt w1", "pkt w30000", "hinton w1", "rkd w1")
    ours = tuple(name for name in METHODS if name.startswith("ours"))
    everything = tuple(name for name in METHODS if name not in (*REGIMES, *ours))
    sixteen = tuple(dict.fromkeys([*TUNED, *ablations, *relations]))
    yield "S64, 64 bits", _cells("S64", 64, "linear", everything, SEEDS)
    yield "S32, 64 bits", _cells("S32", 64, "linear", everything, SEEDS)
    yield "S64, 16 bits", _cells("S64", 16, "linear", sixteen, SEEDS)
    yield "S64, two more seeds", _cells("S64", 64, "linear", TUNED, MORE_SEEDS)
    yield "S32, two more seeds", _cells("S32", 64, "linear", TUNED, MORE_SEEDS)
    yield "S64, mask regimes", _cells("S64", 64, "linear", REGIMES, SEEDS)
    yield "S64, 256 bits", _cells("S64", 256, "linear", MASKS, SEEDS)
    yield "S64, our variant", _cells("S64", 64, "linear", ours, (*SEEDS, *MORE_SEEDS))
    yield "S32, our variant", _cells("S32", 64, "linear", ours, (*SEEDS, *MORE_SEEDS))
    labelled = (*MASKS, "brcd no filter", "brcd no mask, no filter")
    yield "S64, labelled", _cells("S64", 64, "linear", labelled, SEEDS, "labelled")
    yield "S64, Bi-half", _cells("S64", 64, "linear", FEW, SEEDS, "bihalf")
    yield "S64, 32 bits", _cells("S64", 32, "linear", FEW, SEEDS)
    yield "S64, 64 bits, MLP", _cells("S64", 64, "mlp", TUNED, (*SEEDS, *MORE_SEEDS))
    yield "S32, 16 bits", _cells("S32", 16, "linear", FEW, SEEDS)


def quick() -> Iterator[tuple[str, list[Cell]]]:
    """A few cells that show the whole path."""
    yield "quick", _cells("S32", 64, "linear", FEW, (0,))


def _cells(
    student: str,
    bits: int,
    head: Head,
    methods: tuple[str, ...],
    seeds: tuple[int, ...],
    teacher: Teacher = "cibhash",
) -> list[Cell]:
    return [Cell(student, bits, head, m, seed, teacher) for m in methods for seed in seeds]
