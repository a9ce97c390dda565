"""Datasets as lists of files: the format of the deep hashing literature (COCO, ImageNet, NUS-WIDE).

One line an image, `path l1 ... lm`, where each l is 0 or 1; a path has no blanks and is relative to
the folder of the lists, or absolute. The lists are `train.txt`, `database.txt`, `test.txt` and, if
there is one, `validation.txt`. Training and validation images usually are in the database too;
test images are in no other list.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from distill.data.assemble import assemble, readable_rows
from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.images import FileImages
from distill.data.splits import SplitProtocol, Splits, learners
from distill.types import DistillError

FILES = {
    "database": "database.txt",
    "train": "train.txt",
    "validation": "validation.txt",
    "query": "test.txt",
}
"""Part of the split -> its list, in the order of the rows."""

Lists = dict[str, dict[str, tuple[int, ...]]]
"""Part -> path -> numbers of its labels."""


def load(root: Path, *, text: Text, bad_images: BadImages, split_seed: int) -> ImageTextDataset:
    """Read the lists of a folder; `registry.load` describes the settings.

    Raises:
        DistillError: a list, a line of one or a picture is not as it should be.
    """
    lists, width = read_lists(root)
    labels = {path: found for part in lists.values() for path, found in part.items()}
    paths = tuple(labels)
    rows = readable_rows(FileImages(root, paths), bad_images, where=str(root))
    row_of = {paths[i]: row for row, i in enumerate(rows)}
    splits = {
        part: np.array([row_of[path] for path in lists.get(part, ()) if path in row_of], np.int64)
        for part in FILES
    }
    origin = "given"
    if "validation" not in lists:
        splits |= _hold_out(splits["train"], split_seed)
        origin = f"drawn from {FILES['train']}, not from {FILES['query']}, with seed {split_seed}"
    _check_parts(splits, root)
    digits = len(str(width - 1))
    items = [
        Item(path, "", tuple(f"label {number:0{digits}d}" for number in labels[path]))
        for path in row_of
    ]
    name = root.resolve().name
    sizes = {part: f"{len(rows):,}" for part, rows in splits.items()}
    sentence = (
        f"lists in {name}, {len(items):,} items: {sizes['query']} queries against a database of "
        f"{sizes['database']}, {learners(splits, digits=',')}, {sizes['validation']} validate "
        f"({origin}); "
        f"no texts, labels = the {width} columns"
    )
    images = FileImages(root, tuple(row_of))
    return assemble(name, items, images, splits, text=text, protocol=sentence)


def read_lists(root: Path) -> tuple[Lists, int]:
    """Read and check the lists of a folder.

    Returns:
        The lists that there are, and the number of label columns.

    Raises:
        DistillError: naming the file and the line.
    """
    lists: Lists = {}
    width: int | None = None
    for part, name in FILES.items():
        file = root / name
        if part == "validation" and not file.exists():
            continue
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.reason
            raise DistillError(
                f"root: expected the list {name} in {root}, got {reason}; "
                f"needed are {', '.join(FILES[p] for p in FILES if p != 'validation')}"
            ) from error
        found: dict[str, tuple[int, ...]] = {}
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{file}, line {number}"
                path, labels, width = _parse(line, width, where)
                _check_place(path, labels, part, {**lists, part: found}, where)
                found[path] = labels
        lists[part] = found
    return lists, width or 0


def _parse(line: str, width: int | None, where: str) -> tuple[str, tuple[int, ...], int]:
    path, *columns = line.split()
    wrong = next((column for column in columns if column not in ("0", "1")), None)
    if wrong is not None:
        raise DistillError(
            f"{where}: expected a path without blanks and labels 0 or 1, got {wrong[:40]!r}; "
            "correct it"
        )
    if not columns or len(columns) != (width or len(columns)):
        wanted = f"{width} labels, as in the lines before" if width else "at least one label"
        raise DistillError(f"{where}: expected {wanted}, got {len(columns)}; correct it")
    return path, tuple(k for k, column in enumerate(columns) if column == "1"), len(columns)


def _check_place(
    path: str,
    labels: tuple[int, ...],
    part: str,
    lists: Mapping[str, Mapping[str, tuple[int, ...]]],
    where: str,
) -> None:
    if path in lists[part]:
        raise DistillError(f"{where}: expected each image once, got {path} again; remove it")
    other = next((p for p in lists if path in lists[p]), None)
    if other is None:
        return
    if part == "query":
        raise DistillError(
            f"{where}: expected test images to be in no other list, got {path}, which "
            f"{FILES[other]} has; remove it from one"
        )
    if lists[other][path] != labels:
        raise DistillError(
            f"{where}: expected the labels that {path} has in {FILES[other]}, got others; "
            "correct one"
        )


def _hold_out(train: np.ndarray, seed: int) -> Splits:
    if len(train) < 2:
        return {}
    rest, validation = SplitProtocol(seed=seed).hold_out(train)
    return {"train": train[np.isin(train, rest)], "validation": np.sort(validation)}


def _check_parts(splits: Splits, root: Path) -> None:
    for part, least in (("database", 1), ("train", 2), ("query", 1), ("validation", 1)):
        if len(splits[part]) < least:
            name = "train.txt, to hold some out" if part == "validation" else FILES[part]
            raise DistillError(
                f"items: expected at least {least} to be left in {root} for {part} ({name}), got "
                f"{len(splits[part])}; add lines"
            )
