from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from bench import targets
from bench.shapes import Shape
from bench.suites import SUITES
from bench.targets import TARGETS, Target

SHAPE = Shape(64, 1000, 10, 1)


def row(shape: Shape = SHAPE, *, suite: str = "topk", cpu: float = 1.0, ceiling=None, **ratios):
    return {
        "suite": suite,
        "name": str(shape),
        "shape": asdict(shape),
        "contenders": {"hamming": {"cpu_min_s": cpu}},
        "ratios": {name.replace("_", " "): found for name, found in ratios.items()},
        "ceiling": ceiling,
    }


def against_faiss(ratio: float) -> dict:
    return row(faiss={"cpu": ratio, "wall": 99.0})


def target(kind: targets.Kind = "faiss", goal: float = 10, shape: Shape = SHAPE) -> Target:
    return Target("a target", "", goal, (shape,), kind)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(10.0, "met"), (9.1, "met within 10%"), (8.9, "missed")]
)
def test_a_target_is_met_within_a_tenth(ratio: float, verdict: str) -> None:
    (found,) = targets.figures(target(), [against_faiss(ratio)])
    assert (found.words, found.verdict) == (f"{ratio:.1f}x", verdict)


def test_rows_of_other_shapes_and_suites_say_nothing() -> None:
    assert not targets.figures(target(), [against_faiss(10) | {"suite": "batch_size"}])
    assert not targets.figures(target(shape=replace(SHAPE, k=2)), [against_faiss(10)])
    assert not targets.figures(target(), [row()])  # faiss is not installed


def test_bandwidth_counts_only_where_it_is_the_bound() -> None:
    for bound, verdicts in (("memory", ["met"]), ("popcount", [])):
        rows = [row(ceiling={"rate": 1, "bound": bound, "fraction": 0.9})]
        assert [f.verdict for f in targets.figures(target("memory", 0.85), rows)] == verdicts


def test_a_bad_order_is_held_against_the_random_one() -> None:
    equal = replace(SHAPE, order="equal")
    aimed = target("order", 2.5, equal)
    rows = [row(cpu=2.0), row(equal, cpu=6.0)]
    (found,) = targets.figures(aimed, rows)
    assert (found.words, found.verdict) == ("3.0x slower", "missed")
    assert not targets.figures(aimed, rows[1:])


def test_threads_are_judged_by_wall_time_in_their_own_suite() -> None:
    two = {"faiss,_2_threads": {"cpu": 1.0, "wall": 15.0}}
    aimed = target("faiss, 2 threads", 14)
    assert [f.verdict for f in targets.figures(aimed, [row(suite="threads", **two)])] == ["met"]
    assert not targets.figures(aimed, [row(**two)])


def test_verdicts_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "TARGETS", (target(), target("memory", 0.85)))
    found = against_faiss(12) | {"ceiling": {"rate": 1, "bound": "memory", "fraction": 0.5}}
    assert targets.verdicts(found, [found]) == [
        "≥ 10x: met",
        "50%, ≥ 85% of read bandwidth: missed",
    ]


def test_evidence_is_of_the_row() -> None:
    found = row(cpu=2.0) | {"ceiling": {"rate": 1, "bound": "popcount", "fraction": 0.5}}
    pairs = SHAPE.comparisons / 1e9
    assert targets.evidence(found) == f"{pairs / 2:.3g} Gcmp/s, 50% of the popcount ceiling"
    found["contenders"]["faiss"] = {"cpu_min_s": 4.0}
    assert targets.evidence(found).endswith(f", faiss {pairs / 4:.2g} Gcmp/s")


def test_every_target_is_measured_by_the_default_suites() -> None:
    measured = {"topk": SUITES["topk"].shapes, "threads": SUITES["threads"].shapes}
    for aimed in TARGETS:
        suite = "threads" if "thread" in aimed.kind else "topk"
        assert set(aimed.shapes) <= set(measured[suite]), aimed.name


def test_reasons_are_those_of_targets() -> None:
    assert set(targets.REASONS) <= {aimed.name for aimed in TARGETS}
