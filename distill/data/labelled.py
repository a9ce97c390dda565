"""Few labels: a share of the training items keeps its labels, those of the others are hidden.

The hidden ones are the part "unlabelled" of the split. They stay in the database, and their labels
stay in the dataset, where evaluation reads them; no method does (see `distill.inputs`).

Items keep their labels in one order, of which a larger share takes more: what is labelled at 10 %
is labelled at 25 % too. First come items that together carry every label, since nothing could be
learned of a label without an item: from the rarest label on, the first item in the split's random
order that carries it, unless one is there already. The others follow in the random order.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from distill.data.base import ImageTextDataset
from distill.data.splits import SplitProtocol, describe, learners
from distill.types import DistillError
from distill.words import shortened


def hide_labels(dataset: ImageTextDataset, share: float, seed: int) -> ImageTextDataset:
    """Keep the labels of a share of the training items.

    Args:
        dataset: as read.
        share: as `check_share` takes it; 1 hides nothing.
        seed: of the order in which items keep their labels.

    Raises:
        DistillError: a share that leaves a label without an item, or a dataset without labels or
            with unlabelled items of its own that have labels.
    """
    if share == 1:
        return dataset
    _check_hideable(dataset, share)
    train = dataset.splits["train"]
    order, n_needed = _order(dataset.labels, train, seed)
    n_kept = round(share * len(train))
    if n_kept < n_needed:
        bare = ~dataset.labels[order[:n_kept]].any(axis=0) & dataset.labels[train].any(axis=0)
        names = [dataset.label_names[k] for k in np.flatnonzero(bare)]
        raise DistillError(
            f"labelled: expected a share that leaves an item to every label, got {share:g} of "
            f"{len(train):,} training items, which leaves none to {shortened(names)}; give "
            f"a larger --labelled, at least {math.ceil(1e4 * n_needed / len(train)) / 1e4:g}"
        )
    if n_kept == len(train):
        return dataset
    kept = np.isin(train, order[:n_kept])
    found = {"train": train[kept], "unlabelled": _joined(dataset, train[~kept])}
    for rows in found.values():
        rows.flags.writeable = False
    splits = {**dataset.splits, **found}
    sentence = dataset.protocol
    for words in (describe, lambda splits: learners(splits, digits=",")):
        head, said, tail = sentence.rpartition(words(dataset.splits))
        if said:
            sentence = f"{head}{words(splits)}{tail}"
            break
    if f"seed {seed}" not in sentence:
        start, _, fields = sentence.rpartition("; ")
        sentence = f"{start}, labels kept in the order of split seed {seed}; {fields}"
    return dataclasses.replace(dataset, splits=splits, protocol=sentence)


def check_share(share: object) -> None:
    """Refuse what is no share in (0, 1].

    Raises:
        DistillError: it is not.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise DistillError(
            f"labelled: expected a share in (0, 1], got {share!r}; 1 hides no labels"
        )


def _check_hideable(dataset: ImageTextDataset, share: float) -> None:
    own = dataset.splits.get("unlabelled", np.array([], np.int64))
    if not dataset.labels[dataset.splits["train"]].any():
        why = "has no labels"
    elif dataset.labels[own].any():
        why = "says itself which items are unlabelled"
    else:
        return
    raise DistillError(
        f"labelled: expected none for {dataset.name}, which {why}, got {share:g}; leave it out"
    )


def _order(
    labels: NDArray[np.uint8], train: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], int]:
    """Training rows in the order in which they keep their labels, and how many carry them all."""
    order = SplitProtocol(seed=seed).order(train)
    carried = labels[order].astype(bool)
    sizes = carried.sum(axis=0)
    covered = sizes == 0
    first: list[int] = []
    for label in np.argsort(sizes, kind="stable"):
        if not covered[label]:
            first.append(int(carried[:, label].argmax()))
            covered |= carried[first[-1]]
    rest = np.delete(order, first)
    return np.concatenate([order[first], rest]), len(first)


def _joined(dataset: ImageTextDataset, hidden: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those and the items that have no label."""
    own = dataset.splits.get("unlabelled", np.array([], np.int64))
    return np.sort(np.concatenate([own, hidden]))
