"""Hidden labels: how many items keep theirs, which, and that the dataset says so."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from distill.data import load
from distill.types import DistillError

SHARES = (0.08, 0.1, 0.25, 0.5, 0.9)


@pytest.fixture(scope="module")
def whole():
    return load("openclipart")


def kept(share: float, seed: int | None = None, **settings) -> list[int]:
    return load("openclipart", labelled=share, split_seed=seed, **settings).splits["train"].tolist()


def reference_order(labels: np.ndarray, train: list[int], seed: int) -> list[int]:
    """The order in which items keep their labels, in loops."""
    order = sorted(train, key=lambda row: hashlib.sha256(f"{seed}:{row}".encode()).digest())
    counts = {k: sum(int(labels[row][k]) for row in train) for k in range(labels.shape[1])}
    first: list[int] = []
    for label in sorted((k for k in counts if counts[k]), key=lambda k: (counts[k], k)):
        if any(labels[row][label] for row in first):
            continue
        first.append(next(row for row in order if labels[row][label]))
    return first + [row for row in order if row not in first]


@pytest.mark.parametrize("seed", [0, 3])
def test_labels_are_kept_in_the_order_of_the_reference(seed: int) -> None:
    dataset = load("openclipart", split_seed=seed)
    order = reference_order(dataset.labels, dataset.splits["train"].tolist(), seed)
    for share in SHARES:
        assert kept(share, seed) == sorted(order[: round(share * len(order))])


def test_a_larger_share_keeps_more_and_every_label_has_an_item(whole) -> None:
    n = len(whole.splits["train"])
    found = [load("openclipart", labelled=share) for share in SHARES]
    for smaller, larger in itertools.pairwise(found):
        assert set(smaller.splits["train"]) < set(larger.splits["train"])
    for share, dataset in zip(SHARES, found, strict=True):
        train, hidden = dataset.splits["train"], dataset.splits["unlabelled"]
        assert len(train) == round(share * n)
        assert sorted([*train, *hidden]) == whole.splits["train"].tolist()
        assert dataset.labels[train].any(axis=0).all()
        assert hidden.dtype == np.int64
        for part in ("validation", "query", "database"):
            assert np.array_equal(dataset.splits[part], whole.splits[part])
        assert np.array_equal(dataset.labels, whole.labels)
        with pytest.raises(ValueError, match="read-only"):
            hidden[0] = 0


def test_seeds_and_shares_make_other_datasets(whole) -> None:
    assert kept(0.1, 1) != kept(0.1, 2)
    prints = [load("openclipart", labelled=share).fingerprint for share in (1, 1.0, 0.25, 0.5)]
    assert prints[0] == prints[1] == whole.fingerprint
    assert len(set(prints)) == 3
    assert load("openclipart", labelled=0.9999).fingerprint == whole.fingerprint
    assert "unlabelled" not in load("openclipart", labelled=0.9999).splits


def test_the_sentence_says_it(whole) -> None:
    dataset = load("openclipart", labelled=0.25)
    counts = "of which 336 train, 1009 are unlabelled and 150 validate, fixed, "
    assert counts in dataset.protocol
    assert ", labels kept in the order of split seed 0; text = title" in dataset.protocol
    assert "without their labels" not in whole.protocol
    drawn = load("openclipart", labelled=0.25, split_seed=4).protocol
    assert counts.replace("fixed", "drawn with split seed 4") in drawn
    assert "labels kept" not in drawn


@pytest.mark.parametrize("share", [0, 0.0, -0.5, 1.01, float("nan"), float("inf"), True, "0.5"])
def test_no_share(share: object) -> None:
    message = r"labelled: expected a share in \(0, 1\], got .*; 1 hides no labels"
    with pytest.raises(DistillError, match=message):
        load("imagefolder", root=Path("not read"), labelled=share)


def test_too_few_items_for_the_labels_name_them(make_manifest) -> None:
    labels = ["common", "rare", "odd", "other", "last"]
    lines = [
        {"image": f"{i}.png", "text": "", "labels": [labels[min(i, 4)]], "split": "train"}
        for i in range(20)
    ]
    lines[10]["labels"] = ["common"]
    lines += [lines[4] | {"image": f"{s}.png", "split": s} for s in ("query", "validation")]
    path = make_manifest(lines)
    assert len(load("manifest", path=path, labelled=0.25).splits["train"]) == 5
    with pytest.raises(DistillError) as caught:
        load("manifest", path=path, labelled=0.15)
    assert str(caught.value) == (
        "labelled: expected a share that leaves an item to every label, got 0.15 of 20 training "
        "items, which leaves none to common, last; give a larger --labelled, at least 0.25"
    )


def test_lists_keep_their_order(tmp_path: Path, picture) -> None:
    root = tmp_path / "lists"
    root.mkdir()
    lines = [f"{i}.png {i % 2} {1 - i % 2}" for i in range(20)]
    given = {"database": lines, "train": lines[::-1], "test": ["20.png 1 0"]}
    given["validation"] = ["21.png 0 1"]
    for name, part in given.items():
        (root / f"{name}.txt").write_text("\n".join(part))
        for line in part:
            (root / line.split()[0]).write_bytes(picture())
    dataset = load("listfile", root=root, labelled=0.5)
    assert (np.diff(dataset.splits["train"]) < 0).all()
    assert (np.diff(dataset.splits["unlabelled"]) > 0).all()
    assert "20, 10 train, 10 are unlabelled, 1 validate (given)" in dataset.protocol


def test_a_published_split_keeps_labels_by_its_own_seed(tmp_path: Path, small_protocol) -> None:
    drawn = np.random.default_rng(0)
    for name, width in (("image", 4), ("text", 3)):
        np.save(tmp_path / f"{name}.npy", drawn.standard_normal((12, width)))
    np.save(tmp_path / "labels.npy", np.arange(12) % 2)
    settings = {"root": tmp_path, "protocol": small_protocol(12, "permutation", 6)}
    train = load("features", **settings).splits["train"].tolist()
    dataset = load("features", labelled=0.5, **settings)
    order = reference_order(dataset.labels, train, 6)
    assert dataset.splits["train"].tolist() == sorted(order[:2])
    assert "2 train, 2 are unlabelled and 1 validate" in dataset.protocol


def test_labels_that_are_not_there_cannot_be_hidden(make_folder) -> None:
    root = make_folder("a.png", "b.png", "c.png")
    message = "labelled: expected none for photos, which has no labels, got 0.5; leave it out"
    with pytest.raises(DistillError, match=message):
        load("imagefolder", root=root, labelled=0.5)


def test_items_without_a_label_are_unlabelled_beside_the_hidden(make_manifest) -> None:
    lines = [
        {"image": f"{i}.png", "text": "", "labels": [] if i % 4 == 0 else ["a"]} for i in range(24)
    ]
    path = make_manifest(lines)
    assert load("manifest", path=path).splits["unlabelled"].tolist() == list(range(0, 24, 4))
    dataset = load("manifest", path=path, labelled=0.5)
    hidden = dataset.splits["unlabelled"]
    assert set(range(0, 24, 4)) < set(hidden)
    assert len(hidden) + len(dataset.splits["train"]) == 6 + 14
    assert (np.diff(hidden) > 0).all()


def test_a_file_that_says_it_itself_is_not_overruled(make_manifest) -> None:
    words = ["query", "validation", "unlabelled", "unlabelled", "train", "train"]
    lines = [
        {"image": f"{i}.png", "text": "", "labels": ["a"], "split": word}
        for i, word in enumerate(words)
    ]
    path = make_manifest(lines)
    dataset = load("manifest", path=path)
    assert dataset.splits["unlabelled"].tolist() == [2, 3]
    assert dataset.splits["database"].tolist() == [1, 2, 3, 4, 5]
    message = "labelled: expected none for items, which says itself which items are unlabelled, got"
    with pytest.raises(DistillError, match=message):
        load("manifest", path=path, labelled=0.5)
