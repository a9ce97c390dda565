"""What an image-text run trains on: features, or what goes into towers that learn."""

import dataclasses
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import hamming
from distill import checkpoint, data, parallel
from distill.config import TrainConfig
from distill.data.base import ImageTextDataset
from distill.data.images import ChosenImages, Pictures
from distill.data.modalities import Modality
from distill.encoders import Encoder, image_features, load_encoder, prompt_features, text_features
from distill.encoders.input_split import InputSplit
from distill.encoders.prompts import check_labelled, label_prompts
from distill.encoders.tuned import Tuned, tuned_weights
from distill.heads import head_output, standardise
from distill.input_checks import (
    SEMI_SUPERVISED,
    UNLABELLED,
    check_dataset,
    check_settings,
    check_tunable,
    learned_rows,
)
from distill.methods.base import Wrap, codes_of
from distill.types import DistillError, Split

_log = logging.getLogger(__name__)
PROMPTED = frozenset({"soda"})
"""Methods that learn from label prompts."""


class Inputs(Protocol):
    """What a run needs of its dataset.

    Attributes:
        split: the training rows, on the device that trains.
        dims: modality -> width of the features that its head takes; "classes" -> n_labels.
        wrap: what makes of a head the module that trains.
    """

    split: Split
    dims: Mapping[str, int]
    wrap: Wrap

    def codes(self, modality: str, head: nn.Module, part: str) -> NDArray[np.uint8]:
        """Packed codes (n, n_bytes) of the "train" or "validation" rows, as a head is now.

        Those of items that lack the modality are 0.
        """

    def features(self, run: checkpoint.Run) -> Mapping[str, Tensor]:
        """Features (n_items, d) of each modality, by the towers that the run ends with."""


def load_dataset(config: TrainConfig) -> ImageTextDataset:
    """The dataset of a configuration."""
    return data.load(**dataclasses.asdict(config.data))


def open_inputs(config: TrainConfig, dataset: ImageTextDataset, device: torch.device) -> Inputs:
    """The inputs of a configuration.

    Raises:
        DistillError: the encoder is not there, or the dataset cannot be used with it or with the
            method.
    """
    check_settings(config)
    check_dataset(config, dataset)
    if config.method in PROMPTED and config.soda.prompt != "multihot":
        _warn_of_numbers(dataset)
    encoder = load_encoder(config.encoder, device)
    kind = FrozenInputs if config.encoder.mode == "frozen" else TunedInputs
    return kind(encoder, dataset, config, device)


def _warn_of_numbers(dataset: ImageTextDataset) -> None:
    """Say that label prompts of numbers carry no meaning."""
    names = dataset.label_names
    if names and all(re.fullmatch(r"label \d+", name) for name in names):
        _log.warning(
            "%s: labels have only numbers for names, so that label prompts carry no meaning: take "
            "--soda.prompt multihot, or name the labels in a classes.txt beside the data",
            dataset.name,
        )


class FrozenInputs:
    """Features of frozen towers: the heads are all that learns.

    Args:
        encoder: the towers; its features are cached.
        dataset: images, texts, labels and splits.
        config: cache and label prompt are used.
        device: where the features lie.
    """

    def __init__(
        self,
        encoder: Encoder,
        dataset: ImageTextDataset,
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        self._dataset = dataset
        found = encode_dataset(encoder, dataset, config)
        split = training_split(encoder, dataset, found, config)
        self._features = {m: values.to(device) for m, values in found.items()}
        self.split = _moved(split, device)
        self.dims = {m: values.shape[1] for m, values in split.features.items()}
        self.dims["classes"] = split.labels.shape[1]

    def wrap(self, modality: str, head: nn.Module) -> nn.Module:
        """Let a head that z-scores see the training features; a head is all there is to train."""
        standardise(head, self.split.features[modality][self.split.has(modality)])
        return head

    def codes(self, modality: str, head: nn.Module, part: str) -> NDArray[np.uint8]:
        """See `Inputs`."""
        rows = self._dataset.splits[part]
        taken = self._features[modality][torch.tensor(rows, device=self.split.labels.device)]
        return packed_codes(head, taken) * self._dataset.has(modality)[rows, None]

    def features(self, run: checkpoint.Run) -> Mapping[str, Tensor]:  # noqa: ARG002
        """See `Inputs`."""
        return self._features


class TunedInputs:
    """Pixels and tokens, for towers that learn with their heads.

    Args:
        encoder: the pretrained towers, from which every branch starts.
        dataset: images, texts, labels and splits.
        config: label prompt and precision are used.
        device: where pixels and tokens lie.

    Raises:
        DistillError: the dataset brings features, or a tower cannot take the label prompt.
    """

    def __init__(
        self,
        encoder: Encoder,
        dataset: ImageTextDataset,
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        check_tunable(dataset, config)
        self._encoder, self._dataset, self._config = encoder, dataset, config
        self._towers: dict[str, Tuned] = {}
        parts = [part for part in ("train", "validation") if len(dataset.splits[part])]
        self._parts = {part: self._inputs(part, device) for part in parts}
        self.split = self._parts["train"]
        image, text = dataset.image(0), dataset.texts[:1]
        self.dims = {
            "image": encoder.encode_images([image]).shape[1],
            "text": encoder.encode_texts(text).shape[1],
        }
        if config.method in PROMPTED:
            prompts = self.split.features["label"]
            is_vector = prompts.is_floating_point()
            self.dims["label"] = prompts.shape[1] if is_vector else self.dims["text"]
        self.dims["classes"] = self.split.labels.shape[1]

    def wrap(self, modality: str, head: nn.Module) -> nn.Module:
        """Put a head on a tower of its own; a label vector needs none."""
        if self.split.features[modality].is_floating_point():
            return head
        encoder = self._encoder
        tower = encoder.image_tower() if modality == "image" else encoder.text_tower()
        self._towers[modality] = Tuned(tower, head, self._config.optim.precision)
        return self._towers[modality]

    def codes(self, modality: str, head: nn.Module, part: str) -> NDArray[np.uint8]:  # noqa: ARG002
        """See `Inputs`."""
        return packed(codes_of(self._towers[modality], self._parts[part], modality))

    def features(self, run: checkpoint.Run) -> Mapping[str, Tensor]:
        """See `Inputs`; the towers are written to the run, from where anyone can load them."""
        device = self.split.labels.device
        weights = tuned_weights(self._towers, self._encoder.preprocessing)
        file = checkpoint.save_encoder(run, weights)
        encoder = load_encoder(run.config.encoder, device, file)
        found = encode_dataset(encoder, self._dataset, run.config)
        return {m: values.to(device) for m, values in found.items()}

    def _inputs(self, part: str, device: torch.device) -> InputSplit:
        encoder, dataset = self._encoder, self._dataset
        rows = dataset.splits[part]
        labels = torch.tensor(dataset.labels[rows]).float()
        with parallel.progress_bar(f"{part} images", len(rows), unit="images") as advance:
            images = (dataset.image(int(i)) for i in rows)
            features = {"image": encoder.pixels(images, len(rows), done=advance)}
        features["text"] = encoder.tokens(dataset.texts[i] for i in rows)
        if part == "train":
            if self._config.method not in UNLABELLED:
                check_labelled(labels)
            if self._config.method in PROMPTED:
                features["label"] = self._label_inputs(labels)
        moved = {m: values.to(device) for m, values in features.items()}
        mean, deviation = (values.to(device) for values in encoder.normalisation)
        return InputSplit(moved, labels.to(device), mean, deviation)

    def _label_inputs(self, labels: Tensor) -> Tensor:
        """Tokens of the label prompts, or the label vectors themselves."""
        soda, names = self._config.soda, self._dataset.label_names
        if soda.prompt == "multihot":
            return labels
        style = "bare" if soda.prompt == "bare" else "sentence"
        prompts = label_prompts(labels, names, style=style, template=soda.template)
        return self._encoder.tokens(prompts)


def encode_dataset(
    encoder: Encoder, dataset: ImageTextDataset, config: TrainConfig
) -> dict[str, Tensor]:
    """Features (n_items, d) of each modality that is used; labels are not touched.

    What the dataset brings as features is taken as it is. Features of items that lack a modality
    are 0.
    """
    return {m: _features(encoder, dataset, m, config.encoder.cache) for m in dataset.chosen}


def _features(
    encoder: Encoder, dataset: ImageTextDataset, modality: str, cache: Path | None
) -> Tensor:
    has = dataset.has(modality)
    if modality in dataset.features:
        values = dataset.features[modality]
        return torch.from_numpy(np.where(has[:, None], values, np.float32(0)))
    own = {"image": Modality(images=dataset.images), "text": Modality(texts=dataset.texts)}
    items, rows = (own | dict(dataset.others))[modality], np.flatnonzero(has)
    if items.images is not None:
        pictures = Pictures(ChosenImages(items.images, rows))
        found = image_features(encoder, pictures, cache=cache)
    else:
        assert items.texts is not None
        found = text_features(encoder, [items.texts[i] for i in rows], cache=cache)
    whole = torch.zeros(len(dataset), found.shape[1])
    whole[torch.from_numpy(rows)] = found
    return whole


def training_split(
    encoder: Encoder,
    dataset: ImageTextDataset,
    features: Mapping[str, Tensor],
    config: TrainConfig,
) -> Split:
    """The rows that are learned from, with their labels and, where they are used, label prompts.

    The labels of unlabelled rows are NaN, so that no method can read them. Only with
    `config.skdch.authors_leak` they are there.

    Raises:
        DistillError: a labelled row has no label, or labels that are to leak are not there.
    """
    rows = learned_rows(config, dataset)
    labels = torch.tensor(dataset.labels[rows]).float()
    hidden = torch.from_numpy(~np.isin(rows, dataset.splits["train"]))
    if config.method not in UNLABELLED:
        check_labelled(labels[~hidden])
    if not config.skdch.authors_leak or config.method not in SEMI_SUPERVISED:
        labels[hidden] = torch.nan
    elif not labels.any(dim=1).all():
        raise DistillError(
            f"authors_leak: expected labels of all unlabelled items of {dataset.name}, got items "
            "without any; leave it out"
        )
    index = torch.tensor(rows)
    taken = {m: values[index] for m, values in features.items()}
    if config.method in PROMPTED:
        taken["label"] = prompt_features(
            labels,
            dataset.label_names,
            lambda texts: text_features(encoder, texts, cache=config.encoder.cache),
            style=config.soda.prompt,
            template=config.soda.template,
        )
    masks = {m: torch.from_numpy(dataset.has(m)[rows]) for m in features}
    return Split(
        taken,
        labels,
        hidden=hidden if hidden.any() else None,
        present={m: mask for m, mask in masks.items() if not mask.all()},
    )


def packed_codes(head: nn.Module, features: Tensor) -> NDArray[np.uint8]:
    """Codes (n, n_bytes) of features (n, d): bit = h > 0."""
    return packed(head_output(head, features))


def packed(values: Tensor) -> NDArray[np.uint8]:
    """Codes (n, n_bytes) of continuous ones (n, n_bits): bit = x > 0."""
    codes: Any = hamming.pack(values.cpu().numpy())
    return np.asarray(codes)


def _moved(split: Split, device: torch.device) -> Split:
    return Split(
        {m: values.to(device) for m, values in split.features.items()},
        split.labels.to(device),
        hidden=None if split.hidden is None else split.hidden.to(device),
        present={m: mask.to(device) for m, mask in split.present.items()},
    )
