"""Bi-half on frozen features: every bit is on for half of a batch, by construction.

After "Deep Unsupervised Image Hashing by Maximizing Bit Entropy" (Li and van Gemert, AAAI 2021).
"""

import dataclasses
from collections.abc import Mapping

from torch import nn

from distill.config import HashingConfig, TrainConfig
from distill.heads import LogitHead
from distill.losses.hashing import bi_half, bi_half_similarity
from distill.methods.base import Method, Stage
from distill.methods.views import view_pair
from distill.types import Batch, LossTerms, Split


class Bihalf(Stage):
    """The one stage: codes of a bi-half layer are as similar as the z-scored features they are of.

    One random view of each image is looked at.
    """

    name = "teacher"
    modalities = ("teacher",)
    least = 2

    def __init__(self, head: LogitHead, config: HashingConfig) -> None:
        self.modules = nn.ModuleDict({"teacher": head})
        self.weights = {"similarity": 1.0}
        self.config = config
        self._head = head

    def prepare(self, split: Split) -> None:
        """Z-score by the training views."""
        self._head.standardise(split.features["teacher"])

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        view, _ = view_pair(batch.features, self.modalities)
        features = view["teacher"]
        codes = bi_half(self._head(features), self.config.gamma)
        return {"similarity": bi_half_similarity(codes, self._head.z_scored(features))}


def build(config: TrainConfig, dims: Mapping[str, int]) -> Method:
    """The teacher's head and its stage (see `cibhash.build`)."""
    head = LogitHead(dims["teacher"], config.bits, **dataclasses.asdict(config.head))
    return Method((Bihalf(head, config.hashing),), nn.ModuleDict({"teacher": head}))
