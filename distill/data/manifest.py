"""A dataset as one JSON object a line: image, text, labels and, if the file has one, the split.

    {"image": "photos/7.jpg", "text": "two dogs on a beach", "labels": ["dog", "sea"]}

`image` is a path relative to the manifest, or absolute. `split`, on every line or on none, is one
of `splits.WORDS`. Other keys are ignored. Items without labels lie in the database only.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
from distill.data.splits import WORDS, SplitProtocol, describe, from_words
from distill.data.text import is_unicode
from distill.types import DistillError


def load(path: Path, *, text: Text, bad_images: BadImages, split_seed: int) -> ImageTextDataset:
    """Read a manifest; `registry.load` describes the settings.

    Raises:
        DistillError: the file, a line of it or a picture is not as it should be.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DistillError(
            f"path: expected a manifest file, got {path} ({error.strerror}); check the path"
        ) from error
    items = parse(data, where=str(path))
    labelled(items, where=str(path))
    images = FileImages(path.parent, tuple(item.image for item in items))
    rows = readable_rows(images, bad_images, where=str(path))
    items = [items[i] for i in rows]
    images = FileImages(path.parent, tuple(item.image for item in items))
    mask = labelled(items, where=str(path))
    protocol = SplitProtocol(seed=split_seed)
    if items[0].split is None:
        splits, origin = protocol.draw(mask), f"drawn with split seed {split_seed}"
    else:
        splits = from_words([str(item.split) for item in items], mask, protocol)
        origin = "given in the file"
        if not any(item.split == "validation" for item in items):
            origin += f", its validation items drawn with split seed {split_seed}"
    sentence = (
        f"{path.name}, {len(items)} items: {describe(splits)}, {origin}; "
        "text and labels as in the file"
    )
    return assemble(path.stem, items, images, splits, text=text, protocol=sentence)


def parse(data: bytes, *, where: str) -> list[Item]:
    """Check every line and return the items, at least one.

    Args:
        data: the file's bytes, UTF-8, with or without byte order mark.
        where: the file's name, for messages.

    Raises:
        DistillError: naming the line and what is wrong with it.
    """
    numbered = [
        (number, _item(line, f"{where}, line {number}"))
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
        if line.strip()
    ]
    if not numbered:
        raise DistillError(f"{where}: expected one JSON object a line, got an empty file")
    first = numbered[0][1]
    for number, item in numbered:
        if (item.split is None) != (first.split is None):
            raise DistillError(
                f'{where}, line {number}: expected "split" on every line or on none, got both '
                "kinds; add or remove it"
            )
    return [item for _, item in numbered]


def dump(items: Iterable[Item]) -> bytes:
    """Write items as `parse` reads them.

    >>> parse(dump([Item("a.png", "a dog", ("dog",), "train")]), where="x")[0].text
    'a dog'
    """
    lines = []
    for item in items:
        entry: dict[str, Any] = {"image": item.image, "text": item.text, "labels": item.labels}
        if item.split is not None:
            entry["split"] = item.split
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _item(line: bytes, where: str) -> Item:
    try:
        entry = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise DistillError(
            f"{where}: expected UTF-8 text, got {error.reason}; re-encode"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DistillError(f"{where}: expected one JSON object, got {error}; correct it") from error
    if not isinstance(entry, dict):
        raise DistillError(f"{where}: expected a JSON object, got {_kind(entry)}; put it in braces")
    missing = [key for key in ("image", "text", "labels") if key not in entry]
    if missing:
        keys = ", ".join(f'"{key}"' for key in missing)
        raise DistillError(f"{where}: expected the keys image, text, labels, got no {keys}; add it")
    image, text = _text(entry["image"], "image", where), _text(entry["text"], "text", where)
    if not image:
        raise DistillError(f'{where}, "image": expected a file name, got ""; name the picture')
    if "\0" in image:
        raise DistillError(
            f'{where}, "image": expected a file name, got one with U+0000; correct it'
        )
    labels = entry["labels"]
    if not isinstance(labels, list):
        raise DistillError(f'{where}, "labels": expected a list of strings, got {_kind(labels)}')
    names = tuple(dict.fromkeys(_text(label, "labels", where) for label in labels))
    if "" in names:
        raise DistillError(f'{where}, "labels": expected names, got ""; remove the empty one')
    split = entry.get("split")
    if split is not None and split not in WORDS:
        raise DistillError(
            f'{where}, "split": expected one of {", ".join(WORDS)}, got {json.dumps(split)}'
        )
    return Item(image, text, names, split)


def _text(value: object, key: str, where: str) -> str:
    if not isinstance(value, str):
        wanted = "a list of strings" if key == "labels" else "a string"
        raise DistillError(f'{where}, "{key}": expected {wanted}, got {_kind(value)}')
    if not is_unicode(value):
        raise DistillError(
            f'{where}, "{key}": expected Unicode text, got half a surrogate pair; correct it'
        )
    return value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
