"""The pages' blocks: written from result files, and never from an old one unnoticed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bench import readme, report, targets
from bench.targets import TARGETS
from tests.bench.test_report import record, row
from tests.bench.test_targets import against_faiss, target


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of our own beside a result file of our own."""
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    report.save(record(row(), row("threads")), tmp_path / "bench" / "results" / "made.json")
    path = tmp_path / "page.md"
    monkeypatch.setattr(readme, "PAGES", (path,))
    return path


def test_a_block_is_made_anew_and_the_rest_kept(page: Path) -> None:
    page.write_text("before\n<!-- suite made.json threads -->\nold\n<!-- end -->\nafter\n")
    made = readme.rendered(page.read_text())
    assert made.startswith("before\n<!-- suite made.json threads -->\nTwo threads and one.")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "| 64 bits, N=1e3, Q=100, k=10 | 4 Gcmp/s |" in made
    assert "old" not in made
    assert readme.rendered(made) == made


@pytest.mark.parametrize("kind", ["latency", "targets", "where"])
def test_figures_stand_with_where_they_were_measured(page: Path, kind: str) -> None:
    made = readme.rendered(f"<!-- {kind} made.json -->\n<!-- end -->")
    for words in ("a CPU", "1 thread", "numpy 2", "`python bench/latency.py`", "0123456"):
        assert words in made


def test_the_ceilings_of_a_page(page: Path) -> None:
    made = readme.rendered("<!-- ceilings made.json -->\n<!-- end -->")
    assert "| read of 1 MB | 20 GB/s |" in made
    assert "in L1, avx2, 64 bits | 6 Gcmp/s, AVX2 |" in made
    assert "in L1, avx2, 32 bits | not measured: no C compiler |" in made


def test_check_says_which_page_is_old(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["readme.py", "--check"])
    page.write_text("<!-- ceilings made.json -->\nold\n<!-- end -->\n")
    with pytest.raises(SystemExit, match=r"^page\.md: run python bench/readme\.py$"):
        readme.main()
    assert "old" in page.read_text()
    monkeypatch.setattr("sys.argv", ["readme.py"])
    readme.main()
    monkeypatch.setattr("sys.argv", ["readme.py", "--check"])
    readme.main()


def test_a_page_is_written_whole_and_only_when_it_changes(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    page.write_text("<!-- ceilings made.json -->\nold\n<!-- end -->\n")
    monkeypatch.setattr("sys.argv", ["readme.py"])
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", no_space)
        with pytest.raises(OSError, match="No space left"):
            readme.main()
    assert "old" in page.read_text()
    readme.main()
    assert "old" not in page.read_text()
    os.utime(page, ns=(0, 0))
    for words in (["--check"], []):
        monkeypatch.setattr("sys.argv", ["readme.py", *words])
        readme.main()
        assert page.stat().st_mtime_ns == 0


def test_a_missing_result_file_is_one_sentence(page: Path) -> None:
    with pytest.raises(SystemExit, match=r"expected .*absent\.json, got no such file"):
        readme.rendered("<!-- suite absent.json -->\n<!-- end -->")


def test_a_missed_target_stands_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = {**record(), "rows": [against_faiss(2)]}
    monkeypatch.setattr(targets, "TARGETS", (target(),))
    shown = targets.evidence(missed["rows"][0])
    assert f"| missed: {shown}; **the reason is not written yet** |" in readme.target_table(missed)
    monkeypatch.setattr(targets, "REASONS", {"a target": "the kernel waits for memory"})
    assert f"| missed: {shown}; the kernel waits for memory |" in readme.target_table(missed)
    assert "| not measured |" in readme.target_table({**missed, "rows": []})


def test_the_pages_show_every_target_and_default_suite() -> None:
    pages = "".join(path.read_text() for path in readme.PAGES)
    assert all(f"| {aimed.name} | " in pages for aimed in TARGETS)
    assert set(re.findall(r"<!-- suite \S+ (\w+) -->", pages)) >= {"topk", "threads", "batch_size"}
    assert set(readme.SHORT) <= set(re.findall(r"^\| ([^|]+) \|", pages, re.M))


def test_every_page_with_a_block_is_checked() -> None:
    pages = {path for path in readme.DOCS.glob("*.md") if readme.BLOCK.search(path.read_text())}
    assert pages | {readme.ROOT / "README.md"} == set(readme.PAGES)
