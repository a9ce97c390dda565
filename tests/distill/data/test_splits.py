import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.data.splits import WORDS, SplitProtocol, describe, from_words, learners
from distill.types import DistillError


def check_parts(splits, n: int, labelled: np.ndarray) -> None:
    """What holds for every split."""
    for rows in splits.values():
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        assert len(rows)
    query, database = splits["query"], splits["database"]
    assert sorted([*query, *database]) == list(range(n))
    train, validation = splits["train"], splits["validation"]
    assert not set(train) & set(validation)
    assert set(train) | set(validation) <= set(database)
    assert labelled[train].all()
    assert labelled[validation].all()


@given(st.lists(st.booleans(), min_size=3, max_size=60), st.integers(), st.floats(0.01, 0.99))
def test_drawn_parts_are_whole_and_disjoint(mask: list[bool], seed: int, share: float):
    labelled = np.array(mask)
    protocol = SplitProtocol(share, share, seed)
    try:
        splits = protocol.draw(labelled)
    except DistillError:
        assert labelled.sum() < max(1, round(share * labelled.sum())) + 2
        return
    check_parts(splits, len(mask), labelled)
    assert labelled[splits["query"]].all()
    assert len(splits["train"]) + len(splits["validation"]) + len(splits["query"]) == sum(mask)
    again = protocol.draw(labelled)
    assert all((splits[part] == again[part]).all() for part in splits)


def test_counts_and_shares():
    splits = SplitProtocol(queries=400, validation=0.1).draw(np.ones(3737, bool))
    assert {part: len(rows) for part, rows in splits.items()} == {
        "train": 3003,
        "validation": 334,
        "query": 400,
        "database": 3337,
    }
    assert describe(splits) == (
        "400 queries against a database of 3337, of which 3003 train and 334 validate"
    )
    splits = SplitProtocol(queries=0.25, validation=0.5).draw(np.ones(8, bool))
    assert {part: len(rows) for part, rows in splits.items()} == {
        "train": 3,
        "validation": 3,
        "query": 2,
        "database": 6,
    }


def test_the_draw_never_changes():
    # Written down once: published figures rest on this order.
    splits = SplitProtocol(queries=3, validation=0.25, seed=7).draw(np.ones(11, bool))
    assert splits["query"].tolist() == [3, 4, 7]
    assert splits["validation"].tolist() == [2, 8]


def test_seeds_differ():
    draws = [SplitProtocol(queries=10, seed=seed).draw(np.ones(100, bool)) for seed in range(5)]
    assert len({tuple(splits["query"]) for splits in draws}) == 5


def test_items_without_a_label_lie_in_the_database_and_are_unlabelled():
    labelled = np.arange(20) % 2 == 0
    splits = SplitProtocol(queries=4).draw(labelled)
    assert set(splits["database"]) >= set(range(1, 20, 2))
    assert splits["unlabelled"].tolist() == list(range(1, 20, 2))
    check_parts(splits, 20, labelled)
    assert "unlabelled" not in SplitProtocol(queries=4).draw(np.ones(20, bool))
    assert describe(splits) == (
        "4 queries against a database of 16, of which 5 train, 10 are unlabelled and 1 validate"
    )


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_items(n: int):
    with pytest.raises(DistillError, match=f"at least 3 with a label .* got {n}; add items"):
        SplitProtocol().draw(np.ones(n, bool))


@given(st.lists(st.sampled_from(WORDS), min_size=4, max_size=40), st.integers(0, 5))
def test_given_words_are_kept(said: list[str], seed: int):
    labelled = np.ones(len(said), bool)
    try:
        splits = from_words(said, labelled, SplitProtocol(seed=seed))
    except DistillError:
        assert "query" not in said or said.count("train") < 2
        return
    check_parts(splits, len(said), labelled)
    assert [said[i] for i in splits["query"]] == ["query"] * said.count("query")
    learned = set(splits["train"]) | set(splits["validation"])
    assert learned == {i for i, word in enumerate(said) if word in ("train", "validation")}
    without = [i for i, word in enumerate(said) if word == "unlabelled"]
    assert splits.get("unlabelled", np.array([])).tolist() == without
    if "validation" in said:
        assert all(said[i] == "validation" for i in splits["validation"])


def test_training_items_without_a_label_are_unlabelled():
    said = ["query", "train", "train", "train", "database", "unlabelled", "validation"]
    labelled = np.array([True, False, True, True, False, True, False])
    splits = from_words(said, labelled, SplitProtocol())
    assert splits["unlabelled"].tolist() == [1, 5]
    assert sorted([*splits["train"], *splits["validation"]]) == [2, 3]
    assert splits["database"].tolist() == [1, 2, 3, 4, 5, 6]


def test_learners_in_words():
    splits = {"train": np.arange(1956), "unlabelled": np.arange(1467)}
    assert learners(splits) == "1956 train, 1467 are unlabelled"
    assert learners(splits, digits=",") == "1,956 train, 1,467 are unlabelled"
    assert learners({"train": np.arange(3)}) == "3 train"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["train", "train"], 'at least 1 items marked "query", got 0'),
        (["query", "train"], 'at least 2 items marked "train" that have a label, got 1'),
        (["query", "validation", "database"], 'at least 1 items marked "train".*got 0'),
    ],
)
def test_a_needed_part_is_empty(said: list[str], message: str):
    with pytest.raises(DistillError, match=message):
        from_words(said, np.ones(len(said), bool), SplitProtocol())
