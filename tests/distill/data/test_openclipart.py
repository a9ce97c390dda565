import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data import load
from distill.data.openclipart import Clipart, with_labels
from distill.types import DistillError

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("title", "description", "text"),
    [
        ("Sailing boat", "", "Sailing boat"),
        ("boat", "A boat at sea", "boat. A boat at sea"),
        ("Volley Ball", "volley ball ", "Volley Ball"),
        ("", "only described", "only described"),
        ("", "", ""),
        ("card", "x" * 100, "card. " + "x" * 80),
        ("saint_helena", "jean@example.org", "saint helena"),
        ("Clipart by nicu buculei - smiley111", "", "smiley111"),
        ("Kiribati", "HASH(0x85cd6e4)", "Kiribati"),
        ("A &amp;amp; B", "", "A & B"),
    ],
)
def test_text(title: str, description: str, text: str):
    assert Clipart("i", title, description, ()).text == text


def test_rare_tags_are_no_labels():
    clipart = [Clipart(str(i), "t", "", ("big",) if i % 2 else ("big", "rare")) for i in range(5)]
    clipart.append(Clipart("5", "t", "", ("rare", "lonely")))
    assert [item.labels for item in with_labels(clipart, 5)] == [("big",)] * 5
    assert [item.image for item in with_labels(clipart, 2)] == list("012345")


def test_the_full_set(make_clipart: Make):
    root = make_clipart()
    dataset = load("openclipart", root=root)
    assert dataset.name == "openclipart-full"
    assert len(dataset) == 460
    assert dataset.label_names == ("boat", "flag", "sea_side")
    assert dataset.texts[1] == "title 1. " + ("word 1 " * 40)[:80].strip()
    assert dataset.image_name(2) == "clipart/00003.jpg"
    assert dataset.image(2).size == (8, 8)
    assert {part: len(rows) for part, rows in dataset.splits.items()} == {
        "train": 54,
        "validation": 6,
        "query": 400,
        "database": 60,
    }
    assert dataset.protocol == (
        "openclipart (full, 460 items): 400 queries against a database of 60, of which 54 train "
        "and 6 validate, drawn with split seed 0, 0.0 % of the texts contain one "
        "of their labels; text = title and first 80 characters of the description, labels = "
        "tags of at least 20 items."
    )
    assert load("openclipart", root=str(root)).fingerprint == dataset.fingerprint
    assert load("openclipart", root=root, split_seed=5).fingerprint != dataset.fingerprint


def test_scrubbed(make_clipart: Make):
    root = make_clipart()
    entries = json.loads((root / "clipart.json").read_text())
    entries[1] |= {"title": "Boat at the sea side", "desc": ""}
    (root / "clipart.json").write_text(json.dumps(entries))
    assert load("openclipart", root=root, text="scrubbed").texts[1] == "at the"


def test_no_such_folder(tmp_path: Path):
    message = r"root: expected a folder with clipart\.json, got .*; build it with python -m distill"
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(DistillError, match=message):
            load("openclipart", root=root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"clipart\.json: expected JSON, got Expecting"),
        ("{}", r"clipart\.json: expected a list of items, got another value"),
        ("[]", r"items: expected at least one in .*, got none"),
        ("[7]", r"item 1: expected image, title, desc and a list of tags, got 7; build"),
        ('[{"image": "a"}]', r"item 1: expected image, title, desc and a list of tags, got {"),
        (
            r'[{"image": "a", "title": "", "desc": "", "tags": ["\ud83d"]}]',
            r"item 1: expected strings of Unicode text, got {",
        ),
        (
            '[{"image": "a", "title": null, "desc": "", "tags": ["b"]}]',
            r"item 1: expected strings of Unicode text, got {",
        ),
        (
            '[{"image": "a", "title": "", "desc": "", "tags": [["b"]]}]',
            r"item 1: expected image, title, desc and a list of tags",
        ),
    ],
)
def test_a_damaged_list(tmp_path: Path, content: str, message: str):
    (tmp_path / "clipart.json").write_text(content)
    with pytest.raises(DistillError, match=message) as caught:
        load("openclipart", root=tmp_path)
    assert "\n" not in str(caught.value)


def test_too_small_for_the_protocol(make_clipart: Make):
    with pytest.raises(DistillError, match=r"expected at least 402 with a label .*, got 200"):
        load("openclipart", root=make_clipart(300))


def test_bad_images(make_clipart: Make, caplog):
    root = make_clipart()
    (root / "clipart" / "00003.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DistillError, match=r"expected 460 .* got 1 .*: clipart/00003\.jpg \("):
        load("openclipart", root=root)
    with caplog.at_level(logging.WARNING):
        assert len(load("openclipart", root=root, bad_images="skip")) == 459
    assert "skipped 1 of 460 images" in caplog.text
