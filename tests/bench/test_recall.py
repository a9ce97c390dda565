"""Recall of search in stages: what is measured, and the tables of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import readme, recall, recall_tables


def made(name: str, n: int, dim: int) -> recall.Vectors:
    x = np.random.default_rng(n).normal(size=(n + 20, dim)).astype(np.float32)
    x = np.abs(x) + x  # means that are not 0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return recall.Vectors(name, x[:20], x[20:])


def features() -> Iterator[recall.Vectors]:
    yield made("text", 300, 24)
    yield made("image", 200, 40)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("results") / "recall.json"
    sizes = {"WIDTH": 24, "N_QUERIES": 20, "N_CLUSTERS": 30, "BITS": (8, 16), "TIMED": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAMMING_THREADS", "1")
        for name, value in (sizes | {"features": features}).items():
            patch.setattr(recall, name, value)
        recall.main(
            ["--n", "400", "--seeds", "0", "1", "--seconds", "0.05", "--out", str(out)],
        )
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_recall_is_the_share_of_what_is_to_be_found() -> None:
    truth = np.array([[1, 2], [3, 4]])
    assert recall.recall(np.array([[2, 1], [3, 9]]), truth) == 0.75
    assert recall.recall(np.array([[5, 6], [1, 2]]), truth) == 0.0


def test_the_truth_is_exact_and_its_ties_go_to_the_earlier_row() -> None:
    vectors = made("text", 300, 24)
    database = np.concatenate([vectors.database, vectors.database])
    found = recall.exact(recall.Vectors("text", vectors.queries, database))
    scores = vectors.queries.astype(np.float64) @ database.astype(np.float64).T
    for row, best in zip(scores, found, strict=True):
        assert set(best) == set(np.argsort(-row.astype(np.float32), kind="stable")[:100])
    assert (found[:, ::2] + 300 == found[:, 1::2]).all()


def test_every_stage_of_every_code(record: dict[str, Any]) -> None:
    rows = record["rows"]
    names = [(row["data"], row["codes"], row["n_bits"], row["k"], row["seed"]) for row in rows]
    assert len(set(names)) == len(names)
    signs = 2 * 2 * 2  # two kinds on two sets, for two k
    fitted = (3 + 2) * 2 * 2 * 2  # kinds, seeds, k
    clusters = (1 + 2 * 2) * 2 * 2
    assert len(rows) == signs + fitted + clusters
    for row in rows:
        found = row["recall"]
        for name in ("rescored", "float32", "int8", "half"):
            assert len(found[name]) == len(record["multiples"])
            assert 0 <= min(found[name]) <= max(found[name]) <= 1
        # More candidates never find less where rows decide.
        assert found["float32"] == sorted(found["float32"])
        assert found["float32"][0] >= found["codes"]
        if row["k"] * record["multiples"][-1] >= row["n"]:
            assert found["float32"][-1] == 1


def test_the_recall_of_codes_alone(record: dict[str, Any]) -> None:
    vectors = made("image", 200, 40)
    bits, db_bits = vectors.queries > 0, vectors.database > 0
    distances = (bits[:, None] != db_bits).sum(axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :10]
    best = np.argsort(-(vectors.queries @ vectors.database.T), axis=1)[:, :10]
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(nearest, best, strict=True)]
    (row,) = (r for r in record["rows"] if (r["data"], r["codes"], r["k"]) == ("image", "sign", 10))
    assert row["recall"]["codes"] == pytest.approx(np.mean(shared))


def test_times_stand_beside_what_was_found(record: dict[str, Any]) -> None:
    found = record["times"]
    assert found["recall"]["float32 scan (NumPy)"] == 1
    assert list(found["1"]) == list(found["20"]) == list(found["recall"])
    assert all(each["cpu_median_s"] >= 0 for each in found["1"].values())


@pytest.mark.parametrize("name", recall_tables.TABLES)
def test_the_blocks_of_a_page(
    record: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench" / "results").mkdir(parents=True)
    (tmp_path / "bench" / "results" / "made.json").write_text(json.dumps(record))
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    block = readme.rendered(f"<!-- recall made.json {name} -->\nold\n<!-- end -->")
    assert "\nold\n" not in block
    assert "`python bench/recall.py`" in block
    head, _, *lines = [line for line in block.splitlines() if line.startswith("|")]
    assert lines
    assert {line.count("|") for line in lines} == {head.count("|")}
    if name in ("text", "image", "clusters"):
        row = next(r for r in record["rows"] if r["data"] == name and r["codes"] == "sign")
        if name != "clusters":
            assert f"| sign | {row['n_bits']} | 10 | {row['recall']['codes']:.3f} |" in lines[0]
        assert "Mean of 2 seeds, whose standard deviation is at most 0." in block
