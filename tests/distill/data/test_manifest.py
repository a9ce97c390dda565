import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.data import load
from distill.data.base import Item
from distill.data.manifest import dump, parse
from distill.data.modalities import Given
from distill.data.splits import WORDS
from distill.types import DistillError

Make = Callable[..., Path]


def line(number: int, **changes: object) -> dict[str, object]:
    labels = [["dog"], ["sea", "dog"], ["sea"]][number % 3]
    return {"image": f"pictures/{number}.png", "text": f"item {number}", "labels": labels} | changes


def test_without_split_one_is_drawn(make_manifest: Make):
    dataset = load("manifest", path=make_manifest([line(i) for i in range(30)]))
    assert len(dataset) == 30
    assert dataset.name == "items"
    assert dataset.label_names == ("dog", "sea")
    assert dataset.labels.dtype == np.uint8
    assert dataset.labels[:3].tolist() == [[1, 0], [1, 1], [0, 1]]
    assert dataset.labels_of(1) == ("dog", "sea")
    assert dataset.texts[7] == "item 7"
    assert dataset.image_name(7) == "pictures/7.png"
    assert dataset.image(7).mode == "RGB"
    assert {part: len(rows) for part, rows in dataset.splits.items()} == {
        "train": 24,
        "validation": 3,
        "query": 3,
        "database": 27,
    }
    assert dataset.protocol == (
        "items.jsonl, 30 items: 3 queries against a database of 27, of which 24 train and 3 "
        "validate, drawn with split seed 0, 0.0 % of the texts contain one of their labels; text "
        "and labels as in the file."
    )


def test_the_split_seed_matters_and_is_repeatable(make_manifest: Make):
    path = make_manifest([line(i) for i in range(40)])
    first, again, other = (load("manifest", path=path, split_seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.splits["query"].tolist() != other.splits["query"].tolist()


def test_a_split_in_the_file_is_kept(make_manifest: Make):
    words = ["query", "train", "database", "validation", "train"] * 3
    dataset = load("manifest", path=make_manifest([line(i, split=w) for i, w in enumerate(words)]))
    for word in ("query", "train", "validation"):
        assert [words[i] for i in dataset.splits[word]] == [word] * words.count(word)
    assert len(dataset.splits["database"]) == 12
    assert "given in the file, " in dataset.protocol


def test_validation_is_held_out_when_the_file_has_none(make_manifest: Make):
    words = ["query", *["train"] * 20, "database"]
    path = make_manifest([line(i, split=w) for i, w in enumerate(words)])
    dataset = load("manifest", path=path, split_seed=3)
    assert len(dataset.splits["validation"]) == 2
    assert len(dataset.splits["train"]) == 18
    assert "its validation items drawn with split seed 3" in dataset.protocol


def test_items_without_a_label_are_searched_and_never_ask(make_manifest: Make):
    lines = [line(i, labels=[] if i % 5 == 0 else ["dog"]) for i in range(20)]
    dataset = load("manifest", path=make_manifest(lines))
    unlabelled = {0, 5, 10, 15}
    assert unlabelled <= set(dataset.splits["database"])
    for part in ("train", "validation", "query"):
        assert not unlabelled & set(dataset.splits[part])


def test_scrubbed_text(make_manifest: Make):
    path = make_manifest([line(i, text="A dog by the sea") for i in range(6)])
    full = load("manifest", path=path)
    assert full.texts[0] == "A dog by the sea"
    assert "100.0 % of the texts contain one of their labels; " in full.protocol
    dataset = load("manifest", path=path, text="scrubbed")
    assert dataset.texts[:3] == ("A by the sea", "A by the", "A dog by the")
    assert "0.0 % of the texts contain one of their labels; " in dataset.protocol
    assert dataset.protocol.endswith("each item's own labels taken out of its text.")


def test_tolerated_forms(make_manifest: Make):
    path = make_manifest([line(i, extra=1) for i in range(4)])
    text = path.read_text().replace("\n", "\r\n\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(load("manifest", path=path)) == 4
    assert load("manifest", path=str(path)).name == "items"


def test_absolute_image_paths(make_manifest: Make, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere.png"
    path = make_manifest([line(i, image=str(elsewhere)) for i in range(3)])
    assert load("manifest", path=path).image(2).size == (24, 24)


def test_repeated_labels_count_once(make_manifest: Make):
    path = make_manifest([line(i, labels=["dog", "dog"]) for i in range(3)])
    assert load("manifest", path=path).labels.tolist() == [[1], [1], [1]]


BAD_LINES = [
    ("{", "expected one JSON object, got Expecting property name"),
    ("[1]", "expected a JSON object, got a list; put it in braces"),
    ("null", "expected a JSON object, got null; put it in braces"),
    ("[" * 100_000, "expected one JSON object, got "),
    ({"image": "a.png"}, 'expected the keys image, text, labels, got no "text", "labels"; add it'),
    (line(1, image=3), '"image": expected a string, got a number'),
    (line(1, image=""), '"image": expected a file name, got ""; name the picture'),
    (
        json.dumps(line(1, image="a\0.png")),
        '"image": expected a file name, got one with U+0000; correct it',
    ),
    (line(1, text=None, image=None), "expected an image, a text or another modality, got none"),
    (
        {"text": None, "labels": [], "modalities": {"tags": None}},
        'expected the keys image, text, labels, got no "image"; add it',
    ),
    (line(1, text="\ud800"), '"text": expected Unicode text, got half a surrogate pair'),
    (line(1, labels="dog"), '"labels": expected a list of strings, got a string'),
    (line(1, labels=["dog", 7]), '"labels": expected a list of strings, got a number'),
    (line(1, labels=[True]), '"labels": expected a list of strings, got a boolean'),
    (line(1, labels=[["dog"]]), '"labels": expected a list of strings, got a list'),
    (line(1, labels=[{}]), '"labels": expected a list of strings, got an object'),
    (line(1, labels=[""]), '"labels": expected names, got ""; remove the empty one'),
    (
        line(1, split="test"),
        '"split": expected one of train, unlabelled, validation, query, database, got "test"',
    ),
    (line(1, split=["train"]), '"split": expected one of train, .* got ["train"]'),
    (
        line(1, splits="query"),
        'expected "split", got "splits"; correct it, or give it another name',
    ),
    (line(1, modalitie={}), 'expected "modalities", got "modalitie"; correct it, or give it anoth'),
    (line(1, split="train"), 'expected "split" on every line or on none, got both kinds'),
]


@pytest.mark.parametrize(("bad", "message"), BAD_LINES)
def test_a_bad_line_is_named(make_manifest: Make, bad: object, message: str):
    path = make_manifest([line(0), line(1), bad, line(3)])
    with pytest.raises(DistillError) as caught:
        load("manifest", path=path)
    said = str(caught.value)
    assert said.startswith(f"{path}, line 3")
    assert all(part in said for part in message.split(".*"))
    assert "\n" not in said


def test_text_that_is_not_utf8(make_manifest: Make):
    path = make_manifest([line(i) for i in range(4)])
    path.write_bytes(path.read_bytes().replace(b"item 2", b"item \xff"))
    with pytest.raises(DistillError, match="line 3: expected UTF-8 text, got invalid start byte"):
        load("manifest", path=path)


def test_no_such_file(tmp_path: Path):
    with pytest.raises(DistillError, match=r"path: expected a manifest file, got .*No such file"):
        load("manifest", path=tmp_path / "none.jsonl")
    with pytest.raises(DistillError, match=r"path: expected a manifest file, got .*Is a directory"):
        load("manifest", path=tmp_path)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_file(tmp_path: Path, content: str):
    path = tmp_path / "items.jsonl"
    path.write_text(content)
    with pytest.raises(DistillError, match="expected one JSON object a line, got an empty file"):
        load("manifest", path=path)


def test_repeated_items_are_counted(make_manifest: Make, caplog: pytest.LogCaptureFixture):
    load("manifest", path=make_manifest([line(i) for i in range(4)]))
    assert not caplog.text
    captions = [line(0, text=f"caption {i}") for i in range(4)]
    load("manifest", path=make_manifest([*captions, captions[1], captions[1]]))
    assert "the same items stand there again, 2 in all, so that queries" in caplog.text


def test_no_item_with_a_label(make_manifest: Make):
    dataset = load("manifest", path=make_manifest([line(i, labels=[]) for i in range(4)]))
    assert {part: len(rows) for part, rows in dataset.splits.items()} == {
        "query": 0,
        "validation": 0,
        "train": 4,
        "database": 4,
    }
    assert dataset.labels.shape == (4, 0)
    assert dataset.protocol == (
        "items.jsonl, 4 items, all of which train; text as in the file, no labels."
    )
    with pytest.raises(DistillError, match="items: expected at least 2 to learn from, got 1; add"):
        load("manifest", path=make_manifest([line(0, labels=[])]))
    path = make_manifest([line(i, labels=[], split="train") for i in range(4)])
    with pytest.raises(DistillError, match="labels: expected at least one item with a label in"):
        load("manifest", path=path)


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_items(make_manifest: Make, n: int):
    with pytest.raises(DistillError, match=f"items: expected at least 3 .*, got {n}; add items"):
        load("manifest", path=make_manifest([line(i) for i in range(n)]))


def test_bad_images_are_refused_by_name(make_manifest: Make, tmp_path: Path):
    path = make_manifest([line(i) for i in range(6)])
    cut = tmp_path / "pictures" / "2.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    (tmp_path / "pictures" / "4.png").unlink()
    with pytest.raises(DistillError) as caught:
        load("manifest", path=path)
    said = str(caught.value)
    assert said.startswith(f"images: expected 6 complete images in {path}, got 2 that cannot be")
    assert "pictures/2.png (" in said
    assert "pictures/4.png (no such file or directory)" in said
    assert said.endswith("repair or remove them, or choose to skip bad images")
    assert "\n" not in said


def test_bad_images_are_skipped_with_a_warning(make_manifest: Make, tmp_path: Path, caplog):
    path = make_manifest([line(i) for i in range(6)])
    (tmp_path / "pictures" / "4.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        dataset = load("manifest", path=path, bad_images="skip")
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: skipped 1 of 6 images that cannot be read: pictures/4.png (an empty file)"
    ]
    assert len(dataset) == 5
    assert dataset.texts == tuple(f"item {i}" for i in (0, 1, 2, 3, 5))
    assert dataset.image_name(4) == "pictures/5.png"
    assert dataset.image(4).mode == "RGB"


def test_many_bad_images_are_counted(make_manifest: Make, tmp_path: Path):
    path = make_manifest([line(i) for i in range(15)])
    for i in range(13):
        (tmp_path / "pictures" / f"{i}.png").unlink()
    with pytest.raises(DistillError, match=r"pictures/9\.png \(no such .*\); and 3 more; repair"):
        load("manifest", path=path)


def test_no_readable_image_is_left(make_manifest: Make, tmp_path: Path):
    path = make_manifest([line(i) for i in range(3)])
    for i in range(3):
        (tmp_path / "pictures" / f"{i}.png").unlink()
    with pytest.raises(DistillError, match=r"items: expected at least one in .*, got none"):
        load("manifest", path=path, bad_images="skip")


def test_an_image_that_goes_away_later_is_named(make_manifest: Make, tmp_path: Path):
    dataset = load("manifest", path=make_manifest([line(i) for i in range(3)]))
    (tmp_path / "pictures" / "1.png").unlink()
    with pytest.raises(DistillError, match=r"pictures/1\.png: expected a readable image, got"):
        dataset.image(1)


_names = st.text(min_size=1).filter(lambda text: text.isprintable())


@given(
    st.lists(
        st.builds(
            Item,
            image=_names,
            text=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            labels=st.lists(_names, unique=True).map(tuple),
            split=st.sampled_from(WORDS),
            others=st.fixed_dictionaries(
                {},
                optional={
                    "sketch": st.builds(Given, st.just("image"), _names),
                    "3d-tags": st.builds(Given, st.just("text"), _names),
                },
            ),
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read_back(items: list[Item]):
    assert parse(dump(items), where="x") == items


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes):
    with contextlib.suppress(DistillError):
        assert parse(data, where="x")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_value_of_a_key_is_read_or_refused(value: object):
    for key in ("image", "text", "labels", "split"):
        data = json.dumps(line(1) | {key: value}).encode()
        with contextlib.suppress(DistillError):
            item = parse(data, where="x")[0]
            read = getattr(item, key)
            if key == "labels":
                value = tuple(dict.fromkeys(value))
            assert (read or None if key == "image" else read) == value
