"""What a dataset is once it is read: pictures, texts, labels, a split, and a sentence saying so."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from PIL import Image

from distill.data.images import ImageSource, NoImages, decode, unreadable
from distill.data.splits import Splits
from distill.data.text import scrub, title_leak
from distill.types import DistillError

Text = Literal["full", "scrubbed"]
BadImages = Literal["refuse", "skip"]
_SHOWN = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One picture with its text and labels, as a source describes it.

    Attributes:
        image: name of the picture within its source.
        text: title or caption; may be empty.
        labels: names; an item without any is only ever searched, never learned from.
        split: a word of `splits.WORDS`, or None where the source does not say.
    """

    image: str
    text: str
    labels: tuple[str, ...]
    split: str | None = None


@dataclass(frozen=True, eq=False)
class ImageTextDataset:
    """Pictures with texts and labels, row i of everything being item i.

    Attributes:
        name: short name for tables and folders.
        texts: (n) title or caption of each item; all empty where a dataset has pictures only.
        labels: (n, n_labels) uint8, 0 or 1.
        label_names: (n_labels) in alphabetical order; "label 00", ... where there are only numbers,
            of which prompts make no sense (`--soda.prompt multihot` needs none).
        splits: "train", "validation", "query", "database" -> int64 row numbers; "database" and
            "query" ascending. Where the split is drawn here, the database is everything that is
            not a query, train and validation included; a published protocol has its own rule, and
            a dataset without labels has neither queries nor validation items.
        images: the encoded pictures.
        features: of datasets that come as arrays: "image" or "text" -> (n, d) float32, in the place
            of pictures or texts to encode; without pictures `images` is a `NoImages`.
        protocol: one sentence naming dataset, split, seed, how many texts give a label away, text
            field and label field.
    """

    name: str
    texts: tuple[str, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    splits: Mapping[str, np.ndarray]
    images: ImageSource
    protocol: str
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def has_images(self) -> bool:
        """Whether there are pictures, and not only features of them."""
        return not isinstance(self.images, NoImages)

    def image(self, i: int) -> Image.Image:
        """Decode picture i to RGB."""
        return decode(self.image_bytes(i), self.image_name(i))

    def image_bytes(self, i: int) -> bytes:
        """Return picture i as it is stored, encoded."""
        try:
            return self.images.read(i)
        except OSError as error:
            raise DistillError(
                f"{self.image_name(i)}: expected a readable image, got {error}"
            ) from error

    def image_name(self, i: int) -> str:
        """Name of picture i within its source."""
        return self.images.names[i]

    def labels_of(self, i: int) -> tuple[str, ...]:
        """Names of the labels of item i."""
        return tuple(self.label_names[k] for k in np.flatnonzero(self.labels[i]))

    def require_images(self, purpose: str) -> None:
        """Refuse a dataset that comes without pictures.

        Args:
            purpose: what pictures are needed for, as in "to hash".

        Raises:
            DistillError: there are only features.
        """
        if not self.has_images:
            raise DistillError(
                f"images: expected pictures {purpose}, got {self.name}, which comes as features; "
                "choose another dataset or an image-text method"
            )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over texts, labels, split, picture bytes and features where there are.

        Equal data, equal string.
        """
        digest = hashlib.sha256(json.dumps([self.texts, self.label_names]).encode())
        digest.update(self.labels.tobytes())
        for part in sorted(self.splits):
            digest.update(f"{part}:{self.splits[part].tolist()}".encode())
        for i in range(len(self) if self.has_images else 0):
            digest.update(hashlib.sha256(self.image_bytes(i)).digest())
        for modality in sorted(self.features):
            values = self.features[modality]
            digest.update(f"{modality}:{values.shape}".encode())
            digest.update(np.ascontiguousarray(values))
        return digest.hexdigest()


def assemble(
    name: str,
    items: Sequence[Item],
    images: ImageSource,
    splits: Splits,
    *,
    text: Text,
    protocol: str,
    features: Mapping[str, np.ndarray] | None = None,
    named: bool = True,
) -> ImageTextDataset:
    """Make a dataset of checked items.

    Args:
        name: short name of the dataset.
        items: (n) what each row holds.
        images: (n) the pictures of the same rows.
        splits: rows of each part.
        text: "scrubbed" takes each item's own labels out of its text.
        protocol: the sentence as "items and split; text and labels", without the final full stop;
            where there are texts, their treatment and the share of them that give a label away are
            added here.
        features: see `ImageTextDataset`.
        named: whether labels are words, that a text may contain, and not only numbers.

    Raises:
        DistillError: texts are to be scrubbed that are features, or of labels without a name.
    """
    names = sorted({label for item in items for label in item.labels})
    column = {label: k for k, label in enumerate(names)}
    labels = np.zeros((len(items), len(names)), np.uint8)
    for i, item in enumerate(items):
        labels[i, [column[label] for label in item.labels]] = 1
    texts = tuple(item.text for item in items)
    features = dict(features or {})
    if text == "scrubbed" and ("text" in features or not named):
        reason = "texts that come as features" if "text" in features else "labels without names"
        raise DistillError(f"text: expected full for {reason} of {name}, got scrubbed")
    if any(texts) and named:
        if text == "scrubbed":
            texts = tuple(scrub(item.text, item.labels) for item in items)
            protocol += ", each item's own labels taken out of its text"
        leak = title_leak(texts, [item.labels for item in items])
        split, _, fields = protocol.rpartition("; ")
        protocol = f"{split}, {100 * leak:.1f} % of the texts contain one of their labels; {fields}"
    for array in (labels, *splits.values(), *features.values()):
        array.flags.writeable = False
    return ImageTextDataset(
        name, texts, labels, tuple(names), splits, images, f"{protocol}.", features
    )


def readable_rows(source: ImageSource, bad_images: BadImages, *, where: str) -> list[int]:
    """Decode every picture once and return the rows to keep.

    Args:
        source: the pictures.
        bad_images: "refuse" raises, "skip" leaves them out and logs a warning with their names.
        where: the folder or file, for the message.

    Raises:
        DistillError: "refuse" and a picture is missing or damaged, or no picture is left.
    """
    bad = unreadable(source)
    if bad:
        shown = "; ".join(f"{source.names[i]} ({bad[i]})" for i in list(bad)[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        if bad_images == "refuse":
            raise DistillError(
                f"images: expected {len(source.names)} complete images in {where}, got {len(bad)} "
                f"that cannot be read: {shown}{more}; repair or remove them, or choose to skip "
                "bad images"
            )
        _log.warning(
            "%s: skipped %d of %d images that cannot be read: %s%s",
            where,
            len(bad),
            len(source.names),
            shown,
            more,
        )
    return [i for i in range(len(source.names)) if i not in bad]


def labelled(items: Sequence[Item], *, where: str) -> np.ndarray:
    """Return (n) bool, which items have a label.

    Raises:
        DistillError: there is no item, or none has a label.
    """
    if not items:
        raise DistillError(f"items: expected at least one in {where}, got none; add items")
    mask = np.array([bool(item.labels) for item in items])
    if not mask.any():
        raise DistillError(
            f"labels: expected at least one item with a label in {where}, got none; add labels"
        )
    return mask
