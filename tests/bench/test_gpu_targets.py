"""What a run of the GPU's steps says about the targets."""

from __future__ import annotations

from bench.gpu_steps import peers, targets
from bench.gpu_steps.batches import crossover
from bench.gpu_steps.frame import RAN


def measured(step: str, name: str, **more: object) -> dict:
    row = {"status": RAN, **more}
    return {"card": "X", "dry": False, "steps": {step: {"title": "", "rows": {name: row}}}}


def verdict(name: str, record: dict) -> targets.Verdict:
    return next(line for line in targets.verdicts(record) if line.name == name)


def test_verdicts() -> None:
    def took(**times: float) -> dict:
        return {name: {"median_ms": ms, "pairs_per_second": 1e13} for name, ms in times.items()}

    contenders = took(hamming=2.0) | {"faiss": {"median_ms": 30.0}}
    peers_row = measured("peers", str(peers.SHAPES[0]), contenders=contenders, not_run={})
    line = verdict("Q=1024, 256 bits over faiss", peers_row)
    assert line == ("Q=1024, 256 bits over faiss", ">= 10x", "15x (30 to 2 ms)", "met")
    peers_row["steps"]["peers"]["rows"][str(peers.SHAPES[0])]["not_run"] = {"torch int8": "why"}
    assert verdict("Q=1024, 256 bits over torch int8", peers_row).verdict == "not run: why"
    rates = measured("batches", "256 bits, Q=1024", contenders=took(mma=1.0))
    assert verdict("Q=1024, 256 bits, k=100: first", rates).measured == "1e+13 pairs/s (mma)"
    first = measured("guarantees", "first call", warm_ms=80.0, cold_ms=900.0)
    assert verdict("first call, warm cache", first).verdict == "missed"
    assert verdict("k=1000 over k=10", first).verdict == "not run: no step worst_cases"


def test_bandwidth_is_of_the_same_run() -> None:
    times = {"Q=1, eager": {"median_ms": 2.0}, "Q=1, graph": {"median_ms": 1.0}}
    record = measured("small_batches", "64 bits", contenders=times, db_bytes=95 * 10**7)
    assert verdict("Q=1, 64 bits: of read bandwidth", record).verdict.startswith("not run")
    record["steps"]["facts"] = {
        "title": "",
        "rows": {"ceilings": {"status": RAN, "memory": {"read_bytes_per_second": 1e12}}},
    }
    line = verdict("Q=1, 64 bits: of read bandwidth", record)
    assert (line.measured, line.verdict) == ("95 % (called 48 %)", "met")


def test_a_crossover_is_where_one_stays_faster() -> None:
    def batch(popc: float, mma: float) -> dict:
        return {"contenders": {"popc": {"median_ms": popc}, "mma": {"median_ms": mma}}}

    found = {
        "64 bits, Q=4": batch(1, 0.9),
        "64 bits, Q=8": batch(1, 2),
        "64 bits, Q=16": batch(2, 1),
        "64 bits, Q=64": batch(4, 1),
    }
    assert crossover(found, 64, "popc", "mma") == 16
    assert crossover(found, 64, "mma", "wgmma") is None
