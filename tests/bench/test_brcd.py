"""The benchmark's summary, bars and tables on a made-up record, and its drawn features."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import brcd
from bench.distillation import bars, cell, latency, summary, synthetic, tables
from bench.distillation.grid import METHODS, groups, quick
from distill.config import DistillConfig

SETTING = "S64/64/linear"


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """Three seeds of every method; what a method is worth depends on its place in the list."""
    cells = {}
    for place, method in enumerate(METHODS):
        aligned = method.startswith(("brcd", "pointwise", "bce", "hinton"))
        for seed in range(3):
            key = f"{SETTING}/{method}/{seed}"
            sym, asym = 0.40 + 0.001 * place, 0.45 + 0.001 * place if aligned else 0.1
            cells[key] = {
                "sym_query": sym,
                "asym_query": asym,
                "sym_validation": sym,
                "asym_validation": asym,
                "teacher_unchanged": True,
            }
            drawn = np.random.default_rng(seed).random(50) * 0.01
            cell._keep(tmp_path, key, sym_query=sym + drawn, asym_query=asym + drawn)
    teacher = {
        "kind": "cibhash",
        "bits": 64,
        "query": 0.5,
        "validation_curve": {"2": 0.4, "4": 0.5},
        "purity": 0.5,
        "mask_share": 0.5,
        "views_that_leave": 0.3,
    }
    return {
        "cells": cells,
        "teachers": {f"cibhash/64/{seed}": teacher for seed in range(3)},
        "protocol": "cifar10-subset: made up.",
        "settings": {
            "towers": {"T96": ["a", 96], "S64": ["b", 64], "S32": ["b", 32]},
            "views": 4,
            "student": {"epochs": 20},
        },
        "tuned": {},
    }


def test_weights_are_chosen_on_validation_and_differences_are_paired(
    record: dict[str, Any], tmp_path: Path
) -> None:
    results = summary.Results(record["cells"], tmp_path)
    best = summary.tuned(results, SETTING)
    assert best["pointwise"] == "pointwise, own loss off"  # the last of its family in the list
    assert best["sp"] == "sp w3000"
    assert summary.tuned(results, "S32/64/linear") == {}
    found = results.compare(SETTING, "brcd no mask", "brcd intended")
    assert found["sym"]["mean"] == pytest.approx(0.001, abs=1e-6)
    assert found["sym"]["interval"] == pytest.approx([0.001, 0.001], abs=1e-6)
    assert len(found["sym"]["per_seed"]) == len(found["seeds"]) == 3
    assert results.compare(SETTING, "brcd no mask", "brcd unheard of") is None


def test_bars_pass_and_fail_by_the_numbers(record: dict[str, Any], tmp_path: Path) -> None:
    def verdicts() -> dict[str, bool]:
        results = summary.Results(record["cells"], tmp_path)
        found = bars.must_pass(results, record["cells"], record["teachers"])
        return {bar.name: bar.passed for bar in found}

    before = verdicts()
    assert before["1 golden values of the loss to 1e-6"]
    assert before["8 teacher's tensors unchanged"]
    chance = f"2 {SETTING}: alone, PKT, RKD, SP asymmetric in [.03, .17]"
    gain = f"3 {SETTING}: intended - alone symmetric >= .015, every seed > 0"
    assert before[chance]
    assert not before[gain]
    record["cells"][f"{SETTING}/rkd w1/2"]["asym_query"] = 0.18
    record["cells"][f"{SETTING}/alone/0"]["teacher_unchanged"] = False
    for seed in range(3):
        record["cells"][f"{SETTING}/alone/{seed}"]["sym_query"] = 0.3
    after = verdicts()
    assert not after[chance]
    assert not after["8 teacher's tensors unchanged"]
    assert after[gain]


def test_tables_name_their_protocol(record: dict[str, Any], tmp_path: Path) -> None:
    results = summary.Results(record["cells"], tmp_path)
    record["tuned"] = {SETTING: summary.tuned(results, SETTING)}
    record["comparisons"] = summary.comparisons(results)
    record["must_pass"] = [{"name": "a", "found": "b", "passed": False}]
    record["latency"] = [
        {"tower": t, "batch": 1, "median_ms": m, "images_per_s": 9, "parameters": 5_000_000}
        for t, m in (("T96", 20.0), ("S64", 10.0))
    ]
    page = tables.everything(record)
    assert "cifar10-subset: made up." in page
    assert "**fail**" in page
    assert "| b at 64 px | 1 | 10.0 ms | 9 | 2.0x | 5.00 M |" in page
    assert page.count("| alone |") == 1
    assert "made up" in tables.best(record)


def test_cells_are_named_once_and_their_settings_exist() -> None:
    cells = [c for _, group in (*groups(), *quick()) for c in group]
    assert len({c.key for c in cells}) == len(set(cells))
    assert all(isinstance(c.settings(), DistillConfig) for c in cells)
    members = [m for family in (*summary.FAMILIES.values(), summary.VARIANTS) for m in family]
    assert set(members) <= set(METHODS)


def test_a_student_takes_bits_from_a_drawn_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)  # as the command does; more lose much where cores are shared
    monkeypatch.setattr(synthetic, "EPOCHS", 6)
    world = synthetic.draw(0)
    _, distilled = synthetic.score(world, "brcd intended", 0)
    _, alone = synthetic.score(world, "alone", 0)
    assert distilled > alone + 0.25


def test_what_is_kept_stays_signed_by_who_measured_it(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On machines a, b, c after one another; the first wrote no runs yet."""
    out = tmp_path / "brcd.json"
    old = {"command": "python bench/brcd.py --path FILE", "facts": {"cpu": "a"}}
    out.write_text(json.dumps(record | old))
    monkeypatch.setattr(brcd, "facts", lambda: {"cpu": cpu})
    monkeypatch.setattr(brcd.tables, "everything", lambda _: "")
    monkeypatch.setattr(synthetic, "measure", list)
    monkeypatch.setattr(latency, "measure", lambda _: [])

    def measured(*words: str) -> list[tuple[str, str, list[str]]]:
        brcd._facts.cache_clear()
        brcd.main([*words, "--out", str(out), "--cache", str(tmp_path)])
        found = json.loads(out.read_text())
        assert {key: found[key] for key in old} == old
        assert found["cells"] == record["cells"]
        return [(run["command"], run["facts"]["cpu"], run["measured"]) for run in found["runs"]]

    command = "python bench/brcd.py"
    cpu = "b"
    drawn = (f"{command} --synthetic", "b", ["synthetic"])
    assert measured("--synthetic") == [drawn]
    assert measured("--synthetic") == [drawn]
    speed = (f"{command} --path FILE --latency", "b", ["latency"])
    assert measured("--latency", "--path", "x") == [drawn, speed]
    cpu = "c"
    means = (f"{command} --summary", "c", ["summary"])
    assert measured("--summary") == [drawn, speed, means]
    again = (f"{command} --synthetic", "c", ["synthetic"])
    assert measured("--synthetic") == [speed, means, again]
    brcd._facts.cache_clear()


def test_a_cell_is_signed_by_the_run_that_trained_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brcd, "_facts", lambda: {"cpu": "b"})
    command, record = brcd.Command(out=tmp_path / "x.json"), {"teachers": {}, "cells": {}}
    with ThreadPoolExecutor(1) as pool:
        brcd._run(pool, {"k/0": (dict, ({"map": 0.5},))}, command, record, "cells", "a group")
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["cells"] == {"k/0": {"map": 0.5}}
    assert [run["measured"] for run in found["runs"]] == [["cells/k/0"]]
