from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from distill.data import load
from distill.types import DistillError

N = 12
TAGS = [f"{1000 + i} \t sky  dog{i}   " if i % 4 else f"{1000 + i}" for i in range(N)]
USUAL = [
    *("animal", "beach", "buildings", "clouds", "flowers", "grass", "lake"),
    *("mountain", "ocean", "person", "plants", "reflection", "road", "rocks"),
    *("sky", "snow", "sunset", "tree", "vehicle", "water", "window"),
]
MORE = {"book": range(2), "zebra": range(9)}
"""Concepts that are not among the 21 -> items that have them."""
LABELS: dict[str, list[int]] = {name: [k % N] for k, name in enumerate(USUAL)}
LABELS |= {"sky": list(range(1, N)), "water": [1, 2, 3], "animal": [], "window": []}
Make = Callable[..., Path]


@pytest.fixture
def make_published(tmp_path: Path, picture) -> Make:
    """Write the published files; a mapping from relative path to lines replaces some."""

    def make(lines: Mapping[str, list[str]] | None = None) -> Path:
        root = tmp_path / "nus"
        paths = [f"folder{i % 2}\\{i:04d}_{1000 + i}.jpg" for i in range(N)]
        files = {"ImageList/Imagelist.txt": paths, "NUS_WID_Tags/All_Tags.txt": TAGS}
        for name, rows in (LABELS | MORE).items():
            column = [f"{int(i in rows)}" for i in range(N)]
            files[f"Groundtruth/AllLabels/Labels_{name}.txt"] = column
        for name, content in (files | dict(lines or {})).items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(content) + "\n")
        for i, path in enumerate(paths):
            file = root / "Flickr" / path.replace("\\", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture(i, kind="JPEG"))
        return root

    return make


def without_first(root: Path) -> None:
    """Take every label from item 0."""
    for file in (root / "Groundtruth/AllLabels").glob("*.txt"):
        file.write_text("0\n" + file.read_text()[2:])


def test_the_21_usual_concepts(make_published: Make, picture):
    root = make_published()
    without_first(root)
    dataset = load("nuswide", root=root)
    assert len(dataset) == N - 1
    assert dataset.image_name(0) == "folder1/0001_1001.jpg"
    assert dataset.image_bytes(3) == picture(4, kind="JPEG")
    assert dataset.texts == tuple(f"sky dog{i}" if i % 4 else "" for i in range(1, N))
    found = {
        name: [row + 1 for row in range(N - 1) if name in dataset.labels_of(row)] for name in USUAL
    }
    assert found == {name: [i for i in LABELS[name] if i] for name in USUAL}
    assert not {"book", "zebra"} & set(dataset.label_names)
    assert dataset.protocol == (
        "nuswide, 11 items (1 without a label left out): 1 queries against a database of 10, of "
        "which 9 train and 1 validate, drawn with split seed 0, 81.8 % of the texts contain one of "
        "their labels; text = tags, some of them empty, labels = the 21 usual concepts."
    )


def test_the_most_frequent_concepts(make_published: Make):
    root = make_published()
    dataset = load("nuswide", root=root, classes=3)
    assert dataset.label_names == ("sky", "water", "zebra")
    assert "labels = the 3 most frequent of 23 concepts" in dataset.protocol
    # "book" has two items and all the others one: the name decides among those.
    assert load("nuswide", root=root, classes=5).label_names == (
        *("beach", "book", "sky", "water", "zebra"),
    )
    for wrong in (0, 24):
        with pytest.raises(DistillError, match=rf"classes: expected 1\.\.23, .*, got {wrong}; ch"):
            load("nuswide", root=root, classes=wrong)


def test_a_published_split(make_published: Make, small_protocol):
    root = make_published()
    dataset = load("nuswide", root=root, protocol=small_protocol(N))
    assert dataset.splits["query"].tolist() == [0, 1, 2]
    with pytest.raises(DistillError, match="expected the 195,834 labelled pairs of NUS-WIDE-21"):
        load("nuswide", root=root, protocol="nuswide21-dchmt")


SKY = "Groundtruth/AllLabels/Labels_sky.txt"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({SKY: ["0", "2"]}, r"Labels_sky\.txt, line 2: expected 0 or 1, got '2'; correct it"),
        ({SKY: ["1"] * 13}, r"Labels_sky\.txt: expected 12 rows, as in Labels_animal\.txt, got 13"),
        ({"ImageList/Imagelist.txt": ["a"]}, r"All_Tags\.txt: expected 1 rows, as in Imagelist"),
        ({"NUS_WID_Tags/All_Tags.txt": TAGS[1:]}, r"All_Tags\.txt: expected 12 rows, .* got 11"),
    ],
)
def test_wrong_files_are_named(make_published: Make, lines: dict, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load("nuswide", root=make_published(lines))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ImageList/Imagelist.txt", "NUS_WID_Tags/All_Tags.txt", SKY])
def test_a_missing_file_is_named(make_published: Make, name: str):
    root = make_published()
    (root / name).unlink()
    with pytest.raises(DistillError, match=rf"{name}: expected .*, got no such file"):
        load("nuswide", root=root)


def test_a_missing_picture(make_published: Make):
    root = make_published()
    (root / "Flickr/folder1/0003_1003.jpg").unlink()
    with pytest.raises(DistillError, match=r"expected 12 complete images .*folder1/0003_1003"):
        load("nuswide", root=root)
    assert len(load("nuswide", root=root, bad_images="skip")) == N - 1


@pytest.fixture
def make_lists(tmp_path: Path, picture) -> Make:
    """Write the three lists of MITH."""

    def make(**lists: list[str]) -> Path:
        root = tmp_path / "lists"
        root.mkdir()
        given = {
            "imgs": [f"{i}.png" for i in range(6)],
            "tags": ["a,b", "", " two words , c", "d", "e", "f,"],
            "labels": ["1 0", "0,1", "1, 1", "0 0", "1 0", "0 1"],
        } | lists
        for name, lines in given.items():
            (root / f"all_{name}.txt").write_text("\n".join(lines) + "\n")
        for i in range(6):
            (root / f"{i}.png").write_bytes(picture(i))
        return root

    return make


def test_lists(make_lists: Make):
    root = make_lists()
    dataset = load("nuswide", root=root)
    assert [dataset.image_name(i) for i in range(5)] == [f"{i}.png" for i in (0, 1, 2, 4, 5)]
    assert dataset.texts == ("a b", "", "two words c", "e", "f")
    assert dataset.label_names == ("label 0", "label 1")
    assert dataset.labels.tolist() == [[1, 0], [0, 1], [1, 1], [1, 0], [0, 1]]
    assert "labels = the 2 columns of all_labels.txt" in dataset.protocol
    (root / "classes.txt").write_text("sea\nsky\n")
    assert load("nuswide", root=root).label_names == ("sea", "sky")
    with pytest.raises(DistillError, match=r"classes: expected none for the lists of .*, got 1"):
        load("nuswide", root=root, classes=1)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"tags": ["a"]}, r"all_tags\.txt: expected 6 rows, as in all_imgs\.txt, got 1; take"),
        (
            {"labels": ["1 0"] * 5 + ["1"]},
            r"all_labels\.txt, line 6: expected 2 labels 0 or 1, .*, got 1",
        ),
        ({"labels": ["1 x"] * 6}, r"line 1: expected 2 labels 0 or 1, .*, got 'x'; correct it"),
        ({"labels": ["1 2"] * 6}, r"line 1: expected 2 labels 0 or 1, .*, got '2'; correct it"),
    ],
)
def test_wrong_lists_are_named(make_lists: Make, lists: dict, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load("nuswide", root=make_lists(**lists))
    assert "\n" not in str(caught.value)


def test_lists_with_backslashes_and_blank_lines_at_the_end(make_lists: Make):
    names = [f"..\\lists\\{i}.png" for i in range(6)]
    root = make_lists(
        imgs=[*names, ""],
        tags=["a", "b", "c", "d", "e", "", "", ""],
        labels=["1 0", "0 1", "1 1", "1 0", "1 0", "0 1", " "],
    )
    dataset = load("nuswide", root=root)
    assert dataset.texts == ("a", "b", "c", "d", "e", "")
    assert dataset.image_name(5) == "../lists/5.png"


def test_blank_lines_at_the_end_of_published_files(make_published: Make):
    root = make_published()
    expected = load("nuswide", root=root).fingerprint
    for name in ("ImageList/Imagelist.txt", "NUS_WID_Tags/All_Tags.txt", SKY):
        with (root / name).open("a") as file:
            file.write("\n\n")
    assert load("nuswide", root=root).fingerprint == expected
