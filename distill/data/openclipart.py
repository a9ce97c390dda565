"""Open Clip Art: drawings with a title, sometimes a description, and tags. Public domain.

The full set is a folder with `clipart.json` and the pictures it names, as
`python -m distill.data.debian_clipart` builds it; a part of it comes with the package.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.data.assemble import assemble, labelled, readable_rows
from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.embedded import load_embedded
from distill.data.images import FileImages
from distill.data.splits import SplitProtocol, describe
from distill.data.text import clean, is_unicode
from distill.types import DistillError

FULL = SplitProtocol(queries=400, validation=0.1)
LEAST_ITEMS = 20
"""A tag is a label of the full set when at least so many items carry it."""
DESCRIPTION_LENGTH = 80
_TEXT = f"text = title and first {DESCRIPTION_LENGTH} characters of the description"
_JUNK = re.compile(r"HASH\(0x\w+\)")  # what a Perl script once printed instead of a text
_CREDIT = re.compile(r"^clipart by [^-]+ - ", re.IGNORECASE)


@dataclass(frozen=True)
class Clipart:
    """One entry of `clipart.json`."""

    image: str
    title: str
    description: str
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """Title and start of the description, cleaned; the author's credit is no title."""
        title = _CREDIT.sub("", clean(_JUNK.sub("", self.title)))
        description = clean(_JUNK.sub("", self.description))[:DESCRIPTION_LENGTH].strip()
        if description.casefold() == title.casefold():
            description = ""
        return ". ".join(part for part in (title, description) if part)


def load(
    root: Path | None, *, text: Text, bad_images: BadImages, split_seed: int
) -> ImageTextDataset:
    """Read the embedded part, or with `root` the full set; `registry.load` has the settings.

    Raises:
        DistillError: `root` is not such a folder, or a picture in it cannot be read.
    """
    if root is None:
        fields = f"{_TEXT}, labels = tags"
        return load_embedded("openclipart", text=text, split_seed=split_seed, fields=fields)
    items = with_labels(read_clipart(root), LEAST_ITEMS)
    labelled(items, where=str(root))
    names = tuple(item.image for item in items)
    rows = readable_rows(FileImages(root, names), bad_images, where=str(root))
    items = [items[i] for i in rows]
    images = FileImages(root, tuple(item.image for item in items))
    protocol = SplitProtocol(FULL.queries, FULL.validation, split_seed)
    splits = protocol.draw(labelled(items, where=str(root)))
    sentence = (
        f"openclipart (full, {len(items)} items): {describe(splits)}, drawn with split seed "
        f"{split_seed}; {_TEXT}, labels = tags of at least {LEAST_ITEMS} items"
    )
    return assemble("openclipart-full", items, images, splits, text=text, protocol=sentence)


def read_clipart(root: Path) -> list[Clipart]:
    """Read `clipart.json` of a full set.

    Raises:
        DistillError: it is missing, or not as `debian_clipart` writes it.
    """
    path = root / "clipart.json"
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise DistillError(
            f"root: expected a folder with clipart.json, got {root} ({error.strerror}); "
            "build it with python -m distill.data.debian_clipart"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DistillError(f"{path}: expected JSON, got {error}; build the folder anew") from error
    if not isinstance(entries, list):
        raise DistillError(f"{path}: expected a list of items, got another value; build it anew")
    return [_clipart(entry, f"{path}, item {number}") for number, entry in enumerate(entries, 1)]


def with_labels(clipart: Sequence[Clipart], least: int) -> list[Item]:
    """Keep tags that at least `least` of the items carry, and items that then have a label."""
    count = Counter(tag for item in clipart for tag in item.tags)
    items = [
        Item(item.image, item.text, tuple(tag for tag in item.tags if count[tag] >= least))
        for item in clipart
    ]
    return [item for item in items if item.labels]


def _clipart(entry: Any, where: str) -> Clipart:
    try:
        image, title, description = (entry[key] for key in ("image", "title", "desc"))
        tags = tuple(dict.fromkeys(entry["tags"]))
    except (KeyError, TypeError) as error:
        raise DistillError(
            f"{where}: expected image, title, desc and a list of tags, got {entry!r:.80}; "
            "build the folder anew"
        ) from error
    values = (image, title, description, *tags)
    if not all(isinstance(value, str) and is_unicode(value) for value in values):
        raise DistillError(
            f"{where}: expected strings of Unicode text, got {entry!r:.80}; build the folder anew"
        )
    return Clipart(image, title, description, tags)
