"""Datasets by name: the one place that knows them all."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from distill.data import cifar10, emoji, imagefolder, listfile, manifest, openclipart
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.types import DistillError


@dataclass(frozen=True)
class _Source:
    """How a name is read.

    Attributes:
        read: the loader.
        needs: the place that has to be given, and what it is.
        takes: places and further settings that may be given.
    """

    read: Callable[..., ImageTextDataset]
    needs: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ()


_SOURCES = {
    "openclipart": _Source(openclipart.load, takes=("root", "bad_images")),
    "emoji": _Source(partial(emoji.load, "noto")),
    "emoji-fluent": _Source(partial(emoji.load, "fluent")),
    "manifest": _Source(manifest.load, {"path": "a JSONL file"}, ("bad_images",)),
    "imagefolder": _Source(imagefolder.load, {"root": "a folder"}, ("path", "bad_images")),
    "listfile": _Source(listfile.load, {"root": "a folder"}, ("bad_images",)),
    "cifar10": _Source(cifar10.load, {"root": "a folder"}, ("queries_per_class",)),
    "cifar10-subset": _Source(
        cifar10.load_subset, {"path": "an .npz file"}, ("queries_per_class",)
    ),
}
NAMES = tuple(_SOURCES)


def load(
    name: str,
    *,
    root: Path | None = None,
    path: Path | None = None,
    text: Text = "full",
    bad_images: BadImages = "refuse",
    split_seed: int = 0,
    queries_per_class: int | None = None,
) -> ImageTextDataset:
    """Read a dataset.

    Args:
        name: "openclipart" (embedded, or the full set under `root`), "emoji", "emoji-fluent",
            "manifest" (`path` is a JSONL file), "imagefolder" (`root` holds label folders, or
            pictures whose labels are in the CSV file `path`, or pictures without any), "listfile"
            (`root` holds the lists of the hashing literature), "cifar10" (`root` holds its
            batches) or "cifar10-subset" (`path` is an .npz file).
        root: folder of the full set, of the label folders, of the lists or of the batches.
        path: the manifest, the labels of an image folder, or the subset.
        text: "scrubbed" takes each item's own labels out of its text.
        bad_images: what to do when a picture cannot be read: raise, or leave it out and log it. Of
            embedded data and of CIFAR-10 all are needed.
        split_seed: at least 0. Embedded data have a stored split for 0 and draw one of the same
            sizes for others; a manifest with a split and the lists use it for the validation items
            only; for CIFAR-10 it seeds the released protocol, which has 0.
        queries_per_class: of CIFAR-10, so many queries and so many validation queries of each
            class; 0 is all, None all of "cifar10" and 200 of "cifar10-subset".

    Raises:
        DistillError: an unknown name, a wrong setting, or data not as they should be.

    >>> len(load("openclipart").label_names) >= 20
    True
    """
    if name not in _SOURCES:
        near = difflib.get_close_matches(name, NAMES, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "name one of these"
        raise DistillError(f'data: expected one of {", ".join(NAMES)}, got "{name}"; {hint}')
    source = _SOURCES[name]
    given = {"root": root, "path": path, "queries_per_class": queries_per_class}
    _check_places(name, source, given)
    _check_choice("text", text, get_args(Text))
    _check_choice("bad_images", bad_images, get_args(BadImages))
    _check_count("split_seed", split_seed)
    if queries_per_class is not None:
        _check_count("queries_per_class", queries_per_class)
    settings = {
        "root": None if root is None else Path(root),
        "path": None if path is None else Path(path),
        "bad_images": bad_images,
        "queries_per_class": queries_per_class,
    }
    accepted = {key: settings[key] for key in (*source.needs, *source.takes)}
    return source.read(text=text, split_seed=split_seed, **accepted)


def _check_places(name: str, source: _Source, given: Mapping[str, object]) -> None:
    for key, value in given.items():
        if value is None and key in source.needs:
            raise DistillError(
                f"{key}: expected {source.needs[key]} for data {name}, got nothing; give --{key}"
            )
        if value is not None and key not in (*source.needs, *source.takes):
            raise DistillError(f"{key}: expected none for data {name}, got {value}; leave it out")


def _check_count(key: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DistillError(f"{key}: expected an integer of at least 0, got {value!r}")


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DistillError(f"{key}: expected {' or '.join(choices)}, got {value!r}")
