"""What the layouts of cross-modal hashing share: from one table of pairs to a dataset.

Pairs without a label are left out, as all its protocols do, and before pairs are counted.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from distill.data.arrays import numbered
from distill.data.assemble import assemble, readable_rows
from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.images import ChosenImages, ImageSource, NoImages
from distill.data.protocols import SplitRule
from distill.data.splits import SplitProtocol, Splits, describe, from_words
from distill.modalities import MODALITIES
from distill.types import DistillError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Image-text pairs as they are read, row i of everything being pair i.

    Attributes:
        images: the pictures, or their names where there are none.
        labels: (n, n_labels) bool.
        label_names: (n_labels) names; None: numbers from 0.
        texts: (n) texts; empty for pairs whose texts come as features.
        features: see `ImageTextDataset`.
        chosen: see `ImageTextDataset`.
        said: (n) one of `splits.WORDS` for each pair, where the files divide them.
        named: whether names of labels, where there are some, are words.
    """

    images: ImageSource
    labels: NDArray[np.bool_]
    label_names: Sequence[str] | None
    texts: Sequence[str] | None = None
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    chosen: tuple[str, ...] = MODALITIES
    said: Sequence[str] | None = None
    named: bool = True


def dataset_of(
    name: str,
    pairs: Pairs,
    *,
    where: str,
    fields: str,
    split: SplitRule,
    text: Text,
    bad_images: BadImages,
) -> ImageTextDataset:
    """Make a dataset of all pairs that have a label, or are unlabelled, and a readable picture.

    Args:
        name: short name of the dataset.
        pairs: as read.
        where: the folder or file.
        fields: what text and labels are, for the protocol sentence.
        split: divides the pairs; of a split that the files give, the validation pairs only.
        text: see `assemble.assemble`.
        bad_images: see `assemble.readable_rows`.

    Raises:
        DistillError: no label, a picture that cannot be read, or a split for other data.
    """
    rows = _labelled_rows(pairs, where)
    left_out = len(pairs.labels) - len(rows)
    images = _chosen(pairs.images, rows)
    if not isinstance(images, NoImages):
        readable = readable_rows(images, bad_images, where=where)
        rows, images = rows[readable], _chosen(images, np.array(readable, np.int64))
    splits, origin = _divided(pairs, rows, split)
    named = pairs.named and pairs.label_names is not None
    without = f" ({left_out:,} without a label left out)" if left_out else ""
    return assemble(
        name,
        _items(pairs, rows, images.names),
        images,
        splits,
        text=text,
        protocol=f"{name}, {len(rows)} items{without}: {describe(splits)}, {origin}; {fields}",
        features={modality: values[rows] for modality, values in pairs.features.items()},
        named=named,
        chosen=pairs.chosen,
    )


def _labelled_rows(pairs: Pairs, where: str) -> NDArray[np.int64]:
    kept = pairs.labels.any(axis=1)
    if pairs.said is not None:
        kept = kept | np.array([word == "unlabelled" for word in pairs.said])
    rows = np.flatnonzero(kept)
    if not pairs.labels.any():
        raise DistillError(
            f"labels: expected at least one item with a label in {where}, got none; add labels"
        )
    if len(rows) < len(pairs.labels):
        _log.warning(
            "%s: left out %d of %d items, which have no label",
            where,
            len(pairs.labels) - len(rows),
            len(pairs.labels),
        )
    return rows


def _items(pairs: Pairs, rows: NDArray[np.int64], images: Sequence[str]) -> list[Item]:
    names = pairs.label_names or numbered(range(pairs.labels.shape[1]))
    return [
        Item(
            image,
            pairs.texts[i] if pairs.texts is not None else "",
            tuple(names[k] for k in np.flatnonzero(pairs.labels[i])),
        )
        for i, image in zip(rows.tolist(), images, strict=True)
    ]


def _divided(pairs: Pairs, rows: NDArray[np.int64], split: SplitRule) -> tuple[Splits, str]:
    """The split of the chosen rows, and where it comes from."""
    labelled = np.asarray(pairs.labels[rows].any(axis=1))
    if pairs.said is None:
        return split.draw(labelled), split.origin
    said = [pairs.said[i] for i in rows]
    splits = from_words(said, labelled, SplitProtocol(seed=split.seed))
    return (
        splits,
        f"given by the files, its validation items drawn with split seed {split.seed}",
    )


def _chosen(images: ImageSource, rows: NDArray[np.int64]) -> ImageSource:
    if isinstance(images, NoImages):
        return NoImages(tuple(images.names[i] for i in rows))
    return ChosenImages(images, rows)
