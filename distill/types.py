"""The vocabulary shared by every room of distill: what the data of a training run look like."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
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
            Of methods on augmented views "teacher" and "student", (n, V, d), and "clean", (n, d) of
            the teacher on the image as it is.
        labels: (n, n_labels) float32, 0 or 1; NaN in rows whose labels are hidden.
        hidden: (n) bool, the items that are learned from without their labels; None: there are
            none.
        present: modality -> (n) bool, the items that have it; a modality that is absent here is had
            by all. The features of an item that lacks it mean nothing.
    """

    features: Mapping[str, Tensor]
    labels: Tensor
    hidden: Tensor | None = field(default=None, kw_only=True)
    present: Mapping[str, Tensor] = field(default_factory=dict, kw_only=True)

    @property
    def labelled(self) -> Tensor:
        """(n) bool, the items whose labels may be read."""
        everything = torch.ones(len(self.labels), dtype=torch.bool, device=self.labels.device)
        return everything if self.hidden is None else ~self.hidden

    def has(self, modality: str) -> Tensor:
        """(n) bool, the items that have a modality."""
        everything = torch.ones(len(self.labels), dtype=torch.bool, device=self.labels.device)
        return self.present.get(modality, everything)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, parts: Sequence[Tensor], epoch: int) -> "Iterator[Batch]":  # noqa: ARG002
        """The rows of each part, in order.

        Args:
            parts: (B,) int64 row numbers of each batch.
            epoch: from 0; what is drawn afresh in every epoch depends on it.
        """
        for index in parts:
            features = {modality: values[index] for modality, values in self.features.items()}
            yield Batch(index, features, self.labels[index])


@dataclass(frozen=True)
class Batch:
    """Some rows of a training split.

    Attributes:
        index: (B,) int64 row numbers in the training split.
        features: modality -> (B, d) float32, or (B, V, d) of augmented views.
        labels: (B, n_labels) float32, 0 or 1.
    """

    index: Tensor
    features: Mapping[str, Tensor]
    labels: Tensor
