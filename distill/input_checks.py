"""What a method can learn from: the items and modalities that it takes, and what is refused."""

import numpy as np
from numpy.typing import NDArray

from distill import parallel
from distill.config import TrainConfig
from distill.data.base import ImageTextDataset
from distill.data.modalities import listed
from distill.modalities import MODALITIES
from distill.types import DistillError

SEMI_SUPERVISED = frozenset({"skdch", "schgan"})
"""Methods that learn from unlabelled items too."""
MULTIMODAL = frozenset({"skdch", "schgan", "triplet"})
"""Methods that take any modalities of a dataset; the others take image and text."""


def learned_rows(config: TrainConfig, dataset: ImageTextDataset) -> NDArray[np.int64]:
    """Rows (n) that the method learns from; of a semi-supervised one ascending."""
    train: NDArray[np.int64] = dataset.splits["train"]
    if config.method not in SEMI_SUPERVISED:
        return train
    return np.sort(np.concatenate([train, dataset.splits.get("unlabelled", train[:0])]))


def check_settings(config: TrainConfig) -> None:
    """Refuse what the method cannot do with any data.

    Raises:
        DistillError: several processes, or towers that learn, for a method without.
    """
    if config.method not in MULTIMODAL:
        return
    if parallel.size() > 1:
        raise DistillError(
            f"torchrun: expected one process for method {config.method}, got {parallel.size()}; "
            "start it with python -m distill.train"
        )
    if config.encoder.mode != "frozen":
        raise DistillError(
            f"encoder-mode: expected frozen for method {config.method}, got {config.encoder.mode}; "
            "leave it out"
        )


def check_dataset(config: TrainConfig, dataset: ImageTextDataset) -> None:
    """Refuse modalities that the method does not take, and items that it could not learn from.

    Raises:
        DistillError: too few modalities, others than image and text for a method of two, or a
            training item with a single one.
    """
    method, chosen = config.method, dataset.chosen
    if method in MULTIMODAL and len(chosen) < 2:
        raise DistillError(
            f"modalities: expected at least two for method {method}, got {chosen[0]}; choose more"
        )
    if method not in MULTIMODAL and set(chosen) != set(MODALITIES):
        raise DistillError(
            f"modalities: expected image and text for method {method}, got {listed(chosen)}; "
            f"choose these two, or method {listed(sorted(MULTIMODAL), 'or')}, which take others"
        )
    rows = learned_rows(config, dataset)
    single = np.sum([dataset.has(modality)[rows] for modality in chosen], axis=0) < 2
    may = config.skdch.unpaired
    if not single.any() or (method in MULTIMODAL and may):
        return
    first = int(rows[single.argmax()])
    expected = "at least two modalities" if method in MULTIMODAL else "image and text"
    remedy = ", or give --skdch.unpaired" * (method in MULTIMODAL)
    raise DistillError(
        f"items: expected {expected} of every item that is learned from, got {int(single.sum()):,} "
        f"of {len(rows):,} with one alone, the first being {dataset.item_name(first)}; leave them "
        f'out, mark them "database"{remedy}'
    )


def check_tunable(dataset: ImageTextDataset, config: TrainConfig) -> None:
    """Refuse to fine-tune towers on what is not pictures, texts and prompts.

    Raises:
        DistillError: features, gaps, or a prompt that is a mean of features.
    """
    if dataset.features:
        raise DistillError(
            f"encoder-mode: expected frozen for {dataset.name}, which brings its features, got "
            "finetune; leave it out"
        )
    if not all(dataset.has(modality).all() for modality in dataset.chosen):
        raise DistillError(
            f"encoder-mode: expected frozen for {dataset.name}, of whose items some lack image or "
            "text, got finetune; leave it out"
        )
    if config.soda.prompt == "set":
        raise DistillError(
            "prompt: expected sentence, bare or multihot where towers are fine-tuned, got set, "
            "which is a mean of features; choose another"
        )
