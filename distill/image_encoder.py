"""The encoder that an image-hashing run leaves behind: pictures to logits, teacher or student."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from distill.checkpoint import Run
from distill.config import TrainConfig
from distill.encoders.augment import clean_view
from distill.encoders.backbones import Backbone, load_backbone
from distill.heads import build_heads
from distill.types import DistillError

TEACHERS = ("cibhash", "bihalf")
"""Methods whose runs a student can learn from."""
METHODS = (*TEACHERS, "brcd")
"""Those that hash images alone."""
BATCH_SIZE = 64
Model = Literal["student", "teacher"]


def models_of(config: TrainConfig) -> tuple[Model, ...]:
    """The models that a run encodes with, the one meant for queries first."""
    return ("student", "teacher") if config.method == "brcd" else ("teacher",)


def open_backbone(config: TrainConfig, model: Model, device: str = "cpu") -> Backbone:
    """The frozen backbone of a model of a run.

    Raises:
        DistillError: as `load_backbone`, but naming the setting.
    """
    images = config.images
    if model == "teacher":
        name, size, weights = images.backbone, images.backbone_size, images.backbone_weights
    else:
        name, size, weights = images.student, images.student_size, images.student_weights
    try:
        return load_backbone(name, image_size=size, pretrained=weights, device=device)
    except DistillError as error:
        setting = "backbone" if model == "teacher" else "student"
        argument, colon, rest = str(error).partition(":")
        own = {"image_size": "_size", "pretrained": "_weights", "backbone": "", "teacher": ""}
        if argument not in own:
            raise
        raise DistillError(f"{setting}{own[argument]}{colon}{rest}") from error


class ImageEncoder:
    """Pictures to features by a run's frozen backbone, and its hash head.

    Args:
        run: a finished run of one of `METHODS`.
        model: "teacher" or "student"; None is the student where the run has one.
        device: where the backbone runs and features lie.

    Raises:
        DistillError: the run has no such model, or its weights are not there.
    """

    def __init__(self, run: Run, model: Model | None = None, device: str = "cpu") -> None:
        known = models_of(run.config)
        self.model: Model = model or known[0]
        if self.model not in known:
            raise DistillError(
                f"model: expected {' or '.join(known)} of the {run.config.method} run {run.path}, "
                f"got {self.model}; leave it out"
            )
        self.head: nn.Module = build_heads(*run.weights())[self.model].to(device)
        self.backbone = open_backbone(run.config, self.model, device)
        self.size = self.backbone.image_size

    def encode_images(
        self, images: Iterable[Image.Image], *, done: Callable[[int], object] | None = None
    ) -> Tensor:
        """Images (RGB, any size) to features (n, d) float32; of an image its middle square.

        Args:
            images: read one batch at a time.
            done: called after each batch with its size.
        """
        features = []
        for pixels in pixel_batches(images, self.size):
            features.append(as_cached(self.backbone.features(pixels)))
            if done:
                done(len(pixels))
        if not features:
            raise DistillError("encode: expected at least one item, got none")
        return torch.cat(features)


def as_cached(features: Tensor) -> Tensor:
    """Features rounded as the cache rounds those that a run trains on and whose codes it keeps."""
    return features.half().float()


def pixel_batches(images: Iterable[Image.Image], size: int) -> Iterator[Tensor]:
    """Clean views (B, 3, size, size) uint8, a batch at a time."""
    iterator = iter(images)
    while batch := [clean_view(image, size) for image in islice(iterator, BATCH_SIZE)]:
        yield torch.from_numpy(np.stack(batch))
