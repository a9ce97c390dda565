"""Settings of what is read and of the towers that read it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True)
class DataConfig:
    """Which items are read, and how."""

    name: Annotated[str, arg(name="data")] = "openclipart"
    """Dataset: openclipart, emoji, emoji-fluent, emoji-all, manifest, imagefolder, listfile,
    cifar10, cifar10-subset, dcmh, mat, coco, nuswide, features or wikipedia."""
    root: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder of the full set, of the images, or of the files of a layout; without it the embedded
    data."""
    path: Annotated[Path | None, arg(metavar="FILE")] = None
    """The file of data that are one: a JSONL manifest, a list of images, the CIFAR-10 subset, or a
    .mat file."""
    text: Literal["full", "scrubbed"] = "full"
    """scrubbed: words that are among the item's labels are taken out of its text."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What to do with an image that cannot be read."""
    protocol: str | None = None
    """A published split by name, as mirflickr-dcmh, for dcmh, mat, coco, nuswide and features;
    without it the dataset's own, or one drawn at random."""
    split_seed: int | None = None
    """Seed of the split where the dataset has no fixed one; without it the protocol's own, or 0."""
    queries_per_class: int | None = None
    """CIFAR-10: queries, and validation queries, of each class; 0 is all, without it all of
    cifar10 and 200 of cifar10-subset."""
    classes: int | None = None
    """NUS-WIDE: so many of the most frequent concepts are labels; without it the usual 21."""
    text_features: Literal["tfidf", "lda"] = "tfidf"
    """Wikipedia: weights of 1,000 words or, poorer, 10 topics."""
    labelled: float = 1.0
    """Share of the training items whose labels may be read, some item of every label among them;
    the others are learned from without them by skdch and schgan, and not at all by the other
    methods."""
    modalities: Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")] = None
    """Modalities to use, of those that the dataset has; without it image and text, and of emoji-all
    fluent too."""


@dataclass(frozen=True)
class EncoderConfig:
    """The pretrained towers."""

    mode: Annotated[Literal["frozen", "finetune"], arg(name="encoder-mode")] = "frozen"
    """frozen: features are computed once and heads learn from them; finetune: image and text tower
    learn too, from pixels and tokens."""
    teacher: str = "EfficientNet-Lite0-MiniLM"
    """An open_clip model name, a bundled one, or a folder with open_clip_config.json."""
    pretrained: Annotated[str | None, arg(metavar="TAG|FILE|random")] = None
    """Weights: an open_clip tag, a file, or "random"; bundled models bring their own."""
    cache: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for computed features; default $XDG_CACHE_HOME/hamming-kd."""
