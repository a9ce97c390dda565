from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import report
from bench.shapes import Shape


def row(shape: Shape, *, cpu: float = 1.0, faiss: float | None = None, read: float | None = None):
    ours = {"cpu_min_s": cpu} | ({"read_gb_per_s": read} if read else {})
    ratios = {"faiss": {"cpu": faiss, "wall": faiss}} if faiss else {}
    return {"shape": asdict(shape), "contenders": {"hamming": ours}, "ratios": ratios}


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(10.0, ">= 10x: met"), (9.1, ">= 10x: met within 10%"), (8.9, ">= 10x: under")],
)
def test_a_target_is_met_within_a_tenth(ratio: float, words: str) -> None:
    aimed = row(Shape(64, 100, 10, 1, target=10), faiss=ratio)
    assert report.verdict(aimed, [aimed]) == words


def test_no_target_and_no_faiss_have_no_verdict() -> None:
    for found in (row(Shape(64, 100, 10, 1), faiss=3.0), row(Shape(64, 100, 10, 1, target=10))):
        assert report.verdict(found, [found]) == ""


def test_a_bad_order_is_held_against_the_random_one() -> None:
    random = row(Shape(64, 100, 10, 1, target=10), cpu=2.0)
    equal = row(Shape(64, 100, 10, 1, "equal"), cpu=6.0)
    assert report.verdict(equal, [random, equal]) == "3.0x random (<= 2.5): under"
    assert report.verdict(equal, [equal]) == ""


def test_the_fraction_of_the_bandwidth() -> None:
    record = {"ceilings": {"read": {"gb_per_s": 20.0}, "last_level_cache": 8000}}
    assert report.fraction_of_bandwidth(row(Shape(64, 1001, 1, 1), read=15.0), record) == 0.75
    assert report.fraction_of_bandwidth(row(Shape(64, 1000, 1, 1), read=15.0), record) is None
    assert report.fraction_of_bandwidth(row(Shape(64, 1001, 2, 1)), record) is None


def test_save_keeps_numbers_on_one_line_and_makes_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.json"
    record = {"wall_ns": [1, 2, 3], "names": ["a"], "empty": [], "text": "[1,\n 2]"}
    report.save(record, path)
    assert json.loads(path.read_text()) == record
    assert '"wall_ns": [ 1, 2, 3 ]' in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["out.json"]


def test_a_failed_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    path.write_text("before")

    def no_space(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="No space left"):
        report.save({}, path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (0.000119, "119 µs"), (5e-7, "500 ns")],
)
def test_durations(seconds: float, words: str) -> None:
    assert report.duration(seconds) == words
