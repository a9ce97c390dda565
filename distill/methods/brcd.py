"""BRCD on frozen features: a small student learns the codes of a frozen hashing teacher.

After "Bit-mask Robust Contrastive Knowledge Distillation for Unsupervised Semantic Hashing" (He et
al., WWW 2024), from its released code; docs/brcd.md says what is reconstructed. The losses it is
compared with share its frame: same head, batches and views.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.clusters import Clusters, cluster_codes, mask_of
from distill.config import TrainConfig
from distill.heads import LogitHead, head_output
from distill.losses import relations
from distill.losses.distillation import brcd_loss
from distill.losses.hashing import straight_through_sign
from distill.losses.quantization import sign
from distill.methods.base import Method, Stage
from distill.methods.views import cibhash_terms, view_pair
from distill.types import Batch, LossTerms, Split

RKD_DISTANCE, RKD_ANGLE = 25.0, 50.0
"""The weights inside RKD, as the released code has them."""


def _rkd(student: Tensor, teacher: Tensor) -> Tensor:
    distance = relations.relational_distance(student, teacher)
    return RKD_DISTANCE * distance + RKD_ANGLE * relations.relational_angle(student, teacher)


ON_CODES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pointwise": relations.pointwise_cosine,
    "hinton": relations.hinton_kl,
    "rkd": _rkd,
    "pkt": relations.pkt,
    "sp": relations.similarity_preserving,
}
"""Losses of the student's and the teacher's sign codes of one view."""


class Distillation(Stage):
    """The one stage.

    Terms: CIBHash's of the student's own two views, where wanted, and distill, the loss named by
    `config.kind`. The teacher is used, never trained, and stays as it is.

    Attributes:
        clusters: of the teacher's codes, once prepared and only for BRCD.
        mask: (K, n_bits) factors of the bits in each cluster.
    """

    clusters: Clusters | None = None
    mask: Tensor

    name = "student"
    modalities = ("student", "teacher")
    least = 2

    def __init__(
        self, student: LogitHead, teacher: nn.Module, config: TrainConfig, cache: Path | None
    ) -> None:
        self.modules = nn.ModuleDict({"student": student})
        self.settings, self.hashing = config.distill, config.hashing
        self.weights = {}
        if self.settings.own_loss:
            self.weights |= {"contrast": 1.0, "divergence": config.hashing.kl}
        if self.settings.kind != "alone":
            self.weights["distill"] = self.settings.weight
        self._student = student
        self._teacher = teacher.eval().requires_grad_(False)
        self._seed, self._cache = config.seed, cache

    def prepare(self, split: Split) -> None:
        """Z-score by the training views; for BRCD, cluster the teacher's codes of clean images."""
        self._student.standardise(split.features["student"])
        if self.settings.kind == "brcd":
            self.clusters = cluster_codes(
                sign(head_output(self._teacher, split.features["clean"])),
                self.settings.clusters,
                margin=self.settings.margin,
                seed=self._seed,
                cache=self._cache,
            )
            self.mask = mask_of(self.clusters, self.settings.mask)

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        first, second = view_pair(batch.features, self.modalities)
        x_i = self._student(first["student"])
        terms: LossTerms = {}
        if self.settings.own_loss:
            terms |= cibhash_terms(x_i, self._student(second["student"]), tau=self.hashing.tau)
        if self.settings.kind == "alone":
            return terms
        with torch.no_grad():
            t_i, t_j = (sign(self._teacher(view["teacher"])) for view in (first, second))
        return terms | {"distill": self._distill(x_i, t_i, t_j, batch.index)}

    def _distill(self, x_i: Tensor, t_i: Tensor, t_j: Tensor, index: Tensor) -> Tensor:
        settings = self.settings
        if settings.kind == "bce":
            return relations.bitwise_cross_entropy(x_i, t_i)
        z_i = straight_through_sign(x_i)
        if self.clusters is None:
            return ON_CODES[settings.kind](z_i, t_i)
        return brcd_loss(
            z_i,
            t_i,
            t_j,
            self.clusters.labels[index],
            self.clusters.centers,
            self.mask,
            alpha=settings.alpha,
            tau=settings.tau,
            mode=settings.mode,
            filter=settings.filter,
        )


def build(
    config: TrainConfig, dims: Mapping[str, int], teacher: nn.Module, *, cache: Path | None = None
) -> Method:
    """The student's head and its stage.

    Args:
        config: bits, seed, head and the tables hashing and distill are used.
        dims: "student" -> width of its features.
        teacher: the trained head, of as many bits.
        cache: folder in which the clusters are kept; None is nowhere.
    """
    head = LogitHead(dims["student"], config.bits, **dataclasses.asdict(config.head))
    stage = Distillation(head, teacher, config, cache)
    return Method((stage,), nn.ModuleDict({"student": head}))
