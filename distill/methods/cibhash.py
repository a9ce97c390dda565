"""CIBHash on frozen features: an unsupervised image hash from pairs of augmented views.

After "Unsupervised Hashing with Contrastive Information Bottleneck" (Qiu et al., IJCAI 2021), with
the loss as BRCD's released teacher has it: NT-Xent on sign codes, straight through, and the KL
divergence of the bit probabilities.
"""

import dataclasses
from collections.abc import Mapping

from torch import nn

from distill.config import HashingConfig, TrainConfig
from distill.heads import LogitHead
from distill.methods.base import Method, Stage
from distill.methods.views import cibhash_terms, view_pair
from distill.types import Batch, LossTerms, Split


class Cibhash(Stage):
    """The one stage; terms as in `views.cibhash_terms`."""

    name = "teacher"
    modalities = ("teacher",)
    least = 2

    def __init__(self, head: LogitHead, config: HashingConfig) -> None:
        self.modules = nn.ModuleDict({"teacher": head})
        self.weights = {"contrast": 1.0, "divergence": config.kl}
        self.config = config
        self._head = head

    def prepare(self, split: Split) -> None:
        """Z-score by the training views."""
        self._head.standardise(split.features["teacher"])

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        first, second = view_pair(batch.features, self.modalities)
        x_i, x_j = self._head(first["teacher"]), self._head(second["teacher"])
        return cibhash_terms(x_i, x_j, tau=self.config.tau)


def build(config: TrainConfig, dims: Mapping[str, int]) -> Method:
    """The teacher's head and its stage.

    Args:
        config: bits, head and the hashing table are used.
        dims: "teacher" -> width of its features.
    """
    head = LogitHead(dims["teacher"], config.bits, **dataclasses.asdict(config.head))
    return Method((Cibhash(head, config.hashing),), nn.ModuleDict({"teacher": head}))
