"""What a method can learn from: the items and modalities that it takes, and what is refused."""

import logging

import numpy as np
from numpy.typing import NDArray

from distill import parallel
from distill.config import TrainConfig
from distill.data.base import ImageTextDataset
from distill.modalities import MODALITIES
from distill.types import DistillError
from distill.words import listed

_log = logging.getLogger(__name__)
SEMI_SUPERVISED = frozenset({"skdch", "schgan"})
"""Methods that learn from unlabelled items too."""
MULTIMODAL = frozenset({"skdch", "schgan", "triplet"})
"""Methods that take any modalities of a dataset; the others take image and text."""


UNLABELLED = frozenset({"contrastive"})
"""Methods that read no labels."""


def learned_rows(config: TrainConfig, dataset: ImageTextDataset) -> NDArray[np.int64]:
    """Rows (n) that the method learns from; of a semi-supervised one ascending."""
    train: NDArray[np.int64] = dataset.splits["train"]
    if config.method not in SEMI_SUPERVISED:
        return train
    return np.sort(np.concatenate([train, dataset.splits.get("unlabelled", train[:0])]))


def check_settings(config: TrainConfig) -> None:
    """Refuse what the method cannot do with any data.

    Raises:
        DistillError: several processes, or towers that learn, for a method without; a head that
            z-scores what learns; a teacher that never learns, or has no hidden layer to name
            classes by.
    """
    settings = config.skdch
    if config.method in SEMI_SUPERVISED and not settings.pretraining and not settings.rounds:
        raise DistillError(
            "pretraining: expected at least 1 epoch, or a round, for the teacher to learn in, got "
            "0 of both; give one"
        )
    if config.method in SEMI_SUPERVISED and settings.rounds and config.head.kind == "linear":
        raise DistillError(
            f"head: expected mlp or tanh for method {config.method}, whose generator names classes "
            "by a hidden layer, got linear; leave it out"
        )
    if config.method not in MULTIMODAL:
        if config.encoder.mode != "frozen" and config.head.kind == "tanh":
            raise DistillError(
                "head: expected mlp or linear where towers are fine-tuned, got tanh, which "
                "z-scores features that do not change; leave it out"
            )
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
        DistillError: too few modalities, others than image and text for a method of two, a
            training item with a single one, or too little to draw triplets or votes from.
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
    if method in MULTIMODAL:
        _check_triplets(config, dataset, len(rows))
    single = np.sum([dataset.has(modality)[rows] for modality in chosen], axis=0) < 2
    may = config.skdch.unpaired
    if not single.any() or (method in MULTIMODAL and may):
        return
    first = int(rows[single.argmax()])
    expected = "at least two modalities" if method in MULTIMODAL else "image and text"
    remedy = ', mark them "database", or give --skdch.unpaired'
    if method not in MULTIMODAL:
        remedy = ', or mark them "database"'
    raise DistillError(
        f"items: expected {expected} of every item that is learned from, got {int(single.sum()):,} "
        f"of {len(rows):,} with one alone, the first being {dataset.item_name(first)}; leave them "
        f"out{remedy}"
    )


def _check_triplets(config: TrainConfig, dataset: ImageTextDataset, n_items: int) -> None:
    """Refuse data of which a modality, a class or a vote would learn nothing.

    Args:
        config: of a method of triplets.
        dataset: its chosen modalities are used.
        n_items: that are learned from.
    """
    train = dataset.splits["train"]
    for modality in dataset.chosen:
        if not dataset.has(modality)[train].any():
            raise DistillError(
                f"modalities: expected labelled training items that have {modality}, got none; "
                "choose other modalities, or label such items"
            )
    vectors = np.unique(dataset.labels[train], axis=0).astype(np.float32)
    if (vectors @ vectors.T > 0).all():
        raise DistillError(
            "labels: expected labelled training items that share no label, as negatives, got "
            f"{len(train):,} that all share one; add items of other classes"
        )
    settings, semi = config.skdch, config.method in SEMI_SUPERVISED
    if config.method == "skdch" and settings.neighbours > n_items:
        raise DistillError(
            f"neighbours: expected 1 to the {n_items:,} items that are learned from, got "
            f"{settings.neighbours}; lower --skdch.neighbours, or leave it out"
        )
    if semi and n_items == len(train):
        if settings.authors_leak:
            raise DistillError(
                "authors_leak: expected training items whose labels are hidden, got none; give a "
                "smaller --labelled, or leave it out"
            )
        if not dataset.labels[train].any():
            return  # which is refused with the remedy
        _log.warning(
            "%s: no training item is unlabelled, so that only labelled ones are learned from",
            config.method,
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
