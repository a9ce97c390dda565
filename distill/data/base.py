"""What a dataset is once it is read: pictures, texts, labels, a split, and a sentence saying so."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from distill.data.images import ImageSource, NoImages, Pictures
from distill.data.modalities import Given, Modality
from distill.modalities import MODALITIES
from distill.types import DistillError

Text = Literal["full", "scrubbed"]
BadImages = Literal["refuse", "skip"]


@dataclass(frozen=True)
class Item:
    """One picture with its text and labels, as a source describes it.

    Attributes:
        image: name of the picture within its source; empty where there is none.
        text: title or caption; may be empty, and None where there is none.
        labels: names; an item without any is never a query.
        split: a word of `splits.WORDS`, or None where the source does not say.
        others: further modalities of the item by name.
    """

    image: str
    text: str | None
    labels: tuple[str, ...]
    split: str | None = None
    others: Mapping[str, Given] = field(default_factory=dict)


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
            a dataset without labels has neither queries nor validation items. A fifth part,
            "unlabelled", is there where items of the database are learned from without their
            labels: those that have none, and those whose labels are hidden from every method.
        images: the encoded pictures.
        features: of datasets that come as arrays: modality -> (n, d) float32, in the place of
            pictures or texts to encode; without pictures `images` is a `NoImages`. A row of NaN
            stands for what an item lacks.
        others: further modalities to encode, by name.
        chosen: names of the modalities that are used, in order.
        present: "image" and "text", where some items lack them -> (n) bool, the items that have
            them.
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
    others: Mapping[str, Modality] = field(default_factory=dict)
    chosen: tuple[str, ...] = MODALITIES
    present: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of what an item may have, of what is used."""
        return self.chosen

    def has(self, modality: str) -> np.ndarray:
        """(n) bool, the items that have a modality."""
        if modality in self.features:
            return self._given[modality]
        if modality in self.others:
            return self.others[modality].present
        return self.present.get(modality, np.ones(len(self), bool))

    @cached_property
    def _given(self) -> dict[str, np.ndarray]:
        return {m: ~np.isnan(values).all(axis=1) for m, values in self.features.items()}

    @property
    def has_images(self) -> bool:
        """Whether there are pictures, and not only features of them."""
        return not isinstance(self.images, NoImages)

    def image(self, i: int) -> Image.Image:
        """Decode picture i to RGB."""
        return Pictures(self.images).image(i)

    def image_bytes(self, i: int) -> bytes:
        """Return picture i as it is stored, encoded."""
        return Pictures(self.images).image_bytes(i)

    def image_name(self, i: int) -> str:
        """Name of picture i within its source."""
        return self.images.names[i]

    def item_name(self, i: int) -> str:
        """What item i is called in messages."""
        return self.image_name(i) or self.texts[i] or f"item {i}"

    def labels_of(self, i: int) -> tuple[str, ...]:
        """Names of the labels of item i."""
        return tuple(self.label_names[k] for k in np.flatnonzero(self.labels[i]))

    def require_images(self, purpose: str) -> None:
        """Refuse a dataset whose items do not all have pictures.

        Args:
            purpose: what pictures are needed for, as in "to hash".

        Raises:
            DistillError: there are only features, or items without.
        """
        if not self.has_images:
            raise DistillError(
                f"images: expected pictures {purpose}, got {self.name}, which comes as features; "
                "choose another dataset or an image-text method"
            )
        if not (has := self.has("image")).all():
            raise DistillError(
                f"images: expected a picture of every item {purpose}, got {int((~has).sum()):,} "
                f"items of {self.name} without one, the first being "
                f"{self.item_name(int(has.argmin()))}; leave them out"
            )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over all that is there of each item, its labels, and the split.

        Equal data, equal string. Unlabelled items that are just those of the database that have no
        label follow from the rest.
        """
        digest = hashlib.sha256(json.dumps([self.texts, self.label_names]).encode())
        digest.update(self.labels.tobytes())
        without = np.flatnonzero(~self.labels.any(axis=1))
        for part in sorted(self.splits):
            rows = self.splits[part]
            if part == "unlabelled" and np.array_equal(
                rows, np.intersect1d(without, self.splits["database"])
            ):
                continue
            digest.update(f"{part}:{rows.tolist()}".encode())
        for modality in sorted(self.present):
            digest.update(f"{modality}:".encode() + self.present[modality].tobytes())
        if self.has_images:
            _add_pictures(digest, self.images)
        for modality in sorted(self.features):
            values = self.features[modality]
            digest.update(f"{modality}:{values.shape}".encode())
            digest.update(np.ascontiguousarray(values))
        for name in sorted(self.others):
            digest.update(json.dumps([name, self.others[name].texts]).encode())
            if (images := self.others[name].images) is not None:
                _add_pictures(digest, images)
        return digest.hexdigest()


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _add_pictures(digest: _Digest, images: ImageSource) -> None:
    pictures = Pictures(images)
    for i, name in enumerate(images.names):
        digest.update(hashlib.sha256(pictures.image_bytes(i) if name else b"").digest())
