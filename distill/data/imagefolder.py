"""A dataset as a folder of pictures: ROOT/LABEL/.../FILE is one item with that one label.

The text is the file's name without extension, its separators turned into blanks and the counter at
its end dropped ("black_cat-012.jpg" is "black cat"), never the name of the folder. Hidden files,
hidden folders and files without an image extension are passed over; pictures that lie directly in
ROOT have no label: they are unlabelled items, and never queries.

Labels may come from a CSV file in place of the folders, with the columns `image` (relative to ROOT)
and `label` (one, or several as `a|b`); pictures that it does not name have none. Where no picture
lies in a folder and there is no file, all train and are searched, and nothing can be evaluated.
"""

import csv
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

from distill.data.assemble import assemble, labelled, readable_rows
from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.images import FileImages
from distill.data.splits import SplitProtocol, describe, unlabelled
from distill.data.text import clean, is_unicode
from distill.types import DistillError

EXTENSIONS = frozenset(
    [
        ".avif",
        ".bmp",
        ".gif",
        ".jpeg",
        ".jpg",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    ]  # what photo folders hold
)


def load(
    root: Path,
    *,
    path: Path | None = None,
    text: Text,
    bad_images: BadImages,
    split_seed: int,
) -> ImageTextDataset:
    """Read a folder; `registry.load` describes the settings.

    Raises:
        DistillError: no such folder, no pictures in it, a picture that cannot be read, or a wrong
            line in the file of labels.
    """
    names = _checked_names(root)
    given = None if path is None else read_labels(path, names)
    rows = readable_rows(FileImages(root, tuple(names)), bad_images, where=str(root))
    items = [_item(names[i], given) for i in rows]
    name = root.resolve().name
    images = FileImages(root, tuple(item.image for item in items))
    if given is None and not any(item.labels for item in items):
        splits = unlabelled(len(items))
        sentence = f"folder {name}, {len(items)} items, all of which train; text = file names"
        return assemble(name, items, images, splits, text=text, protocol=f"{sentence}, no labels")
    splits = SplitProtocol(seed=split_seed).draw(labelled(items, where=str(path or root)))
    origin = "folder names" if path is None else f"those of {path.name}"
    sentence = (
        f"folder {name}, {len(items)} items: {describe(splits)}, drawn with split "
        f"seed {split_seed}; text = file names, labels = {origin}"
    )
    return assemble(name, items, images, splits, text=text, protocol=sentence)


def read_labels(path: Path, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Read a CSV file of labels.

    Args:
        path: the file, UTF-8, with the columns image and label.
        names: the pictures that there are.

    Returns:
        Picture -> its labels, for those that the file names.

    Raises:
        DistillError: naming the line and what is wrong with it.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(
            f"path: expected a CSV file of labels, got {path} ({error}); check the path"
        ) from error
    reader = csv.DictReader(io.StringIO(content, newline=""))
    missing = {"image", "label"} - set(reader.fieldnames or ())
    if missing:
        raise DistillError(
            f"{path}, line 1: expected the columns image and label, got no "
            f"{' and no '.join(sorted(missing))}; name them in the first line"
        )
    known, found = set(names), {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        image, label = row["image"] or "", row["label"]
        if image not in known or image in found:
            problem = "that name twice" if image in found else repr(image)
            raise DistillError(
                f"{where}: expected the name of an image in the folder, once, got {problem}; "
                "correct or remove it"
            )
        found[image] = _split_labels(label, where)
    return found


def _split_labels(cell: str | None, where: str) -> tuple[str, ...]:
    labels = tuple(dict.fromkeys(part.strip() for part in (cell or "").split("|")))
    if cell is None or ("" in labels and len(labels) > 1):
        got = "nothing" if cell is None else repr(cell)
        raise DistillError(
            f"{where}: expected a label, or several as a|b, got {got}; correct the line"
        )
    return labels if labels != ("",) else ()


def text_of(stem: str) -> str:
    """Turn a file's name without extension into words; a bare number stays as it is.

    >>> text_of("black_cat-012")
    'black cat'
    """
    spaced = clean(re.sub(r"[-_.+]+", " ", stem))
    return re.sub(r"[\s(\[]*\d+[)\]]*$", "", spaced) or spaced


def _checked_names(root: Path) -> list[str]:
    if not root.is_dir():
        raise DistillError(f"root: expected a folder of label folders, got {root}; check the path")
    names = _image_names(root)
    if not names:
        raise DistillError(
            f"root: expected image files in folders named by label, got none in {root}; "
            f"known extensions are {' '.join(sorted(EXTENSIONS))}"
        )
    if foreign := [name for name in names if not is_unicode(name)]:
        raise DistillError(
            f"root: expected file names in UTF-8 in {root}, got {foreign[0]!a}; rename it"
        )
    return names


def _image_names(root: Path) -> list[str]:
    names = []
    # Linked folders are label folders too; the links inside them are not followed: no loops.
    tops = [root, *(entry for entry in root.iterdir() if entry.is_dir())]
    for top in tops:
        for folder, inner, files in os.walk(top):
            inner[:] = [] if top is root else [name for name in inner if not name.startswith(".")]
            names += [
                Path(folder, file).relative_to(root).as_posix()
                for file in files
                if Path(file).suffix.lower() in EXTENSIONS and not file.startswith(".")
            ]
    return sorted(name for name in names if not name.startswith("."))


def _item(name: str, given: Mapping[str, tuple[str, ...]] | None) -> Item:
    path = Path(name)
    folder = path.parts[:1] if len(path.parts) > 1 else ()
    return Item(name, text_of(path.stem), folder if given is None else given.get(name, ()))
