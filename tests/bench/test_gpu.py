"""The command without a GPU, and what decides when there is one. No time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import hamming
from bench import gpu
from bench.gpu_peers import blocks, peers
from bench.gpu_steps import STEPS, codes, correctness, launches, searches, session, tables
from bench.gpu_steps import peers as peer_step
from bench.gpu_steps.card import EmulatedCard, missing_gpu
from bench.gpu_steps.frame import FAILED, NO_GPU, NOT_RUN, RAN, WRONG, Case, attempt
from bench.gpu_steps.searches import FORCED, Search
from bench.rivals import CannotRunError
from bench.suites.frame import WrongResultError
from hamming.backends.cuda_plan import Facts, Tuning
from tests.bench import gpu_cases
from tests.cuda.device import EmulatedBackend

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "bench" / "gpu.py")]
HOPPER = Facts((9, 0), 132)


@pytest.fixture
def made_up_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvcc that takes no time, before any other."""
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(gpu_cases.NVCC)
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{nvcc.parent}{os.pathsep}{os.environ['PATH']}")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HAMMING_")}
    command = [*COMMAND, *arguments]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)


def rows(record: dict) -> dict[tuple[str, str], dict]:
    return {
        (step, name): row
        for step, kept in record["steps"].items()
        for name, row in kept["rows"].items()
    }


@pytest.mark.usefixtures("made_up_nvcc")
def test_a_dry_run_does_every_step(tmp_path: Path) -> None:
    done = run("--dry", "--out", "dry.json", "--commit", "abc", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "dry.json").read_text())
    assert list(record["steps"]) == [step.name for step in STEPS]
    found = rows(record)
    assert set(found) == {(step.name, case.name) for step in STEPS for case in step.cases(True)}
    for step in STEPS:
        for case in step.cases(True):
            row = found[step.name, case.name]
            if case.needs_gpu:
                assert (row["status"], row["reason"]) == (NOT_RUN, NO_GPU)
            elif (step.name, case.name) != ("kernels", "compile"):
                assert row["status"] == RAN, (case.name, row)
    assert found["facts", "card"]["nvcc"] == "a made-up nvcc"
    assert found["facts", "ceilings"]["compiled_bytes"] == len("compiled")
    # It needs CuPy.
    assert found["kernels", "compile"]["status"] in (RAN, NOT_RUN), found["kernels", "compile"]
    assert record["runs"][0]["commit"] == "abc"
    assert record["clock"].startswith("host clock")
    assert {line["verdict"] for line in record["targets"]} == {"not run: a dry run"}
    for words in ("Targets", "wgmma", "cases: "):
        assert words in done.stdout
    assert "dry.json" in done.stderr


def test_what_did_not_fit_is_done_by_the_next_run(tmp_path: Path) -> None:
    out = tmp_path / "dry.json"
    done = run("--dry", "--only", "values", "--budget", "1", "--out", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = rows(json.loads(out.read_text()))
    assert {row["status"] for row in before.values()} == {NOT_RUN}
    assert "needs about 8 s, 1 s of the budget left" in before["values", "rescore"]["reason"]
    done = run("--dry", "--only", "values", "--resume", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert {row["status"] for row in rows(record).values()} == {RAN}
    assert len(record["runs"]) == 2


def test_a_bad_case_costs_itself_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "_MORE_SECONDS", 3.0)
    record: dict = {"card": "emulated", "dry": True, "clock": "", "runs": []}
    record |= {"banned": [], "steps": {}}
    lines: list[str] = []
    out = tmp_path / "out.json"
    ends = time.monotonic() + 1000
    session.Session(record, out, ends, lines.append, True, gpu_cases.steps).run(gpu_cases.steps())
    found = {name: row for (_, name), row in rows(record).items()}
    assert json.loads(out.read_text())["steps"] == record["steps"]
    assert {name: row["status"] for name, row in found.items()} == {
        "fine": RAN,
        "wrong": WRONG,
        "partly wrong": WRONG,
        "impossible": NOT_RUN,
        "failing": FAILED,
        "for a GPU": NOT_RUN,
        "dying": FAILED,
        "after death": RAN,
        "hanging": FAILED,
        "the same variant": NOT_RUN,
        "after a hang": RAN,
        "too long": NOT_RUN,
    }
    assert found["failing"]["reason"] == "ValueError: two"
    assert "gpu_cases.py" in found["failing"]["traceback"]
    assert found["dying"]["reason"] == "its process ended with 3"
    assert found["hanging"]["lost"] == "hung"
    assert record["banned"] == found["after a hang"]["banned"] == ["wgmma"]
    processes = {found[name]["process"] for name in ("fine", "after death", "after a hang")}
    assert len(processes) == 3
    assert gpu._any_wrong(record)
    assert len(lines) == len(found)
    tables.show(record)
    assert "failed: bad, failing: ValueError: two" in capsys.readouterr().out
    again = {name for name, row in found.items() if not session.finished(row)}
    assert again == {"impossible", "failing", "for a GPU", "dying", "the same variant", "too long"}


class SeenByAProfiler:
    """What torch's profiler would say of two kernels, the host's part among them."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> SeenByAProfiler:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def events(self) -> list[SimpleNamespace]:
        def event(name: str, device: str, start: float, took: float) -> SimpleNamespace:
            span = SimpleNamespace(start=start, elapsed_us=lambda: took)
            return SimpleNamespace(name=name, device_type=f"DeviceType.{device}", time_range=span)

        return [
            event("sort", "CUDA", 110.0, 3.0),
            event("launch", "CPU", 90.0, 500.0),
            event("scan", "CUDA", 100.0, 8.0),
        ]


def test_launches_are_told_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    profiler = SimpleNamespace(
        profile=SeenByAProfiler, ProfilerActivity=SimpleNamespace(CUDA="CUDA")
    )
    nothing = SimpleNamespace(synchronize=lambda: None)
    torch = SimpleNamespace(profiler=profiler, cuda=nothing)
    monkeypatch.setattr(launches, "torch_module", lambda: torch)
    assert launches.launched(lambda: None) == [("scan", 0.0, 8.0), ("sort", 10.0, 3.0)]
    found = launches.timed(Search(64, 500, 2, 5))(EmulatedCard())
    assert found["microseconds"] == {"scan": 8.0, "sort": 3.0}
    assert (found["busy_us"], found["span_us"]) == (11.0, 13.0)
    record = {"steps": {"launches": {"rows": {"64 bits": found}}}}
    assert tables.launched(record) == ["64 bits: 2 launches, 11 of 13 us busy: scan 8, sort 3"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        gpu.main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_wrong_use_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if missing_gpu():
        assert "expected a GPU, got none (" in refused(capsys)
    assert "above 0, got '0'" in refused(capsys, "--dry", "--budget", "0")
    assert "invalid choice: 'speed'" in refused(capsys, "--only", "speed")
    other = tmp_path / "other.json"
    other.write_text("{}")
    sentence = refused(capsys, "--dry", "--resume", str(other))
    assert "--resume: expected a result of bench/gpu.py, got" in sentence
    assert "--show: expected a result of bench/gpu.py" in refused(capsys, "--show", str(tmp_path))
    other.write_text(
        json.dumps({"card": "X", "dry": False, "clock": "", "runs": [], "banned": [], "steps": {}})
    )
    sentence = refused(capsys, "--dry", "--resume", str(other))
    assert sentence.endswith("--resume: expected a run on emulated, got one on X")


def test_results_are_named_by_their_card() -> None:
    assert gpu._default_out("NVIDIA H100 80GB HBM3", dry=False).name == "gpu-h100-80gb-hbm3.json"
    assert gpu._default_out("NVIDIA H200", dry=False).name == "gpu-h200.json"


@pytest.mark.parametrize("variant", FORCED)
def test_kernels_are_listed_as_they_are_launched(variant: searches.Variant) -> None:
    """Or the step that compiles them would miss some."""
    card = EmulatedCard()
    search = Search(64, 3000, 3, 10, variant)
    engine = searches.backend(card, variant)
    device = engine.make_device()
    launched = []
    launch = device.launch
    device.launch = lambda kernel, *more: (launched.append(kernel), launch(kernel, *more))
    db = codes.database(np, 64, 3000)
    searches.calling(engine, codes.queries(np, db, 3), db, 10)()
    listed = searches.kernels([search], card.facts)
    assert {(k.file, k.defines) for k in launched} == {(k.file, k.defines) for k in listed}
    scan = f"scan_{variant.split()[0]}.cu"
    assert scan in {kernel.file for kernel in listed}


def test_the_cases_of_a_card_have_names_and_kernels_of_their_own() -> None:
    cases = [(step.name, case) for step in STEPS for case in step.cases(False)]
    assert len({(step, case.name) for step, case in cases}) == len(cases)
    wanted = [search for _, case in cases for search in case.searches]
    files = {kernel.file for kernel in searches.kernels(wanted, HOPPER)}
    assert {"scan_popc.cu", "scan_mma.cu", "scan_wgmma.cu", "ties.cu"} <= files
    assert "scan_mma does not" in (
        searches.refusal(Search(64, 10, 1, 1, "mma"), Facts((7, 5), 40)) or ""
    )


@dataclass(frozen=True)
class Liar(EmulatedBackend):
    def topk(self, *arguments, **options) -> hamming.TopK:
        found = super().topk(*arguments, **options)
        found.indices[0, 2] += 1
        return found


class LyingCard(EmulatedCard):
    def backend(self, tuning: Tuning, capability: tuple[int, int] | None = None) -> Liar:
        engine = super().backend(tuning, capability)
        return Liar(engine.name, engine.make_device, engine.tuning)


def test_a_wrong_result_is_found_wherever_it_is_made() -> None:
    for step in ("correctness", "small_batches", "batches", "worst_cases"):
        cases = next(found for found in STEPS if found.name == step).cases(True)
        found = attempt(cases[0], LyingCard())
        assert found["status"] == WRONG, (step, found)
        assert "query 0, rank 2: expected distance" in found["reason"]


def test_a_variant_that_does_not_take_the_shape_is_not_run() -> None:
    search = Search(2056, 3000, 3, 10, "wgmma")
    found = attempt(Case("", correctness.differences([search])), EmulatedCard())
    assert found["status"] == NOT_RUN
    assert found["reason"] == "scan_wgmma does not take 2056 bits on (9, 0)"


def test_a_banned_variant_is_left_out() -> None:
    card = EmulatedCard()
    card.banned = {"wgmma"}
    with pytest.raises(CannotRunError, match="wgmma has hung before"):
        searches.backend(card, "wgmma")
    assert searches.backend(card, "auto").tuning.wgmma_queries == searches.NEVER


def test_peers_agree_or_say_why_not() -> None:
    torch = pytest.importorskip("torch")
    card = EmulatedCard()
    db = codes.database(np, 64, 4096)
    queries = codes.queries(np, db, 3)
    expected = hamming.topk(queries, db, 20)
    for peer in peers():
        if not peer.name.startswith("torch"):
            with pytest.raises(CannotRunError):
                peer.prepare(torch.from_numpy(db), 20)
            continue
        search = peer.prepare(torch.from_numpy(db), 20)
        found = search(torch.from_numpy(queries))
        peer_step.agree(card, expected, found, queries, db)
        twice = found[1].clone()
        twice[0, 1] = twice[0, 0]
        for bad in ((found[0] + 1, found[1]), (found[0], twice)):
            with pytest.raises(WrongResultError):
                peer_step.agree(card, expected, bad, queries, db)


def test_a_block_of_scores_holds_several_k() -> None:
    assert blocks.block_codes(2**30, 1024, 2, 100) == 2**19
    assert blocks.block_codes(2**10, 1024, 2, 1000) == 3072
