"""Datasets by name: the one place that knows them all."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from distill.data import emoji, imagefolder, manifest, openclipart
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.types import DistillError


@dataclass(frozen=True)
class _Source:
    """How a name is read: with the setting that gives its place, if it has one."""

    read: Callable[..., ImageTextDataset]
    place: str = ""
    required: bool = False


_SOURCES = {
    "openclipart": _Source(openclipart.load, place="root"),
    "emoji": _Source(partial(emoji.load, "noto")),
    "emoji-fluent": _Source(partial(emoji.load, "fluent")),
    "manifest": _Source(manifest.load, place="path", required=True),
    "imagefolder": _Source(imagefolder.load, place="root", required=True),
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
) -> ImageTextDataset:
    """Read a dataset.

    Args:
        name: "openclipart" (embedded, or the full set under `root`), "emoji", "emoji-fluent",
            "manifest" (`path` is a JSONL file) or "imagefolder" (`root` holds label folders).
        root: folder of the full set or of the label folders.
        path: the manifest.
        text: "scrubbed" takes each item's own labels out of its text.
        bad_images: what to do when a picture cannot be read: raise, or leave it out and log it.
        split_seed: at least 0. Embedded data have a stored split for 0 and draw one of the same
            sizes for others; a manifest with a split uses it for the validation items only.

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
    places = {"root": root, "path": path}
    _check_places(name, source, places)
    _check_choice("text", text, get_args(Text))
    _check_choice("bad_images", bad_images, get_args(BadImages))
    if not isinstance(split_seed, int) or isinstance(split_seed, bool) or split_seed < 0:
        raise DistillError(f"split_seed: expected an integer of at least 0, got {split_seed!r}")
    if not source.place:
        return source.read(text=text, split_seed=split_seed)
    place = places[source.place]
    return source.read(
        None if place is None else Path(place),
        text=text,
        bad_images=bad_images,
        split_seed=split_seed,
    )


def _check_places(name: str, source: _Source, places: Mapping[str, Path | None]) -> None:
    for key, value in places.items():
        if value is None and key == source.place and source.required:
            kind = "a JSONL file" if key == "path" else "a folder"
            raise DistillError(f"{key}: expected {kind} for data {name}, got nothing; give --{key}")
        if value is not None and key != source.place:
            raise DistillError(f"{key}: expected none for data {name}, got {value}; leave it out")


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DistillError(f"{key}: expected {' or '.join(choices)}, got {value!r}")
