"""MS-COCO as published: pictures with captions and categories.

    annotations/captions_PART.json, annotations/instances_PART.json    for each PART
    PART/FILE                                                          its pictures

PART is train2014 and val2014, or train2017 and val2017: whatever pairs of files are there. Items
are the pictures with at least one category, part by part in order of their ids; the text is the
first caption, labels are categories. Other code numbers the items in its own way: a protocol draws
queries of its own from this order, with the sizes of that code.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.base import BadImages, ImageTextDataset, Text
from distill.data.images import FileImages
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import SplitRule
from distill.types import DistillError

_TABLES = {"images", "annotations", "categories"}
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
        captions = _captions(folder / f"captions_{part}.json")
        for number, file in sorted(images.items()):
            if seen.setdefault(number, part) != part:
                raise DistillError(
                    f"annotations: expected each picture once, got id {number} in {seen[number]} "
                    f"and {part}; leave one release there"
                )
            files.append(f"{part}/{file}")
            texts.append(captions.get(number, ""))
            found.append(categories.get(number, set()))
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
    parts = sorted(
        file.stem.removeprefix("instances_")
        for file in folder.glob("instances_*.json")
        if (folder / file.name.replace("instances_", "captions_", 1)).is_file()
    )
    if not parts:
        raise DistillError(
            "root: expected annotations/captions_PART.json and annotations/instances_PART.json of "
            f"at least one PART, as train2017, got none in {folder.parent}; unpack MS-COCO's "
            "annotations there"
        )
    return parts


def _instances(file: Path) -> tuple[dict[int, str], dict[int, set[str]]]:
    """File of each picture, and the categories of those that have some."""
    content = _read(file)
    try:
        images = {entry["id"]: entry["file_name"] for entry in content["images"]}
        names = {entry["id"]: entry["name"] for entry in content["categories"]}
        found: dict[int, set[str]] = {}
        for entry in content["annotations"]:
            found.setdefault(entry["image_id"], set()).add(names[entry["category_id"]])
    except (KeyError, TypeError) as error:
        raise _unlike(file, "images, categories and annotations", error) from error
    if foreign := found.keys() - images.keys():
        raise DistillError(
            f"{file}: expected annotations of its own pictures, got one of id {min(foreign)}; "
            "take another file"
        )
    return images, found


def _captions(file: Path) -> dict[int, str]:
    """First caption of each picture."""
    captions: dict[int, str] = {}
    try:
        for entry in _read(file)["annotations"]:
            captions.setdefault(entry["image_id"], entry["caption"].strip())
    except (KeyError, TypeError, AttributeError) as error:
        raise _unlike(file, "annotations with captions", error) from error
    return captions


def _read(file: Path) -> Any:
    # Outlines are most of these files: dropped object by object, they never fill the memory.
    def lean(entry: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in entry.items() if key in _USED}

    try:
        return json.loads(file.read_bytes(), object_hook=lean)
    except (OSError, ValueError) as error:
        raise _unlike(file, "JSON", error) from error


def _unlike(file: Path, wanted: str, error: Exception) -> DistillError:
    return DistillError(
        f"{file}: expected {wanted} as in MS-COCO's annotations, got {error!r:.80}; "
        "take the published file"
    )


def _matrix(found: Iterable[set[str]], names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.array([[name in labels for name in names] for labels in found], bool)
