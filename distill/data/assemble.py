"""From checked items to a dataset: labels as columns, texts treated, and the sentence about it."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.images import ImageSource, unreadable
from distill.data.modalities import Modality, in_words
from distill.data.splits import Splits
from distill.data.text import scrub, title_leak
from distill.modalities import MODALITIES
from distill.types import DistillError
from distill.words import listed, shortened

_SHOWN = 10
_log = logging.getLogger(__name__)


def assemble(
    name: str,
    items: Sequence[Item],
    images: ImageSource,
    splits: Splits,
    *,
    text: Text,
    protocol: str,
    features: Mapping[str, np.ndarray] = MappingProxyType({}),
    named: bool = True,
    others: Mapping[str, Modality] = MappingProxyType({}),
    chosen: Sequence[str] = MODALITIES,
) -> ImageTextDataset:
    """Make a dataset of checked items.

    Args:
        name: short name of the dataset.
        items: (n) what each row holds.
        images: (n) the pictures of the same rows.
        splits: rows of each part.
        text: "scrubbed" takes each item's own labels out of its texts.
        protocol: the sentence as "items and split; text and labels", without the final full stop;
            where there are texts, their treatment and the share of them that give a label away are
            added here, and the modalities where they are not image and text of every item.
        features: see `ImageTextDataset`.
        named: whether labels are words, that a text may contain, and not only numbers.
        others: see `ImageTextDataset`.
        chosen: the modalities that are used.

    Raises:
        DistillError: texts are to be scrubbed that are features, or of labels without a name; an
            item has none of the modalities, or a label of unlabelled items no other.
    """
    if text == "scrubbed" and ("text" in features or not named):
        reason = "texts that come as features" if "text" in features else "labels without names"
        raise DistillError(f"text: expected full for {reason} of {name}, got scrubbed")
    names = sorted({label for item in items for label in item.labels})
    labels = _columns(items, names)
    if text == "scrubbed":
        items = [_scrubbed(item) for item in items]
        others = {key: _scrubbed_all(each, items) for key, each in others.items()}
    for array in (labels, *splits.values(), *features.values()):
        array.flags.writeable = False
    dataset = ImageTextDataset(
        name,
        tuple(item.text or "" for item in items),
        labels,
        tuple(names),
        splits,
        images,
        protocol,
        dict(features),
        others,
        tuple(chosen),
        _present(items),
    )
    _check(dataset)
    sentence = _with_texts(dataset, scrubbed=text == "scrubbed", named=named)
    return dataclasses.replace(dataset, protocol=f"{sentence}.")


def _columns(items: Sequence[Item], names: Sequence[str]) -> np.ndarray:
    column = {label: k for k, label in enumerate(names)}
    labels = np.zeros((len(items), len(names)), np.uint8)
    for i, item in enumerate(items):
        labels[i, [column[label] for label in item.labels]] = 1
    return labels


def _scrubbed(item: Item) -> Item:
    return dataclasses.replace(item, text=item.text and scrub(item.text, item.labels))


def _scrubbed_all(modality: Modality, items: Sequence[Item]) -> Modality:
    if modality.texts is None:
        return modality
    pairs = zip(modality.texts, items, strict=True)
    return Modality(texts=tuple(scrub(text, item.labels) for text, item in pairs))


def _present(items: Sequence[Item]) -> dict[str, np.ndarray]:
    """Who has an image and a text, where some have none."""
    masks = {
        "image": np.array([bool(item.image) for item in items]),
        "text": np.array([item.text is not None for item in items]),
    }
    return {modality: mask for modality, mask in masks.items() if not mask.all()}


def _check(dataset: ImageTextDataset) -> None:
    """Refuse items with nothing to encode, and labels that only unlabelled items have."""
    bare = ~np.any([dataset.has(modality) for modality in dataset.chosen], axis=0)
    if bare.any():
        raise DistillError(
            f"items: expected {listed(dataset.chosen, 'or')} of every item of {dataset.name}, got "
            f"{int(bare.sum()):,} items without, the first being "
            f"{dataset.item_name(int(bare.argmax()))}; leave them out, or choose more --modalities"
        )
    if "unlabelled" not in dataset.splits:
        return
    hidden, train = (dataset.labels[dataset.splits[p]].any(axis=0) for p in ("unlabelled", "train"))
    if alone := [dataset.label_names[k] for k in np.flatnonzero(hidden & ~train)]:
        raise DistillError(
            f"labels: expected a labelled training item of every label in {dataset.name}, got none "
            f"of {shortened(alone)}; label some, or leave out the unlabelled items that have it"
        )


def _with_texts(dataset: ImageTextDataset, *, scrubbed: bool, named: bool) -> str:
    """The sentence with what is known of modalities and texts."""
    said, separator, fields = dataset.protocol.rpartition("; ")
    present = {modality: dataset.has(modality) for modality in dataset.chosen}
    if dataset.chosen != MODALITIES or not all(mask.all() for mask in present.values()):
        said += f", modalities {in_words(present)}"
    texts = {"text": dataset.texts} if any(dataset.texts) and "text" in dataset.chosen else {}
    texts |= {name: each.texts for name, each in dataset.others.items() if each.texts is not None}
    if texts and named and dataset.label_names:
        fields += ", each item's own labels taken out of its text" * scrubbed
        leaks = [
            f"{100 * _leak(dataset, texts[key], dataset.has(key)):.1f} % of the "
            f"{'texts' if key == 'text' else key}"
            for key in texts
        ]
        said += f", {listed(leaks)} contain one of their labels"
    return f"{said}{separator}{fields}"


def _leak(dataset: ImageTextDataset, texts: Sequence[str], has: np.ndarray) -> float:
    there = np.flatnonzero(has)
    return title_leak([texts[i] for i in there], [dataset.labels_of(i) for i in there])


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
    n_named = sum(map(bool, source.names))
    if bad:
        shown = "; ".join(f"{source.names[i]} ({bad[i]})" for i in list(bad)[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        if bad_images == "refuse":
            raise DistillError(
                f"images: expected {n_named} complete images in {where}, got {len(bad)} "
                f"that cannot be read: {shown}{more}; repair or remove them, or choose to skip "
                "bad images"
            )
        _log.warning(
            "%s: skipped %d of %d images that cannot be read: %s%s",
            where,
            len(bad),
            n_named,
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
