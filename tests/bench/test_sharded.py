"""The benchmark of shards on few codes, and the tables of docs/scale.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import readme, scale_page, sharded

pytest.importorskip("ray")

QUICK = ["--quick", "--out"]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("results") / "sharded.json"
    assert sharded.main([*QUICK, str(out)]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_a_record_has_every_contender_and_where(record: dict[str, Any]) -> None:
    assert len(record["rows"]) == 2
    for row in record["rows"]:
        assert len(row["contenders"]) == 5
        for one in row["contenders"].values():
            assert 0 < one["wall_min_s"] <= one["wall_p50_s"] <= one["wall_p90_s"]
    assert list(record["round_trips"]["processes"]) == ["1", "2"]
    assert record["recovery"]["first_s"][0] > record["recovery"]["second_s"][0] > 0
    assert len(record["mapped"]["first_s"]) == 3
    assert record["machine"]["versions"]["ray"]
    assert record["command"][:2] == ["bench/sharded.py", "--quick"]


def test_the_blocks_of_a_page(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench" / "results").mkdir(parents=True)
    (tmp_path / "bench" / "results" / "made.json").write_text(json.dumps(record))
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    names = ("measured", "trips", "events", "sizes", "network")
    text = "\n".join(f"<!-- scale made.json {name} -->\nold\n<!-- end -->" for name in names)
    made = readme.rendered(text)
    assert "\nold\n" not in made
    assert "| 64 bits, N=2e4, Q=1, k=10 | " in made
    assert "| 256 bits | 3.2 GB | 32 GB | 320 GB | 3.2 TB |" in made
    assert "| 1,024 | 100 | 1.23 MB | 98.3 ms |" in made


def made_record() -> dict[str, Any]:
    """2e9 comparisons a second, 1 ms a process, a machine whose codes take 16 GB."""
    rows = [
        {
            "n_bits": n_bits,
            "n_codes": 10**7,
            "n_queries": n_queries,
            "contenders": {"array, 2 threads": {"wall_p50_s": 0.005 * n_queries}},
        }
        for n_bits in scale_page.PLANNED
        for n_queries in (1, 100)
    ]
    trips = {str(n): {"wall_p50_s": 0.001 * n} for n in (1, 2, 4)}
    return {
        "rows": rows,
        "machine": {"memory_bytes": 20 * 10**9},
        "round_trips": {"processes": trips},
    }


def test_machines_follow_from_the_rates() -> None:
    lines = {line[0]: line[1:] for line in scale_page.machines(made_record())}
    # 8 GB in one machine: 0.5 s and a message; with 6 machines 83 + 6 ms.
    assert lines["1e9 of 64 bits"] == ("1", "501 ms", "50 s", "6")
    # 80 GB in five: 1 s each, and 5 ms of messages; no number of machines is enough.
    assert lines["1e10 of 64 bits"] == ("5", "1 s", "100 s", "none")
    assert lines["1e8 of 256 bits"] == ("1", "51 ms", "5 s", "1")


def test_cards_follow_from_the_rates() -> None:
    path = Path(readme.__file__).parent / "results" / "gpu-h100.json"
    record = json.loads(path.read_text())
    lines = {line[0]: line[1:] for line in scale_page.cards(record)}
    memory = record["steps"]["facts"]["rows"]["card"]["memory_bytes"]
    n_cards = int(np.ceil(1e11 * 32 / (0.8 * memory)))
    assert lines["1e11 of 256 bits"][0] == str(n_cards)
    one = record["steps"]["small_batches"]["rows"]["256 bits"]["contenders"]["Q=1, graph"]
    seconds = 1e11 * 32 / one["bytes_per_second"] / n_cards
    assert lines["1e11 of 256 bits"][1] == f"{1e3 * seconds:.3g} ms"


def test_another_answer_ends_the_run() -> None:
    with pytest.raises(SystemExit, match=r"^1 process: another answer than the array's, nothing"):
        sharded.check("1 process", (np.zeros(2), np.ones(2)), (np.zeros(2), np.zeros(2)))
