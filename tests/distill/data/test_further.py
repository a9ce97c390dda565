"""Manifests of more than two modalities, some of which some items lack."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill.data import load
from distill.data.images import NoImages
from distill.types import DistillError

Make = Callable[..., Path]
N = 12
SKETCHED = [i for i in range(N) if i % 3]
TAGGED = [i for i in range(N) if i != 5]


@pytest.fixture
def make_items(make_manifest: Make, picture) -> Callable[..., Path]:
    """Write a manifest whose items have sketches and tags too; changes by item number."""

    def make(**changes: dict) -> Path:
        lines = [item(i) | changes.get(f"i{i}", {}) for i in range(N)]
        path = make_manifest(lines)
        for i in SKETCHED:
            (path.parent / f"s{i}.png").write_bytes(picture(i + 50))
        return path

    return make


def item(i: int) -> dict:
    others = {"sketch": {"image": f"s{i}.png"} if i in SKETCHED else None}
    if i in TAGGED:
        others["tags"] = {"text": f"tag {i}, dog"}
    labels = [["dog"], ["sea"]][i % 2]
    return {"image": f"{i}.png", "text": f"item {i}", "labels": labels, "modalities": others}


def test_image_and_text_are_used_unless_others_are_named(make_items) -> None:
    dataset = load("manifest", path=make_items())
    assert dataset.chosen == dataset.modalities == ("image", "text")
    assert not dataset.others
    assert "modalities" not in dataset.protocol


def test_named_ones_are_used_in_order(make_items, picture) -> None:
    dataset = load("manifest", path=make_items(), modalities=("tags", "image", "sketch", "text"))
    assert dataset.chosen == ("tags", "image", "sketch", "text")
    assert np.flatnonzero(dataset.has("sketch")).tolist() == SKETCHED
    assert np.flatnonzero(dataset.has("tags")).tolist() == TAGGED
    assert dataset.has("image").all()
    assert dataset.has("text").all()
    assert dataset.others["tags"].texts[4] == "tag 4, dog"
    sketches = dataset.others["sketch"].images
    assert sketches is not None
    assert sketches.read(4) == picture(54)
    assert sketches.names[3] == ""
    assert (
        ", modalities tags (of 11 items), image, sketch (of 8 items) and text, 0.0 % of the texts "
        "and 54.5 % of the tags contain one of their labels; text and labels as in the file."
    ) in dataset.protocol


def test_scrubbing_takes_labels_out_of_every_text(make_items) -> None:
    dataset = load("manifest", path=make_items(), modalities=("image", "tags"), text="scrubbed")
    assert dataset.others["tags"].texts[3:5] == ("tag 3, dog", "tag 4")
    assert "0.0 % of the tags contain one of their labels" in dataset.protocol


def test_an_image_or_a_text_may_be_missing(make_items) -> None:
    two = {"i2": {"image": None}, "i3": {"text": None}, "i4": {"text": ""}}
    path = make_items(**two)
    dataset = load("manifest", path=path)
    assert np.flatnonzero(~dataset.has("image")).tolist() == [2]
    assert np.flatnonzero(~dataset.has("text")).tolist() == [3]
    assert ", modalities image (of 11 items) and text (of 11 items), " in dataset.protocol
    assert dataset.image_name(2) == ""
    assert dataset.texts[3] == ""
    assert dataset.item_name(2) == "item 2"
    with pytest.raises(DistillError, match="image 2: expected a picture, got an item without one"):
        dataset.image(2)
    message = "images: expected a picture of every item to hash, got 1 items of items without one"
    with pytest.raises(DistillError, match=message):
        dataset.require_images("to hash")


def test_keys_may_be_absent_beside_another_modality(make_items) -> None:
    path = make_items()
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"text": "item 1", ', "")
    lines[2] = lines[2].replace('"image": "2.png", ', "")
    path.write_text("\n".join(lines))
    dataset = load("manifest", path=path)
    assert np.flatnonzero(~dataset.has("text")).tolist() == [1]
    assert np.flatnonzero(~dataset.has("image")).tolist() == [2]


def test_without_a_picture_there_are_none(make_items) -> None:
    path = make_items(**{f"i{i}": {"image": None} for i in range(N)})
    dataset = load("manifest", path=path)
    assert isinstance(dataset.images, NoImages)
    assert dataset.chosen == ("text",)
    assert len(load("manifest", path=path, modalities=("text", "sketch")).fingerprint) == 64
    with pytest.raises(DistillError, match=r"expected some of text, tags, sketch for .*\"image\""):
        load("manifest", path=path, modalities=("image", "sketch"))


def test_fingerprints_tell_what_is_there(make_items, picture) -> None:
    path = make_items()

    def fingerprint(**settings) -> str:
        return load("manifest", path=path, **settings).fingerprint

    seen = [fingerprint(), fingerprint(modalities=("image", "text", "tags"))]
    seen.append(fingerprint(modalities=("image", "text", "sketch")))
    (path.parent / "s4.png").write_bytes(picture(99))
    assert fingerprint() == seen[0]
    seen.append(fingerprint(modalities=("image", "text", "sketch")))
    make_items(i3={"text": ""})
    seen.append(fingerprint())
    make_items(i3={"text": None})
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)


def test_of_unlabelled_items_only_what_does_not_follow_counts(make_items) -> None:
    dataset = load("manifest", path=make_items(i3={"labels": []}, i4={"labels": []}))
    assert dataset.splits["unlabelled"].tolist() == [3, 4]
    splits = {part: rows for part, rows in dataset.splits.items() if part != "unlabelled"}
    older = dataclasses.replace(dataset, splits=splits)
    assert older.fingerprint == dataset.fingerprint
    fewer = dataclasses.replace(dataset, splits=splits | {"unlabelled": np.array([3])})
    assert fewer.fingerprint != dataset.fingerprint


def test_an_item_with_none_of_the_modalities_is_refused(make_items) -> None:
    bare = {"image": None, "text": None, "modalities": {"tags": {"text": "a"}}}
    path = make_items(i7=bare, i9=bare)
    message = (
        "items: expected image or text of every item of items, got 2 items without, the first "
        "being item 7; leave them out, or choose more --modalities"
    )
    with pytest.raises(DistillError, match=message):
        load("manifest", path=path)
    assert len(load("manifest", path=path, modalities=("image", "text", "tags"))) == N


def test_labels_that_only_unlabelled_items_have_are_refused(make_items) -> None:
    words = ["query", "validation", *["train"] * 6, *["unlabelled"] * 4]
    changes = {f"i{i}": {"split": word} for i, word in enumerate(words)}
    changes["i9"] |= {"labels": ["boat", "sea"]}
    message = "labels: expected a labelled training item of every label in items, got none of boat"
    with pytest.raises(DistillError, match=message):
        load("manifest", path=make_items(**changes))


def test_bad_pictures_of_any_modality(make_items) -> None:
    path = make_items()
    (path.parent / "s4.png").write_bytes(b"no picture")
    assert len(load("manifest", path=path)) == N
    settings = {"path": path, "modalities": ("image", "sketch")}
    with pytest.raises(DistillError, match=r"images: expected 8 complete .* got 1 .*: s4\.png"):
        load("manifest", **settings)
    dataset = load("manifest", bad_images="skip", **settings)
    assert dataset.texts == tuple(f"item {i}" for i in range(N) if i != 4)
    assert dataset.others["sketch"].images.names[3:5] == ("", "s5.png")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (["tags"], '"modalities": expected an object as {"tags": {"text": "dog, beach"}}, got a l'),
        (None, '"modalities": expected an object as {"tags": {"text": "dog, beach"}}, got null; c'),
        ({"Tags": None}, 'expected names of lowercase letters, digits and hyphens .* got "Tags"'),
        ({"label": {"text": "x"}}, 'that are not taken, got "label"; choose another'),
        ({"a_b": {"text": "x"}}, 'got "a_b"; choose another'),
        ({"tags": "dog"}, '"modalities", tags: expected null, {"image": "a file"} or {"text": "wo'),
        ({"tags": {"text": "a", "image": "b"}}, 'tags: expected null, {"image": "a file"} or'),
        ({"tags": {"sound": "a.wav"}}, 'got {"sound": "a.wav"}; correct it'),
        ({"tags": {"text": ""}}, 'tags: expected words, got ""; write null where there are none'),
        ({"tags": {"text": 3}}, "tags: expected a string, got a number"),
        ({"sketch": {"image": ""}}, 'sketch: expected a file name, got ""; name the picture'),
        ({"sketch": {"text": "a"}}, "expected sketch to be images, as in the lines before, got te"),
    ],
)
def test_a_bad_line_is_named(make_items, entry: object, message: str) -> None:
    path = make_items(i4={"modalities": entry})
    with pytest.raises(DistillError) as caught:
        load("manifest", path=path)
    said = str(caught.value)
    assert said.startswith(f"{path}, line 5")
    assert all(part in said for part in message.split(".*"))
    assert "\n" not in said
