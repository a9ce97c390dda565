"""The vocabulary shared by every room of distill: what the data of a training run look like."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

LossTerms = dict[str, Tensor]
"""Named scalar loss terms, unweighted: weights are configuration and the loop sums."""


class DistillError(ValueError):
    """A mistake the user can cause and cure; commands print it as one sentence and exit with 2."""


@dataclass(frozen=True)
class Split:
    """Frozen features and labels of one part of a dataset, row i of everything being item i.

    Attributes:
        features: modality -> (n, d) float32; "image", "text" and, for training, "label" (prompts).
        labels: (n, n_labels) float32, 0 or 1.
    """

    features: Mapping[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Batch:
    """Some rows of a training split.

    Attributes:
        index: (B,) int64 row numbers in the training split.
        features: modality -> (B, d) float32.
        labels: (B, n_labels) float32, 0 or 1.
    """

    index: Tensor
    features: Mapping[str, Tensor]
    labels: Tensor
