"""A stronger teacher, for one question: does the mask help where clusters are nearly classes?

It sees the labels of the training images, so that nothing it does is a result of unsupervised
hashing; its students see none.
"""

from __future__ import annotations

import math

from torch import nn
from torch.nn import functional

from distill.heads import LogitHead
from distill.losses.hashing import straight_through_sign
from distill.methods.base import Method, Stage
from distill.methods.views import view_pair
from distill.types import Batch, LossTerms, Split


class Labelled(Stage):
    """One term: cross-entropy of the class, told linearly from the code of a view."""

    name = "teacher"
    modalities = ("teacher",)

    def __init__(self, head: LogitHead, n_bits: int, n_classes: int) -> None:
        classifier = nn.Linear(n_bits, n_classes)
        self.modules = nn.ModuleDict({"teacher": head, "classifier": classifier})
        self.weights = {"classes": 1.0}
        self._scale = 1 / math.sqrt(n_bits)
        self._head, self._classifier = head, classifier

    def prepare(self, split: Split) -> None:
        """Z-score by the training views."""
        self._head.standardise(split.features["teacher"])

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        view, _ = view_pair(batch.features, self.modalities)
        codes = straight_through_sign(self._head(view["teacher"]))
        classes = self._classifier(codes * self._scale)
        return {"classes": functional.cross_entropy(classes, batch.labels.argmax(dim=1))}


def build(in_dim: int, n_bits: int, n_classes: int) -> Method:
    """The teacher's head and its stage."""
    head = LogitHead(in_dim, n_bits, "linear")
    return Method((Labelled(head, n_bits, n_classes),), nn.ModuleDict({"teacher": head}))
