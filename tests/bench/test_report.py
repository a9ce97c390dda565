from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import figure, report
from bench.shapes import Shape


def contender(seconds: float, **other: object) -> dict:
    wall = {"wall_p50_s": seconds, "wall_p90_s": 2 * seconds, "rate": 4 / seconds}
    about = {"version": "1", "configuration": "as it is", "agrees_in": "all"}
    return {"cpu_min_s": seconds, **wall, **about, **other}


def row(suite: str = "topk", *, n_queries: int = 100, ceiling: dict | None = None) -> dict:
    shape = Shape(64, 1000, n_queries, 10)
    return {
        "suite": suite,
        "name": str(shape),
        "shape": asdict(shape),
        "backend": "avx2",
        "unit": "Gcmp/s",
        "contenders": {
            "hamming": contender(1.0, peak_bytes=12_400_000),
            "rival": contender(8.0),
            "absent": {"missing": "not installed"},
        },
        "ratios": {"rival": {"cpu": 8.0, "wall": 7.0}},
        "ceiling": ceiling,
        "verdicts": ["≥ 10x: missed"],
    }


MEMORY = {"rate": 8.0, "bound": "memory", "fraction": 0.5}


def record(*rows: dict) -> dict:
    return {
        "command": ["bench/latency.py"],
        "threads": 1,
        "backend": "avx2",
        "other_processes_cpus": 0.1,
        "machine": {
            "cpu": "a CPU",
            "logical_cpus": 2,
            "versions": {"numpy": "2"},
            "git": {"commit": "0123456789"},
            "environment": {"OMP_WAIT_POLICY": "PASSIVE"},
        },
        "ceilings": {
            "read": {
                "gb_per_s": 20.0,
                "best": "a loop",
                "candidates_gb_per_s": {"a loop": 20.0},
                "array_bytes": 10**6,
            },
            "read_gb_per_s": {"8000": 40.0, "1000000": 20.0},
            "popcount": {
                "avx2, 64 bits": {"gcmp_per_s": 6.0, "instructions": "AVX2"},
                "avx2, 32 bits": {"missing": "not measured: no C compiler"},
            },
        },
        "rows": list(rows),
    }


def on_screen(of: dict, capsys: pytest.CaptureFixture[str]) -> str:
    report.show(of)
    return capsys.readouterr().out


def test_the_screen_has_a_table_for_single_queries_and_one_for_batches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = on_screen(record(row(n_queries=1, ceiling=MEMORY), row()), capsys)
    for words in (
        "one query: p50 / p90",
        "1 s / 2 s",
        "4 Gcmp/s",
        "8.0x cpu / 7.0x wall",
        "50% memory",
        "≥ 10x: missed",
        "12 MB",
        "popcount at avx2, 64 bits: 6 Gcmp/s (AVX2)",
        "rival 1: as it is; equal to the exact answer in all",
        "absent: not installed",
    ):
        assert words in shown


def test_the_lines_of_a_page() -> None:
    assert report.summary([row(ceiling=MEMORY)]) == [
        ("shape", "hamming", "of the ceiling", "memory", "rival takes", "absent takes"),
        (str(Shape(64, 1000, 100, 10)), "4 Gcmp/s", "50% memory", "12 MB", "8.0x", "-"),
    ]
    threads = report.summary([row("threads")])
    assert threads[1][-2:] == ("7.0x", "-")  # by wall time: CPU time says nothing about threads


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_figure_is_the_same_for_the_same_results(tmp_path: Path, suffix: str) -> None:
    made = record(row("batch_size", n_queries=1), row("batch_size"))
    for name in ("one", "two"):
        path = tmp_path / "new" / f"{name}.{suffix}"
        figure.save(made, path)
    one, two = (tmp_path / "new" / f"{name}.{suffix}" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size > 5000


def test_the_command_shows_a_file_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    report.save(record(row()), path)
    assert report.main([str(path)]) == 0
    assert "4 Gcmp/s" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        report.main([str(path), "--figure", str(tmp_path / "figure.png")])
    assert "expected rows of the suite batch_size, got none" in capsys.readouterr().err
    path.write_text("{}")
    with pytest.raises(SystemExit):
        report.main([str(path)])
    assert "expected a result of bench/latency.py" in capsys.readouterr().err


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
