"""CIFAR-10 as BRCD's released code divides it, and a subset of it that travels as JPEG.

500 images of each class are drawn from the training images to learn from; all training images are
the database, those included. The test images are shuffled: the first half validates, the second
half asks. Drawn with NumPy's legacy generator, whose stream never changes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.data.assemble import assemble
from distill.data.base import ImageTextDataset, Item, Text
from distill.data.cifar10_files import CLASSES, find_folder, read_folder, read_subset
from distill.data.images import ChosenImages, ImageSource
from distill.data.splits import Splits, learners
from distill.types import DistillError

SUBSET_QUERIES = 200
"""Queries a class that the subset has where nothing else is asked for."""
_TRAIN = 500  # a class
_ORDER = 10  # seed of the one order of the subset's database

Rows = NDArray[np.int64]


def load(
    root: Path, *, text: Text, split_seed: int, queries_per_class: int | None = None
) -> ImageTextDataset:
    """Read a folder of CIFAR-10 in its binary or Python version.

    Args:
        root: the folder of the batches, or the one around it.
        text: there are none.
        split_seed: 0 is the released protocol.
        queries_per_class: so many queries, and validation queries, of each class; None or 0: all.

    Raises:
        DistillError: a file is missing or not as it should be.
    """
    images, labels, n_train = read_folder(find_folder(root))
    order = np.arange(n_train)  # the files' own order is random
    sentence = f"cifar10: database = the {n_train:,} training images"
    return _assemble(
        "cifar10", images, labels, order, sentence, text, split_seed, queries_per_class
    )


def load_subset(
    path: Path, *, text: Text, split_seed: int, queries_per_class: int | None = None
) -> ImageTextDataset:
    """Read a subset of CIFAR-10 from an .npz file.

    Args:
        path: the file; `cifar10_files.read_subset` says what is in it.
        text: there are none.
        split_seed: 0 is the protocol of the released code, as far as the subset allows.
        queries_per_class: so many queries, and validation queries, of each class; None:
            `SUBSET_QUERIES`; 0: all.

    Raises:
        DistillError: the file is not as it should be.
    """
    images, labels, n_train = read_subset(path)
    # Sorted by class, ties in distance would favour the first classes.
    order = np.random.RandomState(_ORDER).permutation(n_train)
    sentence = (
        f"cifar10-subset: database = {n_train:,} of the 50,000 training images, in one fixed "
        "random order"
    )
    n = SUBSET_QUERIES if queries_per_class is None else queries_per_class
    return _assemble("cifar10-subset", images, labels, order, sentence, text, split_seed, n)


def _assemble(
    name: str,
    images: ImageSource,
    labels: Rows,
    order: Rows,
    sentence: str,
    text: Text,
    seed: int,
    per_class: int | None,
) -> ImageTextDataset:
    """Rows are the database in its order, then the validation queries, then the queries."""
    sizes = np.bincount(labels[: len(order)], minlength=len(CLASSES))
    if sizes.min() < _TRAIN:
        raise DistillError(
            f"{name}: expected at least {_TRAIN} training images of each class, got "
            f"{sizes.min()} of class {CLASSES[sizes.argmin()]}; take another file"
        )
    chosen, splits = _divide(labels, order, seed, per_class)
    each = f", {per_class} a class," if per_class else ""
    drawn = " or ".join(f"permutation({size})" for size in np.unique(sizes))
    sentence += (
        f", of which {learners(splits, digits=',')}, {_TRAIN} a class by {drawn}; "
        f"{len(splits['query']):,} queries{each} of the second half of the "
        f"{len(labels) - len(order):,} shuffled test images, {len(splits['validation']):,} "
        f"validation queries{each} of the first; split seed {seed}; no texts, labels = classes"
    )
    items = [Item(images.names[i], "", (CLASSES[labels[i]],)) for i in chosen]
    source = ChosenImages(images, chosen)
    return assemble(name, items, source, splits, text=text, protocol=sentence)


def _divide(labels: Rows, order: Rows, seed: int, per_class: int | None) -> tuple[Rows, Splits]:
    """The images that become rows, in the order of the rows, and the split as row numbers."""
    n_train = len(order)
    train, halves = draw(labels[:n_train], len(labels) - n_train, seed)
    validation, query = (
        n_train + _first_of_each(labels[n_train:], half, per_class) for half in halves
    )
    chosen = np.concatenate([order, validation, query])
    row_of = np.empty(len(labels), np.int64)
    row_of[chosen] = np.arange(len(chosen))
    parts = {"train": train, "validation": validation, "query": query, "database": order}
    return chosen, {part: row_of[members] for part, members in parts.items()}


def draw(train_labels: Rows, n_test: int, seed: int) -> tuple[Rows, tuple[Rows, Rows]]:
    """Draw the training subset and the halves of the test images, as the released code does.

    Args:
        train_labels: (n_train) class of each training image, in file order.
        n_test: number of test images.
        seed: of NumPy's legacy generator; 0 in the released code.

    Returns:
        Training images, class by class, and (validation, query) test images, in the order drawn.
    """
    if seed >= 2**32:
        raise DistillError(f"split_seed: expected below 2**32 for CIFAR-10, got {seed}")
    generator = np.random.RandomState(seed)
    parts = []
    for label in range(len(CLASSES)):
        members = np.flatnonzero(train_labels == label)
        parts.append(members[generator.permutation(len(members))[:_TRAIN]])
    shuffled = list(range(n_test))
    generator.shuffle(shuffled)
    half = n_test // 2
    return np.concatenate(parts), (np.array(shuffled[:half]), np.array(shuffled[half:]))


def _first_of_each(labels: Rows, order: Rows, n: int | None) -> Rows:
    """Of test images in an order, the first n of each class; all where n is None or 0."""
    if not n:
        return order
    members = [np.flatnonzero(labels[order] == label) for label in range(len(CLASSES))]
    fewest = min(len(rows) for rows in members)
    if fewest < n:
        raise DistillError(
            f"queries_per_class: expected at most {fewest}, the images of the rarest class in half "
            f"of the test images, got {n}"
        )
    chosen: Rows = order[np.sort(np.concatenate([rows[:n] for rows in members]))]
    return chosen
