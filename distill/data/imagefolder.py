"""A dataset as a folder of folders: ROOT/LABEL/.../FILE is one item with that one label.

The text is the file's name without extension, its separators turned into blanks and the counter at
its end dropped ("black_cat-012.jpg" is "black cat"), never the name of the folder. Hidden files,
hidden folders and files without an image extension are passed over; pictures that lie directly in
ROOT have no label and are only ever searched.
"""

import os
import re
from pathlib import Path

from distill.data.base import (
    BadImages,
    ImageTextDataset,
    Item,
    Text,
    assemble,
    labelled,
    readable_rows,
)
from distill.data.images import FileImages
from distill.data.splits import SplitProtocol, describe
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


def load(root: Path, *, text: Text, bad_images: BadImages, split_seed: int) -> ImageTextDataset:
    """Read a folder; `registry.load` describes the settings.

    Raises:
        DistillError: no such folder, no pictures in it, or a picture that cannot be read.
    """
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
    rows = readable_rows(FileImages(root, tuple(names)), bad_images, where=str(root))
    items = [_item(names[i]) for i in rows]
    protocol = SplitProtocol(seed=split_seed)
    splits = protocol.draw(labelled(items, where=str(root)))
    sentence = (
        f"folder {root.resolve().name}, {len(items)} items: {describe(splits)}, drawn with split "
        f"seed {split_seed}; text = file names, labels = folder names"
    )
    images = FileImages(root, tuple(item.image for item in items))
    return assemble(root.resolve().name, items, images, splits, text=text, protocol=sentence)


def text_of(stem: str) -> str:
    """Turn a file's name without extension into words; a bare number stays as it is.

    >>> text_of("black_cat-012")
    'black cat'
    """
    spaced = clean(re.sub(r"[-_.+]+", " ", stem))
    return re.sub(r"[\s(\[]*\d+[)\]]*$", "", spaced) or spaced


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


def _item(name: str) -> Item:
    path = Path(name)
    return Item(name, text_of(path.stem), path.parts[:1] if len(path.parts) > 1 else ())
