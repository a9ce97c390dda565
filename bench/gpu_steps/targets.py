"""The targets of the GPU search as data, and what a run says about each.

They were set for one NVIDIA H200, as ratios where they can be; a figure that was not taken is "not
run", with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import batches, peers, small_batches, worst_cases
from .frame import NOT_RUN
from .small_batches import EAGER, GRAPH

Rows = dict[str, dict[str, Any]]


class MissingError(Exception):
    """Why a figure was not taken."""


@dataclass(frozen=True)
class Figure:
    """What was measured.

    Attributes:
        value: in the target's unit; of replayed graphs, where there are any.
        beside: another figure to show, in words.
    """

    value: float
    beside: str = ""


@dataclass(frozen=True)
class Target:
    """One demand.

    Attributes:
        goal: the least that is wanted, or the most.
        unit: "%", "x", "ms" or "pairs/s".
        figure: takes it from a record; raises MissingError.
    """

    name: str
    goal: float
    unit: str
    figure: Callable[[dict[str, Any]], Figure]
    most: bool = False


class Verdict(NamedTuple):
    """A line of the table."""

    name: str
    target: str
    measured: str
    verdict: str


def _row(record: dict[str, Any], step: str, name: str) -> dict[str, Any]:
    rows = record["steps"].get(step, {}).get("rows", {})
    if name not in rows:
        raise MissingError(f"no step {step}" if not rows else "no such case")
    found: dict[str, Any] = rows[name]
    if "contenders" not in found and found["status"] != "ran":
        raise MissingError(found.get("reason", found["status"]))
    return found


def _median(row: dict[str, Any], contender: str) -> float:
    """Milliseconds."""
    if contender not in row["contenders"]:
        raise MissingError(row.get("not_run", {}).get(contender) or row.get("reason", "left out"))
    return float(row["contenders"][contender]["median_ms"])


def _both(row: dict[str, Any], n_queries: int) -> tuple[float, float]:
    """Milliseconds of a small batch: as a graph if there is one, and as it is called."""
    eager = _median(row, small_batches.name(n_queries, EAGER))
    try:
        return _median(row, small_batches.name(n_queries, GRAPH)), eager
    except MissingError:
        return eager, eager


def bandwidth(widths: Sequence[int], n_queries: int) -> Callable[[dict[str, Any]], Figure]:
    """The least share of the read bandwidth over the widths, in percent."""

    def figure(record: dict[str, Any]) -> Figure:
        facts = _row(record, "facts", "ceilings")
        if "memory" not in facts:
            raise MissingError(facts.get("reason", "no read bandwidth"))
        read = facts["memory"]["read_bytes_per_second"]
        shares = []
        for n_bits in widths:
            row = _row(record, "small_batches", f"{n_bits} bits")
            shares.append(
                tuple(row["db_bytes"] / (1e-3 * ms) / read for ms in _both(row, n_queries))
            )
        graph, eager = min(shares)
        return Figure(100 * graph, f"called {100 * eager:.0f} %")

    return figure


def milliseconds(record: dict[str, Any]) -> Figure:
    """Of the billion codes."""
    graph, eager = _both(_row(record, "small_batches", small_batches.BILLION), 1)
    return Figure(graph, f"called {eager:.3g} ms")


def over_one(n_bits: int) -> Callable[[dict[str, Any]], Figure]:
    """The time of the batch that should be free, over that of one query."""

    def figure(record: dict[str, Any]) -> Figure:
        row = _row(record, "small_batches", f"{n_bits} bits")
        batch, one = _both(row, small_batches.FREE_BATCH[n_bits]), _both(row, 1)
        return Figure(batch[0] / one[0], f"called {batch[1] / one[1]:.2f}x")

    return figure


def rate(n_bits: int, n_queries: int) -> Callable[[dict[str, Any]], Figure]:
    """Pairs a second of the fastest variant."""

    def figure(record: dict[str, Any]) -> Figure:
        row = _row(record, "batches", f"{n_bits} bits, Q={n_queries}")
        contenders = row["contenders"]
        if not contenders:
            raise MissingError(row.get("reason", "no variant ran"))
        best = max(contenders, key=lambda name: contenders[name]["pairs_per_second"])
        return Figure(contenders[best]["pairs_per_second"], best)

    return figure


def over_peer(peer: str, n_bits: int, n_queries: int) -> Callable[[dict[str, Any]], Figure]:
    """A peer's time over ours."""

    def figure(record: dict[str, Any]) -> Figure:
        shape = next(s for s in peers.SHAPES if (s.n_bits, s.n_queries) == (n_bits, n_queries))
        row = _row(record, "peers", str(shape))
        theirs, ours = _median(row, peer), _median(row, peers.OURS)
        return Figure(theirs / ours, f"{theirs:.3g} to {ours:.3g} ms")

    return figure


def within(title: str, slow: str, fast: str) -> Callable[[dict[str, Any]], Figure]:
    """The time of one contender of a worst case over that of another, the larger of the shapes."""

    def figure(record: dict[str, Any]) -> Figure:
        ratios = {}
        for base in (worst_cases.ONE, worst_cases.BATCH):
            row = _row(record, "worst_cases", f"{title}: {base}")
            ratios[base.n_queries] = _median(row, slow) / _median(row, fast)
        words = ", ".join(f"{ratio:.2f}x at Q={n}" for n, ratio in ratios.items())
        return Figure(max(ratios.values()), words)

    return figure


def first_call(record: dict[str, Any]) -> Figure:
    """In a fresh process whose kernels are in the cache."""
    row = _row(record, "guarantees", "first call")
    return Figure(row["warm_ms"], f"cold {row['cold_ms']:.0f} ms")


def encoder_share(record: dict[str, Any]) -> Figure:
    """Measured elsewhere, beside the encoder."""
    del record
    raise MissingError("bench/latency.py --device cuda reports it")


TARGETS: tuple[Target, ...] = (
    *(
        Target(f"Q=1, {n_bits} bits: of read bandwidth", 90, "%", bandwidth((n_bits,), 1))
        for n_bits in small_batches.WIDTHS
    ),
    Target("Q=2, all widths: of read bandwidth", 80, "%", bandwidth(small_batches.WIDTHS, 2)),
    Target("Q=3, all widths: of read bandwidth", 80, "%", bandwidth(small_batches.WIDTHS, 3)),
    Target(small_batches.BILLION, 2.2, "ms", milliseconds, most=True),
    *(
        Target(f"Q={n}, {n_bits} bits over Q=1", 1.25, "x", over_one(n_bits), most=True)
        for n_bits, n in small_batches.FREE_BATCH.items()
    ),
    *(
        Target(f"Q={n}, 256 bits, k=100: {words}", goal, "pairs/s", rate(256, n))
        for n in (1024, 10_000)
        for words, goal in (("first", 5e12), ("then", 1e13))
    ),
    *(
        Target(f"Q={n}, {n_bits} bits over {peer}", goal, "x", over_peer(peer, n_bits, n))
        for peer, n_bits, n, goal in (
            ("faiss", 256, 1024, 10),
            ("faiss", 256, 10_000, 10),
            ("faiss", 512, 1024, 30),
            ("faiss", 1024, 1024, 30),
            ("torch float16", 256, 1024, 5),
            ("torch float16", 256, 10_000, 5),
            ("torch int8", 256, 1024, 3),
            ("torch int8", 256, 10_000, 3),
            ("faiss", 64, 1, 100),
            ("faiss", 256, 1, 100),
        )
    ),
    Target("k=1000 over k=10", 1.15, "x", within("k", "k=1000", "k=10"), most=True),
    Target("equal codes over random", 2, "x", within("orders", "equal", "random"), most=True),
    Target("first call, warm cache", 50, "ms", first_call, most=True),
    Target("search of the encoder's time", 10, "%", encoder_share, most=True),
)


def verdicts(record: dict[str, Any]) -> list[Verdict]:
    """All targets; a dry run's figures mean nothing, so it has none."""
    return [_verdict(target, record) for target in TARGETS]


def _verdict(target: Target, record: dict[str, Any]) -> Verdict:
    wanted = f"{'<=' if target.most else '>='} {_number(target.goal, target.unit)}"
    if record["dry"]:
        return Verdict(target.name, wanted, "", f"{NOT_RUN}: a dry run")
    try:
        found = target.figure(record)
    except MissingError as error:
        return Verdict(target.name, wanted, "", f"{NOT_RUN}: {error}")
    met = found.value <= target.goal if target.most else found.value >= target.goal
    words = _number(found.value, target.unit) + (f" ({found.beside})" if found.beside else "")
    return Verdict(target.name, wanted, words, "met" if met else "missed")


def _number(value: float, unit: str) -> str:
    return f"{value:.3g}x" if unit == "x" else f"{value:.3g} {unit}"


def crossovers(record: dict[str, Any]) -> list[tuple[int, int | None, int | None]]:
    """Width, and the batches from which mma overtakes popc, and wgmma mma."""
    rows: Rows = record["steps"].get("batches", {}).get("rows", {})
    return [
        (
            n_bits,
            batches.crossover(rows, n_bits, "popc", "mma"),
            batches.crossover(rows, n_bits, "mma", "wgmma"),
        )
        for n_bits in batches.WIDTHS
    ]
