"""Drawn triplets: who may stand where, and that every allowed row is drawn."""

import math

import pytest
import torch

from distill.triplets import CodesOnce, draw_triplets, ordered_pairs, share_label, with_modality
from distill.types import Split

LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 1.0]])


def test_every_ordered_pair() -> None:
    assert ordered_pairs(("a", "b", "c")) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "a"),
        ("b", "c"),
        ("c", "a"),
        ("c", "b"),
    ]


def test_positives_share_a_label_and_negatives_do_not() -> None:
    torch.manual_seed(0)
    pool = torch.tensor([0, 2, 3, 5])
    found = draw_triplets(LABELS, torch.tensor([0, 1, 4]), pool, 200)
    assert len(found.queries) == len(found.positives) == len(found.negatives) == 600
    assert found.queries.tolist() == [0] * 200 + [1] * 200 + [4] * 200
    for query in (0, 1, 4):
        own = found.queries == query
        similar = {j for j in pool.tolist() if (LABELS[query] * LABELS[j]).sum() > 0}
        assert set(found.positives[own].tolist()) == similar
        assert set(found.negatives[own].tolist()) == set(pool.tolist()) - similar
    assert torch.equal(found.partners, found.queries == found.positives)
    assert found.partners.any()


def test_queries_without_a_positive_or_a_negative_are_left_out() -> None:
    found = draw_triplets(LABELS, torch.arange(6), torch.tensor([0, 5]), 1)
    # 0, 1 and 5 are like both rows of the pool, 2 is like none; 3 and 4 are like row 5 alone.
    assert found.queries.tolist() == [3, 4]
    assert found.positives.tolist() == [5, 5]
    assert len(draw_triplets(LABELS, torch.arange(3), torch.arange(0), 2).queries) == 0
    assert len(draw_triplets(LABELS, torch.arange(0), torch.arange(3), 2).queries) == 0


def test_labels_that_are_not_asked_for_may_be_anything() -> None:
    labels = LABELS.clone()
    labels[4] = math.nan
    assert share_label(labels, torch.tensor([0, 3]), torch.tensor([5, 2])).tolist() == [
        [True, False],
        [True, False],
    ]


def test_rows_that_have_a_modality() -> None:
    split = Split({}, LABELS, present={"text": torch.tensor([1, 1, 0, 0, 1, 1]).bool()})
    assert with_modality(split, "text", torch.tensor([2, 4, 4, 0])).tolist() == [4, 4, 0]
    assert with_modality(split, "image", torch.tensor([2, 0])).tolist() == [2, 0]


def test_each_code_is_computed_once() -> None:
    asked: list[tuple[str, list[int]]] = []

    def encode(modality: str, rows: torch.Tensor) -> torch.Tensor:
        asked.append((modality, rows.tolist()))
        return rows[:, None] * 10.0

    needed = {"image": [torch.tensor([4, 1, 4]), torch.tensor([1])], "text": [torch.arange(0)]}
    codes = CodesOnce(encode, needed, 6)
    assert asked == [("image", [1, 4])]
    assert codes("image", torch.tensor([4, 4, 1])).flatten().tolist() == [40, 40, 10]
    with pytest.raises(KeyError):
        codes("text", torch.tensor([0]))
