"""Every function on every backend against the C++ oracle, on memory that ends at a guarded page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native import programs


def test_the_corpus(release: Path) -> None:
    corpus = programs.HERE / "corpus"
    said = programs.run(release / "replay", corpus)
    assert f"{len(list(corpus.iterdir()))} problems, 0 wrong" in said


@pytest.mark.parametrize("seed", [1, 2])
def test_random_problems(release: Path, seed: int) -> None:
    assert "3000 problems, 0 wrong" in programs.run(
        release / "replay", "--random", "3000", str(seed)
    )


def test_callers_at_once(release: Path) -> None:
    assert "; 0 wrong answers" in programs.run(release / "threads", "200", "1")


def test_memory_that_runs_out(release: Path) -> None:
    assert ", 0 wrong" in programs.run(release / "short_of_memory")
