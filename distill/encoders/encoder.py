"""Pretrained towers on open_clip: images and texts to features, or to what the towers take.

A feature is what the pretrained weights end in. Of a CLIP model that is its embedding. The bundled
models join two towers that were never trained together, so a projection between them would be
random: their configs have none, and features are the image trunk's pooled output (1280-d) and
MiniLM's mean-pooled tokens (384-d).
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from distill.config import EncoderConfig
from distill.encoders.sources import Source, find_source, register
from distill.encoders.torchvision_guard import import_open_clip
from distill.encoders.tuned import TextTower, image_tower, load_tuned, preprocess_of
from distill.encoders.weights import first_line, load_in_order, quiet, seeded
from distill.types import DistillError

BATCH_SIZE = 64
"""Items per forward pass."""

T = TypeVar("T")


class Encoder:
    """One frozen model for both modalities; loaded when the first item is encoded.

    Args:
        config: model, weights.
        device: where the model runs and features lie: "cpu", "cuda", ...
        tuned: file of fine-tuned weights, as a run leaves it; they take the place of the others.

    Raises:
        DistillError: unknown model, missing package or missing weights.
    """

    def __init__(
        self, config: EncoderConfig, device: str | torch.device = "cpu", tuned: Path | None = None
    ) -> None:
        self.source = find_source(config, tuned)
        self.device = device
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """A text that changes whenever the features would."""
        return self.source.identity

    def encode_images(
        self, images: Iterable[Image.Image], *, done: Callable[[int], object] | None = None
    ) -> Tensor:
        """Images (RGB, any size) to features (n, d) float32.

        Args:
            images: read one at a time; of a batch only what the tower takes is kept.
            done: called after each batch with its size.
        """

        def forward(batch: list[Tensor]) -> Tensor:
            return self._towers.model.encode_image(torch.stack(batch).to(self.device))

        return _in_batches(forward, map(self._towers.preprocess, images), done)

    def encode_texts(
        self, texts: Iterable[str], *, done: Callable[[int], object] | None = None
    ) -> Tensor:
        """Texts to features (n, d) float32.

        Args:
            texts: read one batch at a time.
            done: called after each batch with its size.
        """

        def forward(batch: list[str]) -> Tensor:
            return self._towers.model.encode_text(self._towers.tokenize(batch).to(self.device))

        return _in_batches(forward, texts, done)

    def pixels(
        self, images: Iterable[Image.Image], n: int, *, done: Callable[[int], object] | None = None
    ) -> Tensor:
        """Images (RGB, any size) to the pixels (n, 3, H, W) uint8 of which `normalised` is a batch.

        Args:
            images: read one at a time.
            n: how many there are.
            done: called after each image with 1.
        """
        geometry = self._towers.preprocess.transforms[:-2]  # then come division and normalisation
        found = torch.empty(0, dtype=torch.uint8)
        for i, image in enumerate(images):
            for step in geometry:
                image = step(image)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            if not i:
                found = torch.empty(n, *pixels.shape, dtype=torch.uint8)
            found[i] = pixels
            if done:
                done(1)
        return found

    def tokens(self, texts: Iterable[str]) -> Tensor:
        """Texts to tokens (n, L) int64."""
        found: Tensor = self._towers.tokenize(list(texts))
        return found

    @property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each channel, (3, 1, 1), for `InputSplit`."""
        last = self._towers.preprocess.transforms[-1]
        mean, deviation = (torch.tensor(tuple(v)).view(-1, 1, 1) for v in (last.mean, last.std))
        return mean, deviation

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The settings of the preprocessing, which weights alone do not tell."""
        return dict(self._towers.model.visual.preprocess_cfg)

    def image_tower(self) -> nn.Module:
        """A copy of the image tower that can learn: normalised images to features."""
        return image_tower(self._towers.model)

    def text_tower(self) -> nn.Module:
        """A copy of the text tower that can learn: tokens to features."""
        return TextTower(self._towers.model)

    @property
    def _towers(self) -> "_Towers":
        with self._lock:  # threads that search may ask at once: the weights are loaded once
            return self._loaded

    @cached_property
    def _loaded(self) -> "_Towers":
        return _Towers(self.source, self.device)


def load_encoder(
    config: EncoderConfig, device: str | torch.device = "cpu", tuned: Path | None = None
) -> Encoder:
    """The encoder of a configuration (see `Encoder`)."""
    return Encoder(config, device, tuned)


class _Towers:
    """The loaded model, in eval mode and without gradients, with its preprocessing."""

    def __init__(self, source: Source, device: str | torch.device) -> None:
        open_clip = import_open_clip()
        self.model = load_model(source)
        with _loading(source):
            self.tokenize = open_clip.get_tokenizer(source.name)
        self.model.eval().requires_grad_(False).to(device)
        self.model.visual.to(memory_format=torch.channels_last)  # convolutions run 3.6 x faster
        config = open_clip.transform.PreprocessCfg(**self.model.visual.preprocess_cfg)
        self.preprocess = open_clip.transform.image_transform_v2(config, is_train=False)


def load_model(source: Source, **settings: Any) -> Any:
    """Make the open_clip model of a source, with its weights.

    Args:
        source: from `find_source`.
        settings: further arguments of `open_clip.create_model`.

    Raises:
        DistillError: open_clip cannot make it.
    """
    open_clip = import_open_clip()
    register(source.name)
    if source.trunk:
        settings["force_preprocess_cfg"] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    if source.tuned:
        settings["force_preprocess_cfg"] = preprocess_of(source.tuned)
    with _loading(source), seeded():
        model = open_clip.create_model(source.name, pretrained=source.pretrained, **settings)
    if source.trunk:
        load_in_order(model.visual.trunk, source.trunk)
    if source.tuned:
        load_tuned(model, source.tuned)
    return model


def _in_batches(
    forward: Callable[[list[T]], Tensor],
    items: Iterable[T],
    done: Callable[[int], object] | None,
) -> Tensor:
    features: list[Tensor] = []
    iterator = iter(items)
    with torch.inference_mode():
        while batch := list(islice(iterator, BATCH_SIZE)):
            features.append(forward(batch).float())
            if done:
                done(len(batch))
    if not features:
        raise DistillError("encode: expected at least one item, got none")
    return torch.cat(features)


@contextlib.contextmanager
def _loading(source: Source) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:  # open_clip and its hubs raise anything, down to bare KeyErrors
        raise DistillError(
            f"pretrained: expected to load {source.name} with "
            f"{source.pretrained or 'its own weights'}, got: {first_line(error)}; "
            f"without network give --pretrained the path of a downloaded weights file"
        ) from error
