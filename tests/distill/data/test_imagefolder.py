import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data import load
from distill.data.imagefolder import text_of
from distill.types import DistillError

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("stem", "text"),
    [
        ("black_cat-012", "black cat"),
        ("Black Cat (3)", "Black Cat"),
        ("a__b--c", "a b c"),
        ("IMG_20240101_3", "IMG 20240101"),
        ("cat12", "cat"),
        ("2 dogs", "2 dogs"),
        ("0042", "0042"),
        ("_", ""),
    ],
)
def test_text_of_a_file_name(stem: str, text: str):
    assert text_of(stem) == text


def test_folders_are_labels_and_file_names_texts(make_folder: Make):
    root = make_folder(
        "cat/black_cat-1.png", "cat/deep/er/grey.JPG", "dog/a.webp", "dog/b.png", "wild cat/c.gif"
    )
    (root / "dog" / "notes.txt").write_text("no picture")
    (root / "dog" / ".hidden.png").write_bytes(b"")
    (root / ".cache").mkdir()
    (root / ".cache" / "thumb.png").write_bytes(b"")
    dataset = load("imagefolder", root=root)
    assert [dataset.image_name(i) for i in range(len(dataset))] == [
        "cat/black_cat-1.png",
        "cat/deep/er/grey.JPG",
        "dog/a.webp",
        "dog/b.png",
        "wild cat/c.gif",
    ]
    assert dataset.texts == ("black cat", "grey", "a", "b", "c")
    assert dataset.label_names == ("cat", "dog", "wild cat")
    assert dataset.labels.argmax(axis=1).tolist() == [0, 0, 1, 1, 2]
    assert dataset.labels.sum(axis=1).tolist() == [1] * 5
    assert dataset.name == "photos"
    assert dataset.protocol == (
        "folder photos, 5 items: 1 queries against a database of 4, of which 3 train and 1 "
        "validate, drawn with split seed 0, 20.0 % of the texts contain one of their labels; text "
        "= file names, labels = folder names."
    )


def test_the_text_is_never_the_folder_name(make_folder: Make):
    dataset = load("imagefolder", root=make_folder(*(f"flag/{i}.png" for i in range(4))))
    assert dataset.texts == ("0", "1", "2", "3")


def test_scrubbed(make_folder: Make):
    root = make_folder("cat/black_cat.png", "dog/dog on a cat.png", "dog/b.png")
    dataset = load("imagefolder", root=root, text="scrubbed")
    assert dataset.texts == ("black", "b", "on a cat")


def test_pictures_without_a_folder_have_no_label(make_folder: Make):
    root = make_folder("loose.png", "a/1.png", "a/2.png", "b/1.png")
    dataset = load("imagefolder", root=root)
    row = [dataset.image_name(i) for i in range(4)].index("loose.png")
    assert dataset.labels_of(row) == ()
    assert row in dataset.splits["database"]
    assert row not in dataset.splits["train"]


def test_a_linked_label_folder_is_read(make_folder: Make, tmp_path: Path, picture):
    root = make_folder("a/1.png", "a/2.png", "a/3.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").write_bytes(picture())
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "loop").symlink_to(root)
    assert load("imagefolder", root=root).label_names == ("a", "b")


def test_the_seed_matters(make_folder: Make):
    root = make_folder(*(f"{'ab'[i % 2]}/{i}.png" for i in range(30)))
    first, again, other = (load("imagefolder", root=root, split_seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_no_such_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(DistillError, match="root: expected a folder of label folders, got"):
            load("imagefolder", root=root)


def test_no_pictures(tmp_path: Path):
    with pytest.raises(DistillError, match=r"got none in .*; known extensions are \.avif \.bmp"):
        load("imagefolder", root=tmp_path)


def test_a_flat_folder_trains_without_labels(make_folder: Make):
    dataset = load("imagefolder", root=make_folder("1.png", "2.png", "3.png"))
    assert dataset.labels.shape == (3, 0)
    assert dataset.splits["train"].tolist() == dataset.splits["database"].tolist() == [0, 1, 2]
    assert len(dataset.splits["query"]) == len(dataset.splits["validation"]) == 0
    assert dataset.texts == ("1", "2", "3")
    assert dataset.protocol == (
        "folder photos, 3 items, all of which train; text = file names, no labels."
    )


def test_one_picture_is_not_enough_to_learn_from(make_folder: Make):
    with pytest.raises(DistillError, match="items: expected at least 2 to learn from, got"):
        load("imagefolder", root=make_folder("1.png"))


def write_csv(root: Path, content: str) -> Path:
    path = root.parent / "labels.csv"
    path.write_text(content, encoding="utf-8")
    return path


def test_labels_from_a_file(make_folder: Make):
    root = make_folder("x/1.png", "x/2.png", "3.png", "4.png", "5.png")
    path = write_csv(
        root, "\ufeffnote,image,label\n,x/1.png,cat|black dog\n-,3.png, cat \n,4.png,\n,x/2.png,a\n"
    )
    dataset = load("imagefolder", root=root, path=path)
    labels = {dataset.image_name(i): dataset.labels_of(i) for i in range(5)}
    assert labels == {
        "x/1.png": ("black dog", "cat"),
        "x/2.png": ("a",),
        "3.png": ("cat",),
        "4.png": (),
        "5.png": (),
    }
    assert dataset.protocol.endswith("text = file names, labels = those of labels.csv.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "",
            r"labels\.csv, line 1: expected the columns image and label, got no image and no label",
        ),
        ("image,class\na,b\n", r"line 1: expected the columns image and label, got no label; name"),
        ("image,label\nnone.png,a\n", r"line 2: expected the name of an image .*got 'none\.png'"),
        ("image,label\n1.png,a\n1.png,b\n", r"line 3: expected .*once, got that name twice"),
        ("image,label\n1.png\n", r"line 2: expected a label, or several as a\|b, got nothing"),
        ("image,label\n1.png,a|\n", r"line 2: expected a label, .* got 'a\|'; correct"),
        ("image,label\n1.png,\n", r"labels: expected at least one item with a label in .*csv"),
    ],
)
def test_wrong_lines_of_a_file(make_folder: Make, content: str, message: str):
    root = make_folder("1.png", "2.png", "3.png")
    with pytest.raises(DistillError, match=message) as caught:
        load("imagefolder", root=root, path=write_csv(root, content))
    assert "\n" not in str(caught.value)


def test_no_such_file_of_labels(make_folder: Make, tmp_path: Path):
    with pytest.raises(DistillError, match=r"path: expected a CSV .*none\.csv"):
        load("imagefolder", root=make_folder("1.png"), path=tmp_path / "none.csv")


def test_one_item_only(make_folder: Make):
    with pytest.raises(DistillError, match=r"items: expected at least 3 .*, got 1; add items"):
        load("imagefolder", root=make_folder("a/1.png"))


def test_bad_images(make_folder: Make, caplog):
    root = make_folder(*(f"a/{i}.png" for i in range(5)))
    cut = root / "a" / "3.png"
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(DistillError, match=r"expected 5 complete .* 1 that cannot .*: a/3\.png \("):
        load("imagefolder", root=root)
    with caplog.at_level(logging.WARNING):
        dataset = load("imagefolder", root=root, bad_images="skip")
    assert dataset.texts == ("0", "1", "2", "4")
    assert "skipped 1 of 5 images that cannot be read: a/3.png" in caplog.text


def test_names_that_are_not_utf8_are_refused(make_folder: Make):
    root = make_folder("cat/a.png", "dog/b.png")
    try:
        (root / "cat" / "a.png").rename(root / "cat" / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(DistillError, match=r"expected file names in UTF-8 in .* 'cat/caf.udce9"):
        load("imagefolder", root=root)
