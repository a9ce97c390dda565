r"""NUS-WIDE, in its published files or in the three lists of MITH.

Published, a line an item, of all 269,648 items in the same order:

    ImageList/Imagelist.txt                      path of the picture in Flickr/, as in actor\1.jpg
    NUS_WID_Tags/All_Tags.txt                    number of the picture, then its tags
    Groundtruth/AllLabels/Labels_CONCEPT.txt     0 or 1, a file for each of the 81 concepts

Labels are the 21 concepts of the hashing literature, or the most frequent ones, counted over all
items and equal counts by name. MITH's lists, in their own number of labels:

    all_imgs.txt      path of the picture, relative to the folder or absolute
    all_tags.txt      its tags, between commas
    all_labels.txt    its labels, each 0 or 1, between blanks or commas
    classes.txt       a name of a label a line, where there is one; without it labels have numbers

The text is the tags with blanks between them; it may be empty, where other code puts a stand-in. A
backslash in a path is a slash; blank lines at the end of a file, beyond the items, do not count.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.data.arrays import (
    check_counts,
    class_names,
    read_lines,
    without_blank_end,
)
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.data.images import FileImages
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import SplitRule
from distill.types import DistillError

CONCEPTS = (
    "animal",
    "beach",
    "buildings",
    "clouds",
    "flowers",
    "grass",
    "lake",
    "mountain",
    "ocean",
    "person",
    "plants",
    "reflection",
    "road",
    "rocks",
    "sky",
    "snow",
    "sunset",
    "tree",
    "vehicle",
    "water",
    "window",
)
"""The concepts of NUS-WIDE-21."""
_IMAGES, _TAGS = Path("ImageList/Imagelist.txt"), Path("NUS_WID_Tags/All_Tags.txt")
_LABELS = Path("Groundtruth/AllLabels")
_LISTS = ("all_imgs.txt", "all_tags.txt", "all_labels.txt")


def load(
    root: Path,
    *,
    text: Text,
    bad_images: BadImages,
    split: SplitRule,
    classes: int | None = None,
) -> ImageTextDataset:
    """Read a folder; `registry.load` describes the settings.

    Args:
        root: the folder.
        classes: so many of the most frequent concepts are labels; None: `CONCEPTS`.
        text: see `assemble.assemble`.
        bad_images: see `assemble.readable_rows`.
        split: divides the items.

    Raises:
        DistillError: a file or a picture is not as it should be.
    """
    if (root / _LISTS[0]).is_file():
        if classes is not None:
            raise DistillError(
                f"classes: expected none for the lists of {root}, whose labels are given, got "
                f"{classes}; leave it out"
            )
        pairs = _read_lists(root)
        fields = f"the {pairs.labels.shape[1]} columns of all_labels.txt"
    else:
        pairs, fields = _read_published(root, classes)
    return dataset_of(
        "nuswide",
        pairs,
        where=str(root),
        fields=f"text = tags, some of them empty, labels = {fields}",
        split=split,
        text=text,
        bad_images=bad_images,
    )


def _read_published(root: Path, classes: int | None) -> tuple[Pairs, str]:
    paths = _paths(root / _IMAGES)
    tagged = without_blank_end(read_lines(root / _TAGS, "tags, a line an item"))
    tags = [line.split()[1:] for line in tagged]
    if classes is None:
        names, fields = CONCEPTS, f"the {len(CONCEPTS)} usual concepts"
        columns = [_column(root, name) for name in names]
        check_counts({f"Labels_{n}.txt": len(c) for n, c in zip(names, columns, strict=True)})
        labels = np.stack(columns, axis=1)
    else:
        names, labels, n_concepts = _most_frequent(root, classes)
        fields = f"the {classes} most frequent of {n_concepts} concepts"
    counts = {_IMAGES.name: len(paths), _TAGS.name: len(tags), "Labels_*.txt": len(labels)}
    check_counts(counts)
    images = FileImages(root / "Flickr", tuple(paths))
    return Pairs(images, labels, names, [" ".join(words) for words in tags]), fields


def _most_frequent(root: Path, classes: int) -> tuple[tuple[str, ...], NDArray[np.bool_], int]:
    """Names and columns of the most frequent concepts, and how many concepts there are."""
    concepts = sorted(
        file.stem.removeprefix("Labels_") for file in (root / _LABELS).glob("Labels_*.txt")
    )
    if not 1 <= classes <= len(concepts):
        raise DistillError(
            f"classes: expected 1..{len(concepts)}, the concepts in {root / _LABELS}, got "
            f"{classes}; choose a number between"
        )
    columns = {name: _column(root, name) for name in concepts}
    check_counts({f"Labels_{name}.txt": len(column) for name, column in columns.items()})
    by_count = sorted(concepts, key=lambda name: (-int(columns[name].sum()), name))
    names = tuple(sorted(by_count[:classes]))
    return names, np.stack([columns[name] for name in names], axis=1), len(concepts)


def _column(root: Path, concept: str) -> NDArray[np.bool_]:
    file = root / _LABELS / f"Labels_{concept}.txt"
    entries = [line.strip() for line in without_blank_end(read_lines(file, "0 or 1 a line"))]
    wrong = next((i for i, entry in enumerate(entries) if entry not in ("0", "1")), None)
    if wrong is not None:
        raise DistillError(
            f"{file}, line {wrong + 1}: expected 0 or 1, got {entries[wrong][:40]!r}; correct it"
        )
    return np.array([entry == "1" for entry in entries], bool)


def _paths(file: Path) -> list[str]:
    lines = without_blank_end(read_lines(file, "a path a line"))
    return [line.strip().replace("\\", "/") for line in lines]


def _read_lists(root: Path) -> Pairs:
    paths = _paths(root / _LISTS[0])
    tags = without_blank_end(read_lines(root / _LISTS[1], "tags, a line an item"), len(paths))
    lines = without_blank_end(read_lines(root / _LISTS[2], "labels, a line an item"))
    check_counts({_LISTS[0]: len(paths), _LISTS[1]: len(tags), _LISTS[2]: len(lines)})
    labels = _rows(root / _LISTS[2], lines)
    texts = [" ".join(" ".join(line.split(",")).split()) for line in tags]
    names = class_names(root / "classes.txt", labels.shape[1])
    return Pairs(FileImages(root, tuple(paths)), labels, names, texts)


def _rows(file: Path, lines: Sequence[str]) -> NDArray[np.bool_]:
    """Labels of all lines, equally many in each."""
    rows = [line.replace(",", " ").split() for line in lines]
    width = max(1, len(rows[0])) if rows else 1
    for number, row in enumerate(rows, 1):
        wrong = next((entry for entry in row if entry not in ("0", "1")), None)
        if wrong is not None or len(row) != width:
            got = f"{len(row)}" if wrong is None else f"{wrong[:40]!r}"
            raise DistillError(
                f"{file}, line {number}: expected {width} labels 0 or 1, as many as in line 1, got "
                f"{got}; correct it"
            )
    return np.array([[entry == "1" for entry in row] for row in rows], bool).reshape(-1, width)
