import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill.data import load
from distill.types import DistillError

CATEGORIES = [
    {"id": 7, "name": "dog"},
    {"id": 3, "name": "traffic light"},
    {"id": 9, "name": "sea"},
]
IDS = {"train2017": [5, 2, 9, 4, 8, 11], "val2017": [1, 3, 7]}
WITHOUT = 4
Make = Callable[..., Path]


def content(part: str) -> dict[str, dict[str, Any]]:
    """Annotations of a part: id 2 has two captions, id 4 no category, id 9 no caption."""
    ids = IDS[part]
    boxes = [
        {"id": 10 * i, "image_id": i, "category_id": (7, 3)[i % 2], "segmentation": [[0.5] * 8]}
        for i in ids
        if i != WITHOUT
    ]
    boxes += [{"id": 1, "image_id": ids[0], "category_id": 3, "iscrowd": 1}] * 2
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 3} for i in ids]
    captions = [{"id": i, "image_id": i, "caption": f" A dog, {i}.\n"} for i in ids if i != 9]
    captions.append({"id": 99, "image_id": ids[1], "caption": "Another."})
    return {
        "instances": {
            "images": images,
            "annotations": boxes,
            "categories": [dict(c) for c in CATEGORIES],
        },
        "captions": {"images": images, "annotations": captions},
    }


@pytest.fixture
def make_coco(tmp_path: Path, picture) -> Make:
    """Write annotations, changed by a function, and pictures."""

    def make(change: Callable[[dict[str, Any]], object] = lambda _: None, *parts: str) -> Path:
        root = tmp_path / "coco"
        (root / "annotations").mkdir(parents=True)
        for part in parts or IDS:
            files = content(part)
            change(files)
            for kind, value in files.items():
                file = root / "annotations" / f"{kind}_{part}.json"
                file.write_text(json.dumps(value))
            (root / part).mkdir()
            for i in IDS[part]:
                (root / part / f"{i:012d}.jpg").write_bytes(picture(i, kind="JPEG"))
        return root

    return make


def test_pictures_of_all_parts(make_coco: Make, picture):
    dataset = load("coco", root=make_coco())
    rows = [f"train2017/{i:012d}.jpg" for i in (2, 5, 8, 9, 11)]
    rows += [f"val2017/{i:012d}.jpg" for i in (1, 3, 7)]
    assert [dataset.image_name(i) for i in range(len(dataset))] == rows
    assert dataset.image_bytes(0) == picture(2, kind="JPEG")
    assert dataset.texts == (
        *("A dog, 2.", "A dog, 5.", "A dog, 8.", "", "A dog, 11."),
        *("A dog, 1.", "A dog, 3.", "A dog, 7."),
    )
    assert dataset.label_names == ("dog", "traffic light")  # nothing is labelled "sea"
    expected = [[1, 0], [0, 1], [1, 0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]
    assert dataset.labels.tolist() == expected
    assert dataset.protocol == (
        "coco, 8 items (1 without a label left out): 1 queries against a database of 7, of which 6 "
        "train and 1 validate, drawn with split seed 0, 25.0 % of the texts contain one of their "
        "labels; text = first caption of train2017 and val2017, labels = categories."
    )


def test_one_part_is_enough(make_coco: Make):
    assert len(load("coco", root=make_coco(lambda _: None, "train2017"))) == 5


@pytest.mark.parametrize(("kind", "other"), [("captions", "instances"), ("instances", "captions")])
def test_half_a_part(make_coco: Make, kind: str, other: str):
    root = make_coco()
    (root / "annotations" / f"{kind}_val2017.json").unlink()
    message = rf"expected {kind}_val2017\.json beside {other}_val2017\.json in .*, got none; add "
    with pytest.raises(DistillError, match=message):
        load("coco", root=root)


def set_in(kind: str, table: str, **values: object) -> Callable[[dict[str, Any]], object]:
    """A change of the first entry of a table."""
    return lambda files: files[kind][table][0].update(values)


def test_a_published_split(make_coco: Make, small_protocol):
    root = make_coco()
    dataset = load("coco", root=root, protocol=small_protocol(8))
    assert dataset.splits["query"].tolist() == [0, 1, 2]
    with pytest.raises(DistillError, match="expected the 122,218 labelled pairs of MS-COCO for co"):
        load("coco", root=root, protocol="coco-mith")


def test_the_same_picture_twice(make_coco: Make):
    root = make_coco()
    for kind in ("instances", "captions"):
        text = (root / "annotations" / f"{kind}_val2017.json").read_text()
        (root / "annotations" / f"{kind}_val2014.json").write_text(text)
    with pytest.raises(DistillError, match="once, got id 1 in val2014 and val2017; leave one"):
        load("coco", root=root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f["instances"].pop("categories"),
            r'instances_train2017\.json: expected a list "categories", .*, got nothing; take',
        ),
        (
            lambda f: f["instances"]["images"][0].pop("file_name"),
            r'a string .* as "file_name" in entry 0 of "images", .*, got nothing; take',
        ),
        (
            lambda f: f["instances"].update(images=3),
            r'expected a list "images", .*, got another value',
        ),
        (
            lambda f: f["instances"]["annotations"][0].update(category_id=1),
            "annotations of its own categories, got one of id 1;",
        ),
        (
            lambda f: f["instances"]["annotations"][0].update(image_id=77),
            r"expected annotations of its own pictures, got one of id 77; take another file",
        ),
        (
            lambda f: f["captions"]["annotations"][0].update(caption=3),
            r'captions_train2017\.json: expected a string .* as "caption" in entry 0 .*, got 3;',
        ),
        (lambda f: f.update(captions=[]), r'expected a list "annotations", .*, got nothing'),
        (set_in("captions", "annotations", caption=None), '"caption" in entry 0 of .*got nothing'),
        (
            set_in("captions", "annotations", caption="\ud83d"),
            r'expected a string of Unicode text as "caption" in entry 0 .*, got "\\ud83d"; take',
        ),
        (set_in("instances", "categories", name=7), 'a string .* as "name" in entry 0 .*, got 7; '),
        (set_in("instances", "images", id="5"), 'a whole number as "id" in entry 0 .*, got "5"; '),
        (
            set_in("instances", "images", id=None),
            'a whole number as "id" in entry 0 .* got nothing',
        ),
        (set_in("instances", "images", id=55), "annotations of its own pictures, got one of id 5;"),
        (set_in("instances", "images", id=2), "each picture once, got id 2 again; take"),
        (
            lambda f: [entry.update(image_id=77) for entry in f["captions"]["annotations"]],
            r"expected captions of the pictures in instances_train2017\.json, got 1, none of them",
        ),
        (
            lambda f: f["captions"].update(annotations=[]),
            r"expected captions of the pictures in instances_train2017\.json, got 0, none of them",
        ),
        (
            lambda f: f["instances"].update(images=[], annotations=[]),
            "images: expected at least one picture in the annotations of .*, got none; take",
        ),
        (lambda f: f["instances"].update(annotations=[]), "at least one item with a label"),
    ],
)
def test_wrong_annotations(make_coco: Make, change, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load("coco", root=make_coco(change, "train2017"))
    assert "\n" not in str(caught.value)


def test_missing_files(make_coco: Make, tmp_path: Path):
    with pytest.raises(DistillError, match=r"root: expected annotations/captions_PART\.json and"):
        load("coco", root=tmp_path)
    root = make_coco()
    (root / "val2017" / f"{3:012d}.jpg").unlink()
    with pytest.raises(DistillError, match=r"expected 8 complete images .* 1 that cannot be read"):
        load("coco", root=root)
    (root / "annotations" / "instances_train2017.json").write_text("{")
    with pytest.raises(DistillError, match=r"instances_train2017\.json: expected JSON, as in MS-C"):
        load("coco", root=root)
