"""The command as a user runs it. No time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hamming
from bench import ceilings, chain, latency
from bench.ceilings import Ceilings
from bench.harness import Budget
from bench.suites import DEFAULT, SUITES, frame

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "bench" / "latency.py")]
TINY = ["--quick", "--shape", "64,2000,1,5", "--shape", "64,2000,3,5"]


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HAMMING_", "OMP_"))}
    return subprocess.run(
        command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is measured, but hardly for any time."""
    monkeypatch.setattr(latency, "QUICK", Budget(0.02, min_rounds=3, burst_seconds=0.001))
    monkeypatch.setattr(latency, "Ceilings", lambda threads, **_: Ceilings(threads, seconds=0.01))
    for module in (latency, ceilings):
        monkeypatch.setattr(module, "MEMORY_BYTES", 1 << 20)


@pytest.mark.parametrize("command", [COMMAND, [sys.executable, "-m", "bench.latency"]])
def test_the_command_in_a_process_of_its_own(command: list[str], tmp_path: Path) -> None:
    """As a file from any folder, and as a module; what it measures is shown in this process."""
    folder = ROOT if "-m" in command else tmp_path
    done = run([*command, "--shape", "1024,1e12,1,10", "--out", str(tmp_path / "out.json")], folder)
    assert done.returncode == 2
    assert "skipped: 1024 bits, N=1e12, Q=1, k=10: needs " in done.stderr
    assert "error: no shape is left to measure" in done.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.usefixtures("swift")
def test_every_contender_and_ceiling_is_in_the_record(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # and back to what it was
    del os.environ["OMP_WAIT_POLICY"]
    assert latency.main([*TINY, "--out", "out.json"]) == 0
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["command"] == ["bench/latency.py", *TINY, "--out", "out.json"]
    assert record["machine"]["environment"]["OMP_WAIT_POLICY"] == "PASSIVE"
    promised = {"command", "started", "seconds", "threads", "backend", "machine", "load_average"}
    assert promised | {"other_processes_cpus", "ceilings", "rows"} == set(record)
    assert (record["threads"], record["backend"]) == (1, latency.host_backends()[0])
    assert record["ceilings"]["read"]["gb_per_s"] > 0
    single, batch = record["rows"]
    rivals = {"faiss", "faiss counting", "numpy", "usearch", "torch"}
    assert set(single["contenders"]) == {"hamming", *rivals}
    for row in (single, batch):
        ours = row["contenders"]["hamming"]
        assert ours["agrees_in"] == frame.EXACT
        assert len(ours["wall_ns"]) == len(ours["cpu_ns"]) == ours["calls"]
        assert {"wall_min_s", "wall_p50_s", "wall_p90_s", "cpu_min_s", "rate"} <= set(ours)
        assert row["ratios"]["numpy"]["cpu"] > 0
        assert row["ceiling"]["bound"] in ("memory", "popcount")
        assert row["ceiling"]["fraction"] > 0
    assert record["ceilings"]["read_gb_per_s"]["16000"] > 0
    shown = capsys.readouterr()
    for words in ("one query", "Gcmp/s of wall time", "64 bits, N=2e3, Q=3, k=5", "of the ceiling"):
        assert words in shown.out
    assert "wrote out.json" in shown.err


@pytest.mark.usefixtures("swift")
def test_another_backend_two_threads_and_no_faiss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    out = tmp_path / "out.json"
    chosen = ["--threads", "2", "--backend", "reference"]
    assert latency.main([*TINY[:3], *chosen, "--out", str(out)]) == 0
    assert "not installed" in capsys.readouterr().out
    record = json.loads(out.read_text())
    assert (record["threads"], record["backend"]) == (2, "reference")
    (row,) = record["rows"]
    assert row["backend"] == "reference"
    assert row["ceiling"]["bound"].startswith("not measured: no loop like")
    assert row["contenders"]["faiss"] == {"missing": "not installed"}
    assert set(row["ratios"]) == {"numpy", "usearch", "torch"}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        latency.main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_wrong_use_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ", ".join(latency.host_backends())
    sentence = refused(capsys, "--backend", "avx9")
    assert sentence.endswith(f"--backend: expected one of {known}, got 'avx9'")
    assert "--threads: expected a whole number of at least 1, got '0'" in refused(
        capsys, "--threads", "0"
    )
    assert "--shape: expected no other --suite than topk" in refused(
        capsys, "--suite", "mask", "--shape", "64,100,1,1"
    )
    assert "--shape: expected BITS,CODES,QUERIES,K" in refused(capsys, "--shape", "64")
    monkeypatch.setenv("HAMMING_BACKEND", "avx9")
    assert refused(capsys).endswith(f"HAMMING_BACKEND: expected one of {known}, got 'avx9'")


def test_a_wrong_result_is_status_1_and_leaves_no_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def wrong(*arguments: object) -> dict:
        raise frame.WrongResultError("faiss: input 0: query 1, rank 2: ...")

    monkeypatch.setattr(latency, "_measure", wrong)
    out = tmp_path / "out.json"
    assert latency.main(["--quick", "--out", str(out)]) == 1
    assert "wrong result, nothing is written: faiss: input 0" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "latency.json"),
        (["--quick"], "latency-quick.json"),
        (["--suite", "mask", "--suite", "pack", "--quick"], "latency-mask-pack-quick.json"),
        (["--threads", "2", "--shape", "64,10,1,1"], "latency-shape-2threads.json"),
    ],
)
def test_results_have_a_name_of_their_own(arguments: list[str], name: str) -> None:
    options = latency._parser().parse_args(arguments)
    assert latency._file_name(options, forced=False) == name
    options.backend = "avx2"
    assert latency._file_name(options, forced=True) == name.replace(".json", "-avx2.json")


def test_suites_are_chosen_by_name() -> None:
    def jobs(*arguments: str) -> list[str]:
        options = latency._parser().parse_args(arguments)
        return list(dict.fromkeys(name for name, _ in latency._jobs(options)))

    assert jobs() == list(DEFAULT)
    assert jobs("--suite", "pack", "--suite", "mask", "--suite", "pack") == ["pack", "mask"]
    assert jobs("--suite", "all", "--quick") == list(SUITES)
    assert jobs("--shape", "64,10,1,1") == ["topk"]


def test_a_chain_of_encoder_and_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = chain.Chain("RN50", 1, 16, 300, 3, 20)  # of 12 pixels: 12 bits
    monkeypatch.setattr(chain, "QUICK", (tiny,))
    monkeypatch.setattr(chain, "_encoder", lambda *_: (torch.nn.Flatten(), 2))
    out = tmp_path / "chain.json"
    assert latency.main(["--device", "cpu", "--seconds", "1", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert set(row["median_s"]) == {"encode", "search", "chain"}
    share = row["median_s"]["search"] / (row["median_s"]["encode"] + row["median_s"]["search"])
    assert row["search_share"] == pytest.approx(share)
    assert "RN50, batch 1" in capsys.readouterr().out


@pytest.mark.skipif("cuda" in hamming.backends(), reason="there is a GPU")
def test_a_chain_without_a_gpu_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--device: expected cpu, as no GPU can be used here" in refused(
        capsys, "--device", "cuda"
    )
