"""The index's benchmark at small sizes: equal answers, a record, a page's block."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss")

from bench import index, index_page, readme
from bench.index_steps import memory, problem
from bench.index_steps.contenders import Faiss, Ours, contenders
from bench.suites.frame import WrongResultError

ROOT = Path(__file__).parents[2]
CONTENDERS = {"gaps": ["IDMap2", "IDMap"], "shuffled": ["IDMap2", "IDMap"], "none": ["Flat"]}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the command, as a user runs it from another folder."""
    folder = tmp_path_factory.mktemp("index")
    command = [sys.executable, str(ROOT / "bench" / "index.py"), "--quick"]
    done = subprocess.run(
        [*command, "--codes", "2e3", "--out", "out.json"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "first answer, mapped | " in done.stdout
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def test_a_record_has_every_step_with_all_its_times(record: dict[str, Any]) -> None:
    assert record["command"] == ["bench/index.py", "--quick", "--codes", "2e3", "--out", "out.json"]
    assert record["machine"]["cpu"]
    assert record["other_processes_cpus"] >= 0
    assert [part["ids"] for part in record["parts"]] == ["gaps", "none", "shuffled", "gaps"]
    for part in record["parts"]:
        names = ["hamming", *(f"faiss {kind}" for kind in CONTENDERS[part["ids"]])]
        assert list(part["configurations"]) == names
        for row in part["rows"]:
            assert set(row["contenders"]) <= set(names)
            for found in row["contenders"].values():
                assert found["calls"] == len(found["wall_ns"]) > 0
                assert found["wall_min_s"] <= found["wall_p50_s"]
    steps = {row["step"] for row in record["parts"][0]["rows"]}
    assert {
        *("add, one call", "add, 100 calls", "add one code", "add one code after removals"),
        *("save, fsync included", "save, no fsync", "load, mapped", "load, checksums verified"),
        *("search, one query: mapped file", "search, 100 queries: added in 100 calls"),
        *("search, one query within 100 ids", "search, one query: a tenth removed"),
        *("remove one code", "remove a tenth, one call"),
    } <= steps


def test_memory_and_first_answers_are_of_processes(record: dict[str, Any]) -> None:
    rows = {row["step"]: row["contenders"] for row in record["parts"][1]["rows"]}
    assert rows["save, fsync included"]["hamming"]["file_bytes"] > 2000 * 8
    assert "faiss Flat" not in rows["first answer, load verified"]
    for step in ("add, one call", "add, 100 calls", "save, fsync included", "first answer, mapped"):
        for found in rows[step].values():
            assert {"peak_bytes", "kept_bytes", "kept_anonymous_bytes"} <= set(found)


@pytest.mark.parametrize("step", memory.STEPS)
@pytest.mark.parametrize("name", ["hamming", "faiss IDMap2"])
def test_a_step_in_its_process(name: str, step: str, tmp_path: Path) -> None:
    given = problem.make(64, 2_000, "gaps")
    problem.store(given, tmp_path)
    by = next(one for one in contenders(given.ids) if one.name == name)
    by.save(by.build(given), memory.file_of(tmp_path, name), durable=True)
    found = memory.work(name, step, tmp_path)
    assert found["seconds"] > 0
    assert set(found) == {"seconds", "peak_bytes", "kept_bytes", "kept_anonymous_bytes"}


@pytest.mark.parametrize("kind", ["gaps", "none", "shuffled"])
def test_the_check_knows_right_from_wrong(kind: problem.IdKind) -> None:
    given = problem.make(32, 500, kind)
    ours = Ours()
    distances, ids = ours.search(ours.build(given, 7), given.queries)
    bits = np.unpackbits(given.codes[None] ^ given.queries[:, None], axis=2).sum(axis=2)
    order = np.argsort(bits, axis=1, kind="stable")[:, : problem.K]
    np.testing.assert_array_equal(ids, given.numbers()[order])
    right = {"hamming": (distances, ids), "faiss": (distances, ids[:, ::-1])}
    problem.check(given, given.queries, right)
    for name, wrong, words in (
        ("hamming", (distances, ids[:, ::-1]), "hamming: other ids than NumPy's"),
        ("hamming", (distances + 1, ids), "hamming: other distances than NumPy's"),
        ("faiss", (distances + (np.arange(100) == 99)[:, None], ids), "faiss: .* than hamming"),
    ):
        with pytest.raises(WrongResultError, match=words):
            problem.check(given, given.queries, {**right, name: wrong})
    searched = np.arange(500) % 3 > 0
    within = ours.build(given).topk(given.queries, problem.K, filter=searched)
    problem.check(given, given.queries, {"hamming": within}, searched)
    with pytest.raises(WrongResultError):
        problem.check(given, given.queries, right, searched)


def test_selectors_hold_the_ids() -> None:
    given = problem.make(64, 1_000, "shuffled")
    assert given.ids is not None
    by, some = Faiss("IDMap2"), given.ids[::9]
    live = by.build(given)
    searched = np.isin(given.ids, some)
    for selector in (by.batch(some), by.bitmap(some)):
        found = by.filtered(live, given.queries, selector)
        problem.check(given, given.queries, {"faiss": found}, searched)


def test_the_block_of_a_page(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench" / "results").mkdir(parents=True)
    (tmp_path / "bench" / "results" / "made.json").write_text(json.dumps(record))
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    made = readme.rendered("<!-- index made.json none -->\nold\n<!-- end -->")
    assert "2e3 codes of 64 bits, no ids given:" in made
    assert "| step | hamming | faiss Flat | hamming, MiB | faiss Flat, MiB |" in made
    assert "\nold\n" not in made
    note = readme.rendered("<!-- index made.json -->\n<!-- end -->")
    assert "`python bench/index.py --quick --codes 2e3`" in note
    assert "Files: 2e3 codes of 64 bits" in note


def test_memory_that_nobody_measured_is_a_dash() -> None:
    assert index_page._memory({"peak_bytes": None, "kept_anonymous_bytes": 1}) == "-"
    assert index_page._memory({"peak_bytes": 3 << 20, "kept_anonymous_bytes": -1}) == "3 / 0"


def test_a_wrong_result_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(*_: Any) -> None:
        raise WrongResultError("hamming: other ids than NumPy's")

    monkeypatch.setattr(index.problem, "check", pretend)
    out = tmp_path / "out.json"
    assert index.main(["--quick", "--codes", "2e3", "--out", str(out)]) == 1
    assert "wrong result, nothing is written: hamming: other ids" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--codes", "many"], "expected 2e3 to 1e9 codes"), (["--bits", "12"], "multiple of 8")],
)
def test_wrong_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        index.main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
