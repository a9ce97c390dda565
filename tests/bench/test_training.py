"""The cost of a training: the record and what is said of it."""

import json
from pathlib import Path

import pytest

from bench import readme, training


def test_a_small_training_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "training.json"
    small = ["--pairs", "40", "--dim", "8", "--bits", "16", "--epochs", "2", "--threads", "1"]
    training.main([*small, "--out", str(out)])
    record = json.loads(out.read_text())
    assert [e["stage"] for e in record["epochs_of"]] == ["teacher"] * 2 + ["student"] * 2
    spent = sum(epoch["seconds"] for epoch in record["epochs_of"])
    assert 0 < spent <= record["wall_seconds"]
    assert "40 pairs, 8-d features, 16 bits, 2 stages of 2 epochs" in capsys.readouterr().out
    assert "samples/s in the student" in readme.BLOCKS["training"](record, None)


def test_every_drawn_item_has_a_label() -> None:
    assert training.drawn(training.Command(pairs=50, dim=2)).labels.any(dim=1).all()
