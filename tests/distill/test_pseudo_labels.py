"""Pseudo-labels against a loop-written vote, and the cases that a loop would get wrong."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.pseudo_labels import nearest, neighbours_for, pseudo_labels
from distill.types import DistillError

RNG = np.random.default_rng(11)
ALL = torch.ones(30, dtype=torch.bool)


def vote(
    codes: dict[str, Tensor], labels: Tensor, labelled: Tensor, k: int, *, single: bool
) -> list[list[float]]:
    """Every item's labels, by the words of the docstring."""
    result = []
    for i in range(len(labels)):
        if labelled[i]:
            result.append(labels[i].tolist())
            continue
        union: set[int] = set()
        for values in codes.values():
            rows = values.tolist()
            away = [math.dist(rows[i], other) for other in rows]
            union |= set(sorted(range(len(rows)), key=lambda j: (away[j], j))[:k])
        voters = [j for j in union if labelled[j]]
        count = Counter(c for j in voters for c in range(labels.shape[1]) if labels[j, c] > 0)
        best = min(count, key=lambda c: (-count[c], c))
        won = {best} | (set() if single else {c for c in count if 2 * count[c] >= len(voters)})
        result.append([float(c in won) for c in range(labels.shape[1])])
    return result


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("k", [6, 12])
def test_the_vote(single: bool, k: int) -> None:
    codes = {m: torch.tensor(RNG.normal(size=(30, 3))) for m in ("image", "text")}
    labels = torch.tensor(RNG.random((30, 4)) < 0.4).float()
    if single:
        labels = torch.nn.functional.one_hot(torch.tensor(RNG.integers(4, size=30)), 4).float()
    labels[:, 0] = labels[:, 0].clamp(min=1 - labels[:, 1:].amax(dim=1))
    labelled = torch.arange(30) % 2 == 0
    hidden = torch.where(labelled[:, None], labels, math.nan)
    found = pseudo_labels(codes, dict.fromkeys(codes, ALL), hidden, labelled, k)
    assert found.tolist() == vote(codes, labels, labelled, k, single=single)


def line(*classes: int) -> tuple[dict[str, Tensor], Tensor]:
    """Items on a line, 0 first; labels of the others, NaN for item 0."""
    labels = torch.nn.functional.one_hot(torch.tensor(classes), 3).float()
    labels[0] = math.nan
    return {"image": torch.arange(len(classes)).float()[:, None]}, labels


def voted(*classes: int, k: int, bug: bool = False) -> int:
    codes, labels = line(*classes)
    n = len(classes)
    labelled = torch.arange(n) > 0
    present = {"image": torch.ones(n, dtype=torch.bool)}
    found = pseudo_labels(codes, present, labels, labelled, k, authors_bug=bug)
    assert found[0].sum() == 1
    return int(found[0].argmax())


def test_the_majority_wins_where_the_last_neighbour_disagrees() -> None:
    assert voted(0, 1, 1, 2, k=4) == 1
    assert voted(0, 1, 1, 2, k=4, bug=True) == 2


def test_a_tie_goes_to_the_first_class() -> None:
    assert voted(0, 2, 1, k=3) == 1


def test_neighbours_beyond_k_have_no_vote() -> None:
    assert voted(0, 1, 2, 2, 2, k=2) == 1


def test_a_neighbour_in_both_modalities_votes_once() -> None:
    codes, labels = line(0, 1, 2, 2)
    far = torch.tensor([[0.0], [1.0], [50.0], [60.0]])
    # By image the neighbours are 1, 2, 3; by the other modality 1 and 2: class 1 has one vote.
    labelled = torch.arange(4) > 0
    present = dict.fromkeys(("image", "other"), torch.ones(4, dtype=torch.bool))
    found = pseudo_labels({**codes, "other": far}, present, labels, labelled, 4)
    assert int(found[0].argmax()) == 2


def test_multi_label_needs_half_of_the_voters() -> None:
    labels = torch.tensor([[math.nan] * 3, [1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1.0]])
    codes = {"image": torch.arange(5).float()[:, None]}
    labelled = torch.arange(5) > 0
    present = {"image": torch.ones(5, dtype=torch.bool)}
    found = pseudo_labels(codes, present, labels, labelled, 5)
    assert found[0].tolist() == [1, 1, 0]
    # With three voters of different labels none has half, and the first of the top one stands.
    other = torch.tensor([[math.nan] * 3, [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1.0]])
    assert pseudo_labels(codes, present, other, labelled, 4)[0].tolist() == [1, 0, 0]


def test_without_a_labelled_neighbour_the_nearest_labelled_items_vote() -> None:
    codes = {"image": torch.tensor([[0.0], [1.0], [9.0], [20.0]])}
    labels = torch.tensor([[math.nan] * 2, [math.nan] * 2, [0.0, 1.0], [1.0, 0.0]])
    labelled = torch.tensor([False, False, True, True])
    present = {"image": torch.ones(4, dtype=torch.bool)}
    found = pseudo_labels(codes, present, labels, labelled, 2)
    assert found[:2].tolist() == [[0, 1], [0, 1]]


def test_what_an_item_lacks_makes_it_no_neighbour() -> None:
    codes = {"image": torch.tensor([[0.0], [0.0], [1.0]]), "text": torch.zeros(3, 1)}
    codes["text"][:] = torch.tensor([[0.0], [5.0], [9.0]])
    labels = torch.tensor([[math.nan] * 2, [1.0, 0.0], [0.0, 1.0]])
    labelled = torch.tensor([False, True, True])
    present = {"image": torch.tensor([True, False, True]), "text": torch.zeros(3, dtype=bool)}
    found = pseudo_labels(codes, present, labels, labelled, 2)
    assert found[0].tolist() == [0, 1]


def test_equal_distances_go_to_the_lower_row() -> None:
    found = nearest(torch.zeros(5, 2), torch.ones(5, dtype=torch.bool), 3)
    assert found.tolist() == [[True] * 3 + [False] * 2] * 5


def test_neighbours_for_a_class_size() -> None:
    labels = torch.nn.functional.one_hot(torch.arange(40) % 4, 5).float()
    assert neighbours_for(labels, 400) == 125  # 1.25 * 400 / 4 classes that there are
    assert neighbours_for(torch.ones(3, 1), 3) == 3


def test_refusals() -> None:
    codes, labels = line(0, 1, 2)
    present = {"image": torch.ones(3, dtype=torch.bool)}
    labelled = torch.arange(3) > 0
    with pytest.raises(DistillError, match=r"neighbours: expected 1 to the 3 items .*, got 4; "):
        pseudo_labels(codes, present, labels, labelled, 4)
    with pytest.raises(DistillError, match=r"labelled: expected at least one labelled item, got "):
        pseudo_labels(codes, present, labels, labelled & False, 2)
    nobody = {"image": torch.tensor([True, False, False])}
    with pytest.raises(DistillError, match=r"none for training row 0; label more"):
        pseudo_labels(codes, nobody, labels, labelled, 1)
