"""Training rows as towers take them: pixels and tokens, made once and normalised batch by batch."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from distill.types import Batch, Split


@dataclass(frozen=True)
class InputSplit(Split):
    """A split of "image" pixels (n, 3, H, W) uint8 and of "text" and "label" tokens (n, L) int64.

    Whole numbers of a byte are a quarter of what a batch is made of, so that all of them fit in
    memory and a step decodes nothing.

    Attributes:
        mean: (3, 1, 1) of the encoder's `normalisation`.
        deviation: (3, 1, 1) of the same.
    """

    mean: Tensor
    deviation: Tensor

    def batches(self, parts: Sequence[Tensor], epoch: int) -> Iterator[Batch]:
        """See `Split.batches`; images are as the encoder's preprocessing makes them, float32."""
        for batch in super().batches(parts, epoch):
            features = dict(batch.features)
            if "image" in features:
                pixels = features["image"].float().div(255)
                features["image"] = pixels.sub(self.mean).div(self.deviation)
            yield dataclasses.replace(batch, features=features)
