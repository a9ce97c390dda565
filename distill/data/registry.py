"""Datasets by name: the one place that knows them all."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from distill.data import (
    cifar10,
    coco,
    dcmh,
    emoji,
    features,
    imagefolder,
    listfile,
    manifest,
    mat,
    nuswide,
    openclipart,
    wikipedia,
)
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.data.labelled import check_share, hide_labels
from distill.data.modalities import choose
from distill.data.protocols import split_rule
from distill.data.wikipedia import TextFeatures
from distill.modalities import MODALITIES
from distill.types import DistillError


@dataclass(frozen=True)
class _Source:
    """How a name is read.

    Attributes:
        read: the loader.
        needs: the place that has to be given, and what it is.
        takes: places and further settings that may be given; with "protocol" it is given what
            divides the items, and else the seed.
    """

    read: Callable[..., ImageTextDataset]
    needs: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ()


_SOURCES = {
    "openclipart": _Source(openclipart.load, takes=("root", "bad_images")),
    "emoji": _Source(partial(emoji.load, "noto"), takes=("root", "bad_images")),
    "emoji-fluent": _Source(partial(emoji.load, "fluent"), takes=("root", "bad_images")),
    "emoji-all": _Source(partial(emoji.load, "all"), takes=("root", "bad_images", "modalities")),
    "manifest": _Source(manifest.load, {"path": "a JSONL file"}, ("bad_images", "modalities")),
    "imagefolder": _Source(imagefolder.load, {"root": "a folder"}, ("path", "bad_images")),
    "listfile": _Source(listfile.load, {"root": "a folder"}, ("bad_images",)),
    "cifar10": _Source(cifar10.load, {"root": "a folder"}, ("queries_per_class",)),
    "cifar10-subset": _Source(
        cifar10.load_subset, {"path": "an .npz file"}, ("queries_per_class",)
    ),
    "dcmh": _Source(dcmh.load, {"path": "FLICKR-25K.mat"}, ("bad_images", "protocol")),
    "mat": _Source(mat.load, {"root": "a folder"}, ("bad_images", "protocol")),
    "coco": _Source(coco.load, {"root": "a folder"}, ("bad_images", "protocol")),
    "nuswide": _Source(nuswide.load, {"root": "a folder"}, ("bad_images", "protocol", "classes")),
    "features": _Source(features.load, takes=("root", "path", "protocol", "modalities")),
    "wikipedia": _Source(wikipedia.load, {"root": "a folder"}, ("text_features",)),
}
NAMES = tuple(_SOURCES)


def load(
    name: str,
    *,
    root: Path | None = None,
    path: Path | None = None,
    text: Text = "full",
    bad_images: BadImages = "refuse",
    protocol: str | None = None,
    split_seed: int | None = None,
    queries_per_class: int | None = None,
    classes: int | None = None,
    text_features: TextFeatures = "tfidf",
    labelled: float = 1.0,
    modalities: Sequence[str] | None = None,
) -> ImageTextDataset:
    """Read a dataset.

    Args:
        name: "openclipart", "emoji", "emoji-fluent" and "emoji-all" (embedded, or the full set
            under `root`), "manifest" (`path` is a JSONL file), "imagefolder" (`root` holds label
            folders, or pictures whose labels are in the CSV file `path`, or pictures without any),
            "listfile" (`root` holds the lists of the hashing literature), "cifar10" (`root` holds
            its batches), "cifar10-subset" (`path` is an .npz file), or a layout of cross-modal
            hashing: "dcmh" (`path` is FLICKR-25K.mat), "mat" (`root` holds index.mat, caption.mat
            or caption.txt, and label.mat), "coco", "nuswide" (`root` holds the published files),
            "features" (`root` holds arrays, or `path` is a .mat file) or "wikipedia" (`root` holds
            raw_features.mat and two lists).
        root: folder of the full set, of the label folders, of the lists, batches or arrays.
        path: the manifest, the labels of an image folder, the subset, or the .mat file.
        text: "scrubbed" takes each item's own labels out of its text.
        bad_images: what to do when a picture cannot be read: raise, or leave it out and log it. Of
            embedded data and of CIFAR-10 all are needed.
        protocol: name of a published split (`protocols.PROTOCOLS`) for "dcmh", "mat", "coco",
            "nuswide" or "features"; None: the dataset's own split, or one drawn at random.
        split_seed: at least 0; None is the protocol's own seed, or 0. Embedded data have a stored
            split for 0 and draw one of the same sizes for others; data with a split of their own
            use it for the validation items only; for CIFAR-10 it seeds the released protocol, which
            has 0.
        queries_per_class: of CIFAR-10, so many queries and so many validation queries of each
            class; 0 is all, None all of "cifar10" and 200 of "cifar10-subset".
        classes: of NUS-WIDE, so many of the most frequent concepts are labels; None: the usual 21.
        text_features: of Wikipedia, "tfidf" or "lda".
        labelled: share of the training items that keep their labels, see `labelled.hide_labels`.
        modalities: those to use, in order; None: the dataset's usual ones, which are image and text
            of all but "emoji-all". "manifest" and "features" may have further ones.

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
    given = {
        "root": root if root is None else Path(root),
        "path": path if path is None else Path(path),
        "protocol": protocol,
        "queries_per_class": queries_per_class,
        "classes": classes,
    }
    chosen = {"text_features": None if text_features == "tfidf" else text_features}
    _check_places(name, source, given | chosen)
    _check_choice("text", text, get_args(Text))
    _check_choice("bad_images", bad_images, get_args(BadImages))
    _check_choice("text_features", text_features, get_args(TextFeatures))
    counts = {"split_seed": split_seed, "queries_per_class": queries_per_class, "classes": classes}
    for key, value in counts.items():
        if value is not None:
            _check_count(key, value)
    settings = given | {
        "bad_images": bad_images,
        "text_features": text_features,
        "modalities": modalities,
    }
    accepted = {k: settings[k] for k in (*source.needs, *source.takes) if k != "protocol"}
    check_share(labelled)
    fixed = (
        None
        if "modalities" in source.takes
        else choose(MODALITIES, modalities, MODALITIES, name=name)
    )
    rule = split_rule(protocol, split_seed)
    if "protocol" in source.takes:
        dataset = source.read(text=text, split=rule, **accepted)
    else:
        dataset = source.read(text=text, split_seed=rule.seed, **accepted)
    if fixed is not None:
        dataset = dataclasses.replace(dataset, chosen=fixed)
    return hide_labels(dataset, labelled, rule.seed)


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
        raise DistillError(
            f"{key}: expected an integer of at least 0, got {value!r}; give such a number, or none"
        )


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DistillError(f"{key}: expected {' or '.join(choices)}, got {value!r}")
