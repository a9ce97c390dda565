"""The retrieval table: what is trained, what stands beside it, what an ablation is worth."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench import readme, retrieval, retrieval_tables
from distill import data
from distill.config import TrainConfig, load_config
from distill.evaluation import evaluate


def test_the_table_says_how_many_texts_give_a_label_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = data.load("emoji")
    codes = np.zeros((len(dataset), 1), np.uint8)
    # Runs may be older than the sentence: the dataset's own counts.
    scores = evaluate(
        {"image": codes, "text": codes},
        dataset.labels,
        dataset.splits,
        n_bits=8,
        protocol="written by an older version",
    )
    run = SimpleNamespace(metrics=scores.to_json, records=list, config=TrainConfig())
    monkeypatch.setattr(retrieval, "finish", lambda *_: None)
    monkeypatch.setattr(retrieval.checkpoint, "load_run", lambda _: run)
    monkeypatch.setattr(retrieval, "ROWS", retrieval.ROWS[:1])
    monkeypatch.setattr(retrieval, "ABLATIONS", retrieval.ABLATIONS[:1])
    out = tmp_path / "retrieval.json"
    lengths = ["--bits", "8", "--ablation-bits", "8"]
    retrieval.main(["--data", "emoji", *lengths, "--seeds", "0", "1", "--out", str(out)])
    share = "6.1 % of the texts contain one of their labels"
    record = json.loads(out.read_text())
    assert f"fixed, {share}." in readme.retrieval(record)
    assert "no difference" in readme.retrieval(record, "worth")
    assert retrieval.ABLATIONS[0].name not in readme.retrieval(record)


def test_every_row_is_a_preset_and_every_training_is_done_once() -> None:
    command = retrieval.Command()
    cells = [retrieval.Cell(row, 16, 0) for row in command.rows]
    assert len({cell.row.name for cell in cells}) == len(cells)
    runs = {cell.config(command).run: load_config(cell.row.preset).method for cell in cells}
    assert set(runs.values()) == {"soda", "no_teacher", "contrastive"}
    assert len(runs) == len({(cell.row.preset, cell.row.text) for cell in cells})
    assert all(cell.config(command).optim.validate_every == 0 for cell in cells)


def test_a_row_of_a_preset_that_stops_early_is_trained_to_the_end() -> None:
    cell = retrieval.Cell(retrieval.Row("made up", "dcmh"), 16, 0)
    assert load_config("dcmh").optim.patience > 0
    assert cell.config(retrieval.Command()).optim.patience == 0


def record(differences: dict[str, list[float]]) -> dict:
    maps = lambda value: dict.fromkeys(retrieval_tables.DIRECTIONS, value)  # noqa: E731
    names = {"whole": [0.0] * 3, **differences}
    return {
        "bits": [16, 32, 64],
        "ablation_bits": [16, 32],
        "seeds": [0, 1, 2],
        "ablations": list(differences),
        "results": [
            {"row": name, "bits": bits, "seed": seed, "map": maps(0.5 + seed / 10 + off)}
            for name, offs in names.items()
            for bits in (16, 32)
            for seed, off in enumerate(offs)
        ],
    }


def test_an_ablation_is_judged_seed_by_seed() -> None:
    table = retrieval_tables.worth_table(
        record({"bad": [-0.11, -0.1, -0.12], "even": [0.02, -0.02, 0.01], "good": [0.1, 0.11, 0.1]})
    )
    head, bad, even, good = table
    assert head[1] == "16 bits image → text"
    assert (bad[0], bad[1], bad[-1]) == ("bad", "-0.110±0.010", "worse")
    assert even[-1] == "no difference"
    assert good[-1] == "better"
    # Student's t with two degrees of freedom: 4.303 * 0.01 / sqrt(3).
    assert bad[-2] == "-0.110 ± 0.025"


def test_one_seed_shows_no_difference() -> None:
    only = record({"bad": [-0.1, -0.1, -0.1]})
    only["seeds"] = [0]
    assert retrieval_tables.worth_table(only)[1][-1] == "no difference"
