import logging
from collections.abc import Callable

import numpy as np
import pytest

from distill.data.images import MemoryImages, NoImages
from distill.data.pairs import Pairs, dataset_of
from distill.data.splits import SplitProtocol
from distill.types import DistillError

N = 12
LABELS = np.array([[i % 2, 1 - i % 2, i == 5] for i in range(N)], bool)
FEATURES = np.arange(N * 3, dtype=np.float32).reshape(N, 3)
TEXTS = tuple(f"text {i}" for i in range(N))
NAMES = tuple(f"p{i}" for i in range(N))


def build(pairs: Pairs, **settings: object):
    given = {"where": "here", "fields": "text = t, labels = l", "split": SplitProtocol()}
    given |= {"text": "full", "bad_images": "refuse"} | settings
    return dataset_of("ten", pairs, **given)


@pytest.fixture
def images(picture: Callable[..., bytes]) -> MemoryImages:
    return MemoryImages(NAMES, tuple(picture(i) for i in range(N)))


def test_rows_stay_together(images: MemoryImages, caplog):
    labels = LABELS.copy()
    labels[[2, 7]] = False
    blobs = (*images.blobs[:4], b"no", *images.blobs[5:])
    damaged = MemoryImages(NAMES, blobs)
    pairs = Pairs(damaged, labels, ["odd", "even", "five"], TEXTS, {"text": FEATURES})
    with caplog.at_level(logging.WARNING):
        dataset = build(pairs, bad_images="skip")
    kept = [i for i in range(N) if i not in (2, 4, 7)]
    assert "here: left out 2 of 12 items, which have no label" in caplog.text
    assert "skipped 1 of 10 images" in caplog.text
    assert dataset.texts == tuple(TEXTS[i] for i in kept)
    assert dataset.features["text"].tolist() == FEATURES[kept].tolist()
    assert [dataset.image_name(row) for row in range(len(kept))] == [NAMES[i] for i in kept]
    assert [dataset.image_bytes(row) for row in range(len(kept))] == [blobs[i] for i in kept]
    assert dataset.label_names == ("even", "five", "odd")
    for row, i in enumerate(kept):
        assert dataset.labels[row].tolist() == [labels[i, 1], labels[i, 2], labels[i, 0]]
    assert dataset.protocol == (
        "ten, 9 items (2 without a label left out): 1 queries against a database of 8, of which 7 "
        "train and 1 validate, drawn with split seed 0, 0.0 % of the texts contain one of their "
        "labels; text = t, labels = l."
    )


def test_labels_without_names_are_numbers(images: MemoryImages, caplog):
    dataset = build(Pairs(images, np.repeat(LABELS, 4, axis=1), None, TEXTS))
    assert dataset.label_names[:2] == ("label 00", "label 01")
    assert "% of the texts" not in dataset.protocol  # it would say nothing
    message = "text: expected full for labels without names of ten, got scrubbed"
    with pytest.raises(DistillError, match=message):
        build(Pairs(images, LABELS, None, TEXTS), text="scrubbed")
    with pytest.raises(DistillError, match=message):
        build(Pairs(images, LABELS, ["1", "2", "3"], TEXTS, named=False), text="scrubbed")


def test_texts_are_scrubbed_of_names(images: MemoryImages):
    dataset = build(Pairs(images, LABELS, ["text", "b", "c"], TEXTS), text="scrubbed")
    assert dataset.texts[:3] == ("text 0", "1", "text 2")
    with pytest.raises(DistillError, match="full for texts that come as features of ten"):
        build(Pairs(images, LABELS, ["a", "b", "c"], None, {"text": FEATURES}), text="scrubbed")


def test_given_words_divide(images: MemoryImages):
    said = ["train"] * 9 + ["query"] * 3
    first, other = (
        build(Pairs(images, LABELS, None, said=said), split=SplitProtocol(seed=seed))
        for seed in (0, 2)
    )
    assert first.splits["query"].tolist() == other.splits["query"].tolist() == [9, 10, 11]
    assert first.splits["database"].tolist() == list(range(9))
    assert len(first.splits["train"]) == 8
    assert first.splits["validation"].tolist() != other.splits["validation"].tolist()
    assert "given by the files, its validation items drawn with split seed 2" in other.protocol


def test_without_pictures():
    features = {"image": FEATURES, "text": FEATURES[:, :2]}
    dataset = build(Pairs(NoImages(NAMES), LABELS, None, features=features))
    assert not dataset.has_images
    assert dataset.image_name(3) == "p3"
    message = "^p3: expected a readable image, got a dataset that holds features, no pictures$"
    with pytest.raises(DistillError, match=message):
        dataset.image(3)
    for values in dataset.features.values():
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_the_fingerprint_knows_features(images: MemoryImages):
    def fingerprint(source, **features: np.ndarray) -> str:
        return build(Pairs(source, LABELS, None, features=features)).fingerprint

    changed = FEATURES.copy()
    changed[3, 1] += 1
    nothing = NoImages(NAMES)
    assert fingerprint(nothing, text=FEATURES) == fingerprint(NoImages(NAMES), text=FEATURES)
    found = {
        fingerprint(images),
        fingerprint(images, text=FEATURES),
        fingerprint(nothing, text=FEATURES),
        fingerprint(nothing, text=changed),
        fingerprint(nothing, image=FEATURES),
        fingerprint(nothing, text=FEATURES.reshape(N, 1, 3)[:, :, :].reshape(N, 3)[:, ::-1]),
    }
    assert len(found) == 6


def test_features_and_texts_do_not_depend_on_labels(images: MemoryImages):
    one, other = (
        build(Pairs(images, labels, None, TEXTS, {"text": FEATURES}))
        for labels in (LABELS, LABELS[:, ::-1])
    )
    assert one.texts == other.texts
    assert np.array_equal(one.features["text"], other.features["text"])
    assert not np.array_equal(one.labels, other.labels)


def test_no_label_at_all(images: MemoryImages):
    with pytest.raises(DistillError, match="at least one item with a label in here, got none"):
        build(Pairs(images, np.zeros((N, 2), bool), None))
