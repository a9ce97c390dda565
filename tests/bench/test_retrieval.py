"""The retrieval table: what stands beside the numbers."""

import json
from types import SimpleNamespace

import numpy as np

from bench import readme, retrieval
from distill import data
from distill.evaluation import evaluate


def test_the_table_says_how_many_texts_give_a_label_away(tmp_path, monkeypatch):
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
    run = SimpleNamespace(metrics=scores.to_json, records=list)
    monkeypatch.setattr(retrieval, "finished_run", lambda *_: (run, dataset))
    monkeypatch.setattr(retrieval, "ROWS", retrieval.ROWS[:1])
    out = tmp_path / "retrieval.json"
    retrieval.main(["--data", "emoji", "--bits", "8", "--seeds", "0", "--out", str(out)])
    share = "6.1 % of the texts contain one of their labels"
    assert f"fixed, {share}." in readme.retrieval(json.loads(out.read_text()))
