import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data import load
from distill.types import DistillError

Make = Callable[..., Path]
DATABASE = [f"img/{i}.png {i % 2} {1 - i % 2} {int(i == 3)}" for i in range(8)]
TEST = ["img/20.png 1 0 0", "img/21.png 0 1 1"]
VALIDATION = ["img/30.png 1 1 0"]


@pytest.fixture
def make_lists(tmp_path: Path, picture) -> Make:
    """Write lists, and every picture they name."""

    def make(**lists: list[str]) -> Path:
        root = tmp_path / "coco"
        (root / "img").mkdir(parents=True)
        given = {"database": DATABASE, "train": DATABASE[::-2], "test": TEST} | lists
        for name, lines in given.items():
            (root / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            for number, line in enumerate(lines):
                file = root / (line.split() or ["-"])[0]
                if file.suffix == ".png":
                    file.write_bytes(picture(number))
        return root

    return make


def names(dataset, part: str) -> list[str]:
    return [dataset.image_name(i) for i in dataset.splits[part]]


def test_the_lists_are_the_split(make_lists: Make) -> None:
    dataset = load("listfile", root=make_lists(validation=VALIDATION))
    assert len(dataset) == 11
    assert names(dataset, "database") == [f"img/{i}.png" for i in range(8)]
    assert names(dataset, "train") == ["img/7.png", "img/5.png", "img/3.png", "img/1.png"]
    assert names(dataset, "query") == ["img/20.png", "img/21.png"]
    assert names(dataset, "validation") == ["img/30.png"]
    assert dataset.label_names == ("label 0", "label 1", "label 2")
    assert dataset.labels[3].tolist() == [1, 0, 1]
    assert dataset.labels_of(dataset.splits["query"][1]) == ("label 1", "label 2")
    assert set(dataset.texts) == {""}
    assert dataset.protocol == (
        "lists in coco, 11 items: 2 queries against a database of 8, 4 train, 1 validate (given); "
        "no texts, labels = the 3 columns."
    )


def test_without_a_list_validation_items_come_from_train(make_lists: Make) -> None:
    root = make_lists(train=[f"{line}" for line in DATABASE])
    dataset, again, other = (load("listfile", root=root, split_seed=s) for s in (0, 0, 2))
    (held,) = names(dataset, "validation")
    assert held not in names(dataset, "query")
    assert sorted([held, *names(dataset, "train")]) == [f"img/{i}.png" for i in range(8)]
    assert "drawn from train.txt, not from test.txt, with seed 0" in dataset.protocol
    assert dataset.fingerprint == again.fingerprint != other.fingerprint


def test_training_images_need_not_be_in_the_database(make_lists: Make) -> None:
    dataset = load("listfile", root=make_lists(train=["img/9.png 1 0 0", *DATABASE[:2]]))
    assert len(dataset) == 11
    assert "img/9.png" not in names(dataset, "database")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"test": ["a.png 0 1 0", "b.png 0 2 0"]}, r"test\.txt, line 2: .*or 1, got '2'; correct"),
        ({"test": ["my cat.png 0 1 0"]}, r"test\.txt, line 1: .*without blanks .*got 'cat\.png'"),
        (
            {"train": ["a.png 0 1"]},
            r"train\.txt, line 1: expected 3 labels, as in .*got 2; correct",
        ),
        ({"database": ["a.png"]}, r"database\.txt, line 1: expected at least one label, got 0"),
        ({"test": [TEST[0], "", TEST[0]]}, r"test\.txt, line 3: .*once, got img/20\.png again"),
        ({"test": [DATABASE[4]]}, r"test\.txt, line 1: .*no other list.* database\.txt has"),
        (
            {"train": ["img/0.png 1 1 1"]},
            r"train\.txt, line 1: .*labels that img/0\.png has in dat",
        ),
        ({"train": [DATABASE[0]]}, "expected at least 2 to be left in .* for train"),
        ({"test": []}, "expected at least 1 to be left in .* for query"),
        ({"validation": []}, "expected at least 1 to be left in .* for validation"),
    ],
)
def test_bad_lines_are_named(make_lists: Make, lists: dict, message: str) -> None:
    with pytest.raises(DistillError, match=message) as caught:
        load("listfile", root=make_lists(**lists))
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_named(make_lists: Make, tmp_path: Path) -> None:
    root = make_lists()
    (root / "database.txt").unlink()
    with pytest.raises(
        DistillError, match=r"root: expected the list database\.txt in .*needed are"
    ):
        load("listfile", root=root)
    with pytest.raises(DistillError, match=r"root: expected the list database\.txt in"):
        load("listfile", root=tmp_path / "none")
    (root / "database.txt").write_bytes(b"caf\xe9.png 1 0 0\n")
    with pytest.raises(DistillError, match="invalid continuation byte"):
        load("listfile", root=root)


def test_bad_images(make_lists: Make, caplog) -> None:
    root = make_lists()
    (root / "img" / "2.png").unlink()
    with pytest.raises(DistillError, match=r"expected 10 complete images .* 1 that .*img/2\.png"):
        load("listfile", root=root)
    with caplog.at_level(logging.WARNING):
        dataset = load("listfile", root=root, bad_images="skip")
    assert names(dataset, "database") == [f"img/{i}.png" for i in range(8) if i != 2]
    assert names(dataset, "query") == ["img/20.png", "img/21.png"]
    assert "skipped 1 of 10 images" in caplog.text
