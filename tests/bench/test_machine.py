from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import hamming
from bench import ceilings, machine


def test_the_facts_are_there_and_are_json() -> None:
    facts = json.loads(json.dumps(machine.facts()))
    assert facts["cpu"]
    assert facts["kernel"]
    assert 1 <= facts["usable_cpus"] <= facts["logical_cpus"]
    assert facts["backends"] == list(hamming.backends())
    assert facts["versions"]["numpy"]
    assert len(facts["extension"]["sha256"]) == 64
    assert len(machine.load_average()) == 3


def test_the_flags_are_read_from_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.build() is None
    folder = tmp_path / "build" / f"cp{sys.version_info.major}{sys.version_info.minor}-here"
    (folder / "CMakeFiles" / "3.0").mkdir(parents=True)
    (folder / "CMakeFiles" / "3.0" / "CMakeCXXCompiler.cmake").write_text(
        'set(CMAKE_CXX_COMPILER_ID "GNU")\nset(CMAKE_CXX_COMPILER_VERSION "12.2.0")\n'
    )
    (folder / "build.ninja").write_text(
        "build CMakeFiles/_core.dir/csrc/cpu/a.cpp.o: CXX /x/csrc/cpu/a.cpp || y\n"
        "  DEFINES = -D_core\n  FLAGS = -O3\n\n"
        "build CMakeFiles/_core.dir/csrc/cpu/b.cpp.o: CXX /x/csrc/cpu/b.cpp || y\n"
        "  FLAGS = -O3 -mavx2\n"
    )
    assert machine.build() == {
        "compiler": "GNU 12.2.0",
        "flags": {"cpu/a.cpp": "-O3", "cpu/b.cpp": "-O3 -mavx2"},
    }


def test_the_work_of_others_leaves_out_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, wall, own = iter([100.0, 112.0]), iter([0.0, 8.0]), iter([1.0, 9.0])
    monkeypatch.setattr(machine, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(machine.time, "process_time", lambda: next(own))
    assert machine.Others().cpus() == 0.5  # 12 s of work, 8 of them ours, in 8 s


def test_there_is_no_commit_outside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.git() is None


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bandwidth_names_its_best_reader(threads: int) -> None:
    found = ceilings.read_bandwidth(threads, n_bytes=1 << 20, seconds=0)
    assert found["gb_per_s"] == found["candidates_gb_per_s"][found["best"]] > 0
    assert found["gb_per_s"] == max(found["candidates_gb_per_s"].values())
