"""The evaluation's benchmark at small sizes: equal values, a record, a page's block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import evaluation, readme
from bench.evaluation import Size, draw, numpy_loop, ours, values

SIZE = Size("small", 20, 450, 12)


def test_labels_structure_the_codes() -> None:
    problem = draw(SIZE, 24)
    assert problem.image.shape == problem.text.shape == (470, 3)
    assert (problem.labels.sum(axis=1) >= 1).all()
    assert (problem.image != problem.text).any()
    found = ours(problem, evaluation.ONE)
    assert found.directions["image_to_text"].map > found.chance + 0.05
    again = draw(SIZE, 24)
    assert all((a == b).all() for a, b in zip(problem[:3], again[:3], strict=True))


@pytest.mark.parametrize("n_bits", [13, 64])
def test_the_loop_finds_what_ours_finds(n_bits: int) -> None:
    problem = draw(SIZE, n_bits)
    loop, found = numpy_loop(problem), values(ours(problem, evaluation.ONE))
    assert evaluation.difference(found, loop) <= evaluation.TOLERANCE
    assert len(loop["topn"]) == 2
    assert len(loop["recall"]) == n_bits + 1
    distances = np.unpackbits(problem.image[:20, None] ^ problem.text[20:], axis=2).sum(axis=2)
    relevant = (problem.labels[:20, None] & problem.labels[20:]).any(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")
    first = np.take_along_axis(relevant, order, axis=1)[:, :200]
    assert loop["topn"][0] == pytest.approx(first.mean())
    assert loop["precision"][-1] == pytest.approx(relevant.mean())


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("results") / "evaluation.json"
    evaluation.main(["--sizes", "20x450x5", "--bits", "32", "--out", str(out)])
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_a_record_has_times_memory_and_where(record: dict[str, Any]) -> None:
    (row,) = record["rows"]
    assert (row["n_queries"], row["n_codes"], row["n_labels"], row["n_bits"]) == (20, 450, 5, 32)
    assert list(row["contenders"]) == list(evaluation.CONTENDERS)
    for each in row["contenders"].values():
        assert each["seconds"] > 0
        assert each["cpu_seconds"] > 0
        assert each["peak_bytes"] > 10**6
    assert row["largest_difference"] <= evaluation.TOLERANCE
    assert record["machine"]["cpu"]
    assert record["command"][0] == "bench/evaluation.py"


def test_the_block_of_a_page(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench" / "results").mkdir(parents=True)
    (tmp_path / "bench" / "results" / "made.json").write_text(json.dumps(record))
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    made = readme.rendered("<!-- evaluation made.json -->\nold\n<!-- end -->")
    assert "| 20x450x5 | 20 x 450, 5 | " in made
    assert "Largest difference between any two values" in made
    assert "\nold\n" not in made


def test_values_that_differ_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"seconds": 1.0, "cpu_seconds": 1.0, "memory_bytes": None, "peak_bytes": 1}

    def pretend(contender: str, _: Path) -> dict[str, Any]:
        score = 0.5 if contender == "ours" else 0.5 + 1e-9
        found = {"map": score, "topn": [], "precision": [0.1], "recall": [1.0]}
        return {**took, "values": found}

    monkeypatch.setattr(evaluation, "_in_its_own_process", pretend)
    with pytest.raises(SystemExit, match=r"^small: ours and NumPy's loop differ by 1\.0e-09$"):
        evaluation.measure(SIZE, 16)


@pytest.mark.parametrize("sizes", ["20x450", "axbxc"])
def test_a_size_is_three_numbers(sizes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluation.main(["--sizes", sizes])
    assert "expected queries x items x labels" in capsys.readouterr().err
