"""MS-COCO as published: pictures with captions and categories.

    annotations/captions_PART.json, annotations/instances_PART.json    for each PART
    PART/FILE                                                          its pictures

PART is train2014 and val2014, or train2017 and val2017: whatever parts are there, each with both
files. Items are the pictures with at least one category, part by part in order of their ids; the
text is the first caption, labels are categories. Other code numbers the items in its own way: a
protocol draws queries of its own from this order, with the sizes of that code.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.arrays import not_there
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.data.images import FileImages
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import SplitRule
from distill.data.text import is_unicode
from distill.types import DistillError

_TABLES = {"images", "annotations", "categories"}
_KINDS = {int: "a whole number", str: "a string of Unicode text"}
_USED = _TABLES | {"id", "image_id", "category_id", "file_name", "name", "caption"}


def load(root: Path, *, text: Text, bad_images: BadImages, split: SplitRule) -> ImageTextDataset:
    """Read a folder; `registry.load` describes the settings.

    Raises:
        DistillError: a file or a picture is not as it should be.
    """
    folder = root / "annotations"
    parts = _parts(folder)
    files: list[str] = []
    texts: list[str] = []
    found: list[set[str]] = []
    seen: dict[int, str] = {}
    for part in parts:
        images, categories = _instances(folder / f"instances_{part}.json")
        captions = _captions(folder / f"captions_{part}.json", images)
        for number, file in sorted(images.items()):
            if seen.setdefault(number, part) != part:
                raise DistillError(
                    f"annotations: expected each picture once, got id {number} in {seen[number]} "
                    f"and {part}; leave one release there"
                )
            files.append(f"{part}/{file}")
            texts.append(captions.get(number, ""))
            found.append(categories.get(number, set()))
    if not files:
        raise DistillError(
            f"images: expected at least one picture in the annotations of {root}, got none; take "
            "the published files"
        )
    names = tuple(sorted(set().union(*found)))
    images_there = FileImages(root, tuple(files))
    return dataset_of(
        "coco",
        Pairs(images_there, _matrix(found, names), names, texts),
        where=str(root),
        fields=f"text = first caption of {' and '.join(parts)}, labels = categories",
        split=split,
        text=text,
        bad_images=bad_images,
    )


def _parts(folder: Path) -> list[str]:
    there = {
        kind: {file.stem.removeprefix(f"{kind}_") for file in folder.glob(f"{kind}_*.json")}
        for kind in ("captions", "instances")
    }
    parts = sorted(there["captions"] & there["instances"])
    if not parts:
        raise DistillError(
            "root: expected annotations/captions_PART.json and annotations/instances_PART.json of "
            f"at least one PART, as train2017, got none in {folder.parent}; unpack MS-COCO's "
            "annotations there"
        )
    for kind, other in (("captions", "instances"), ("instances", "captions")):
        if alone := there[kind] - there[other]:
            part = min(alone)
            raise DistillError(
                f"annotations: expected {other}_{part}.json beside {kind}_{part}.json in {folder}, "
                "got none; add the one or remove the other"
            )
    return parts


def _instances(file: Path) -> tuple[dict[int, str], dict[int, set[str]]]:
    """File of each picture, and the categories of those that have some."""
    content = _read(file)
    images: dict[int, str] = {}
    for number, name in _rows(file, content, "images", id=int, file_name=str):
        if number in images:
            raise DistillError(
                f"{file}: expected each picture once, got id {number} again; take the published "
                "file"
            )
        images[number] = name
    names = dict(_rows(file, content, "categories", id=int, name=str))
    found: dict[int, set[str]] = {}
    for number, category in _rows(file, content, "annotations", image_id=int, category_id=int):
        if category not in names or number not in images:
            what, got = ("pictures", number) if category in names else ("categories", category)
            raise DistillError(
                f"{file}: expected annotations of its own {what}, got one of id {got}; take "
                "another file"
            )
        found.setdefault(number, set()).add(names[category])
    return images, found


def _captions(file: Path, images: dict[int, str]) -> dict[int, str]:
    """First caption of each picture that has some."""
    captions: dict[int, str] = {}
    for number, caption in _rows(file, _read(file), "annotations", image_id=int, caption=str):
        captions.setdefault(number, caption.strip())
    if images and not captions.keys() & images.keys():
        raise DistillError(
            f"{file}: expected captions of the pictures in "
            f"{file.name.replace('captions_', 'instances_', 1)}, got {len(captions):,}, none of "
            "them of one; take files that belong together"
        )
    return captions


def _rows(file: Path, content: Any, table: str, **kinds: type) -> Iterator[tuple[Any, ...]]:
    """The named values of each entry of a table, checked."""
    entries = content.get(table) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise _unlike(file, f'a list "{table}"', "nothing" if entries is None else "another value")
    for i, entry in enumerate(entries):
        for key, kind in kinds.items():
            value = entry.get(key) if isinstance(entry, dict) else None
            # Not isinstance: true and false are integers to Python.
            if type(value) is not kind or (kind is str and not is_unicode(value)):
                got = "nothing" if value is None else f"{json.dumps(value):.40}"
                raise _unlike(file, f'{_KINDS[kind]} as "{key}" in entry {i} of "{table}"', got)
        yield tuple(entry[key] for key in kinds)


def _read(file: Path) -> Any:
    # Outlines are most of these files: dropped object by object, they never fill the memory.
    def lean(entry: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in entry.items() if key in _USED}

    try:
        return json.loads(file.read_bytes(), object_hook=lean)
    except OSError as error:
        raise not_there(file, "MS-COCO's annotations", error) from error
    except (ValueError, RecursionError) as error:
        raise _unlike(file, "JSON", str(error)) from error


def _unlike(file: Path, wanted: str, got: str) -> DistillError:
    return DistillError(
        f"{file}: expected {wanted}, as in MS-COCO's annotations, got {got}; take the published "
        "file"
    )


def _matrix(found: Iterable[set[str]], names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.array([[name in labels for name in names] for labels in found], bool)
