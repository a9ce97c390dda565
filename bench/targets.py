"""The targets of the design's table, and why those that are missed are missed.

The table is section 2 of the design of the CPU search: one thread, k=10 and random codes unless it
says otherwise, set on a 2-core Sapphire Rapids machine against faiss-cpu 1.15.1 in one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from .shapes import Shape

# Machines are noisy: so far under its target a figure counts as reached.
TOLERANCE = 0.10

Kind = Literal["faiss", "memory", "order", "faiss, 2 threads", "hamming, 1 thread"]


@dataclass(frozen=True)
class Target:
    """One demand of the table.

    Attributes:
        prototype: what a throwaway prototype reached on the design's machine.
        goal: the least figure to reach; the most where `kind` is "order".
        kind: what the figure is. "faiss": its CPU time over ours; "memory": our throughput over the
            ceiling that the read bandwidth sets; "order": our CPU time over that on random codes;
            the others: the wall time of that contender of the suite `threads` over ours on two.
    """

    name: str
    prototype: str
    goal: float
    shapes: tuple[Shape, ...]
    kind: Kind = "faiss"

    @property
    def words(self) -> str:
        if self.kind == "memory":
            return f"≥ {self.goal:.0%} of read bandwidth"
        return f"≤ {self.goal:g}x slower" if self.kind == "order" else f"≥ {self.goal:g}x"


def _q100(n_bits: int, n_codes: int = 1_000_000, **other: object) -> Shape:
    return Shape(n_bits, n_codes, 100, **{"k": 10, **other})  # type: ignore[arg-type]


_WIDE = tuple(Shape(n_bits, 1_000_000, 1, 10) for n_bits in (256, 512, 768, 1024))
_BAD_ORDERS = (
    _q100(64, order="descending"),
    _q100(64, order="equal"),
    _q100(64, k=1000, order="descending"),
)
_LARGE_ONE = Shape(64, 10_000_000, 1, 10)

TARGETS: tuple[Target, ...] = (
    Target("64 bits, N=1e7, Q=100", "21x", 18, (_q100(64, 10_000_000),)),
    Target("64 bits, N=1e7, Q=1", "2.2x", 2, (_LARGE_ONE,)),
    Target("64 bits, N=1e7, Q=1: bandwidth", "", 0.85, (_LARGE_ONE,), "memory"),
    Target("64 bits, N=1e6, Q=10", "10.9x", 10, (Shape(64, 1_000_000, 10, 10),)),
    Target("64 bits, N=1e6, Q=1", "3.4x", 3, (Shape(64, 1_000_000, 1, 10),)),
    Target("32 bits, N=1e6, Q=100", "20x", 18, (_q100(32),)),
    Target("128 bits, N=1e6, Q=100", "12x", 11, (_q100(128),)),
    Target("256 bits, Q=100", "5.6-7.1x", 6, (_q100(256),)),
    Target("512 bits, Q=100", "5.0x", 5, (_q100(512),)),
    Target("768 bits, Q=100", "8.4x", 7, (_q100(768),)),
    Target("1024 bits, Q=100", "7.2x", 5, (_q100(1024),)),
    Target("256-1024 bits, Q=1", "1.5-2.7x", 1.5, _WIDE),
    Target("64 bits, N=1e6, Q=100, k=1000", "6.3x", 10, (_q100(64, k=1000),)),
    Target("AVX2 forced, 64 bits, Q=100", "4.1x", 4, (_q100(64, backend="avx2"),)),
    Target("two threads against faiss's two", "14-19x", 14, (_q100(64),), "faiss, 2 threads"),
    Target("two threads against our one", "", 1.8, (_q100(64),), "hamming, 1 thread"),
    Target("worst order against random", "3.8x slower", 2.5, _BAD_ORDERS, "order"),
)

# Target.name -> why it is missed on the machine of the committed results, and what was tried; how
# near the shape comes to the machine's limit is evidence(), from the same results.
_NEAR_THE_CEILING = (
    "the rest of the machine's own limit is filling tiles and starting sweeps, and faiss is faster "
    "here than where the prototype was measured"
)
REASONS: dict[str, str] = {
    "64 bits, N=1e7, Q=100": _NEAR_THE_CEILING,
    "128 bits, N=1e6, Q=100": (
        f"{_NEAR_THE_CEILING}. Tried: tiles of 32 KB (too large for an L1 of 32 KB), a loop over "
        "the words at run time (slower), two queries a sweep and prefetching (kept)"
    ),
    "256 bits, Q=100": _NEAR_THE_CEILING,
    "64 bits, N=1e6, Q=100, k=1000": (
        "a query accepts about k (1 + ln(N/k)) codes, spread over some 4000 blocks of 64 that are "
        "compared again and compressed, whatever their number in each. Tried: compress-stores and "
        "counting in batches (kept), a first limit from a sample (kept for the worst orders: it "
        "saves random ones nothing, because what the sample accepts is what it spares)"
    ),
}


class Figure(NamedTuple):
    """What was measured for a target on one shape."""

    name: str
    value: float
    words: str
    verdict: str


def figure(target: Target, row: dict, rows: Sequence[dict]) -> Figure | None:
    """What a row says about a target; None where it is another suite's or shape's."""
    suite = "threads" if target.kind in ("faiss, 2 threads", "hamming, 1 thread") else "topk"
    if row["suite"] != suite or row["shape"] not in [asdict(shape) for shape in target.shapes]:
        return None
    value = _value(target.kind, row, rows)
    if value is None:
        return None
    words = f"{value:.0%}" if target.kind == "memory" else f"{value:.1f}x"
    words += " slower" if target.kind == "order" else ""
    reached = target.goal / value if target.kind == "order" else value / target.goal
    return Figure(row["name"], value, words, word(reached))


def figures(target: Target, rows: Sequence[dict]) -> list[Figure]:
    """One for each of the target's shapes that a run has."""
    return [found for row in rows if (found := figure(target, row, rows))]


def evidence(row: dict) -> str:
    """How near a shape comes to the machine's limit, beside faiss: "13.8 Gcmp/s, 95% of ..."."""
    shape = row["shape"]
    pairs = shape["n_codes"] * shape["n_queries"] / 1e9
    words = [f"{pairs / _cpu(row):.3g} Gcmp/s"]
    if ceiling := row.get("ceiling"):
        words.append(f"{ceiling['fraction']:.0%} of the {ceiling['bound']} ceiling")
    if faiss := row["contenders"].get("faiss"):
        words.append(f"faiss {pairs / faiss['cpu_min_s']:.2g} Gcmp/s")
    return ", ".join(words)


def verdicts(row: dict, rows: Sequence[dict]) -> list[str]:
    """What a row says about all targets: ["≥ 18x: met"]."""
    found = []
    for target in TARGETS:
        if one := figure(target, row, rows):
            own = "" if target.kind == "faiss" else f"{one.words}, "
            found.append(f"{own}{target.words}: {one.verdict}")
    return found


def word(reached: float) -> str:
    if reached >= 1:
        return "met"
    return f"met within {TOLERANCE:.0%}" if reached >= 1 - TOLERANCE else "missed"


def _value(kind: Kind, row: dict, rows: Sequence[dict]) -> float | None:
    if kind == "memory":
        ceiling = row.get("ceiling")
        return ceiling["fraction"] if ceiling and ceiling["bound"] == "memory" else None
    if kind == "order":
        random = _random(row, rows)
        return _cpu(row) / _cpu(random[0]) if random else None
    ratio = row["ratios"].get(kind)
    return ratio["cpu" if kind == "faiss" else "wall"] if ratio else None


def _random(row: dict, rows: Sequence[dict]) -> list[dict]:
    """The row of the same shape on random codes, where the run has it."""
    wanted = {**row["shape"], "order": "random"}
    same = [other for other in rows if (other["suite"], other["shape"]) == (row["suite"], wanted)]
    return same[:1]


def _cpu(row: dict) -> float:
    return next(iter(row["contenders"].values()))["cpu_min_s"]
