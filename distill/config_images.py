"""Settings of the methods that hash images: teachers, and the students distilled from them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from distill.tables import require, require_weights

Kind = Literal["brcd", "alone", "pointwise", "bce", "hinton", "rkd", "pkt", "sp"]


@dataclass(frozen=True)
class ImagesConfig:
    """Image hashing: the frozen backbones and the augmented views they look at."""

    backbone: str = "efficientnet_lite2"
    """Backbone of the hashing teacher; a student's run takes it from --teacher-run."""
    backbone_size: int = 96
    """Side in pixels of the images that the teacher's backbone gets."""
    backbone_weights: Annotated[str | None, arg(metavar="FILE|random")] = None
    """The teacher's weights; without it those that pip or timm bring."""
    teacher_run: Annotated[Path | None, arg(metavar="DIR")] = None
    """Run folder of the trained teacher, for --method brcd."""
    student: str = "efficientnet_lite0"
    """Backbone of the student, for --method brcd."""
    student_size: int = 64
    """Side in pixels of the images that the student's backbone gets."""
    student_weights: Annotated[str | None, arg(metavar="FILE|random")] = None
    """The student's weights; without it those that pip or timm bring."""
    learn_from: Literal["train", "database"] = "train"
    """Images that a student learns from: train, those of its teacher; database, all that will be
    searched, but for those of validation. No label is read of either."""
    views: int = 4
    """Augmented views of each training image, computed once and kept in the cache."""
    clean_view: bool = False
    """The picture as it is is one more view: queries and database are such pictures."""
    view_seed: int = 0
    """Seed of the augmentations."""
    blur: bool = False
    """Blur half of the views too, as the original augmentation does."""
    online: bool = False
    """Fresh augmentations at every step in place of cached views: slow without a GPU."""

    def __post_init__(self) -> None:
        require(self.backbone_size >= 32, "backbone_size", "at least 32", self.backbone_size)
        require(self.student_size >= 32, "student_size", "at least 32", self.student_size)
        require(self.views >= 2, "views", "at least 2, to have a pair", self.views)
        require(self.view_seed >= 0, "view_seed", "at least 0", self.view_seed)
        apart = not (self.online and self.clean_view)
        require(apart, "clean_view", "off with --online, whose views are all new", True)


@dataclass(frozen=True)
class HashingConfig:
    """What an unsupervised image hash learns from two views of each image.

    The CIBHash terms train the teacher cibhash, and are a student's own loss; bihalf has its own.
    """

    tau: float = 0.3
    """Temperature of the contrast between views."""
    kl: float = 0.001
    """Weight of the divergence between the bit probabilities of two views."""
    gamma: float = 6.0
    """How strongly bihalf pulls a logit towards its assigned bit."""

    def __post_init__(self) -> None:
        require(0 < self.tau < math.inf, "tau", "a positive finite number", self.tau)
        require_weights(kl=self.kl, gamma=self.gamma)


@dataclass(frozen=True)
class DistillConfig:
    """BRCD, and in its place the losses it is compared with.

    The defaults of alpha, tau, margin and clusters are those known for CIFAR-10 at 64 bits.
    """

    kind: Kind = "brcd"
    """brcd; alone: no distillation; pointwise: cosine of student and teacher code; bce: bitwise
    cross-entropy; hinton, rkd, pkt, sp: distillation losses of the literature on sign codes."""
    weight: float = 1.0
    """Weight of the distillation loss."""
    own_loss: bool = True
    """Whether the student also has CIBHash's loss on its own two views."""
    mode: Literal["intended", "released"] = "intended"
    """released: cluster and row rules as in the released code, for audit; see docs/brcd.md."""
    mask: Literal["on", "off", "soft", "zero"] = "on"
    """Bits compared within a cluster: on, those whose mean exceeds the margin; off, all; soft, all,
    weighted by the size of their mean; zero, none, which is what the released mask amounts to."""
    filter: Literal["full", "negatives", "none"] = "full"
    """full: drop negatives of the same cluster and distrust views that left theirs; negatives: the
    first only; none: neither."""
    alpha: float = 0.8
    """Share of the image's own teacher code in the positive; the rest is its other view's."""
    tau: float = 0.3
    """Temperature of the distillation contrast."""
    margin: float = 0.5
    """A bit counts in a cluster if the size of its mean there exceeds this."""
    clusters: int = 10
    """Number of clusters of the teacher's codes."""

    def __post_init__(self) -> None:
        require_weights(weight=self.weight)
        require(0 <= self.alpha <= 1, "alpha", "a share in [0, 1]", self.alpha)
        require(0 < self.tau < math.inf, "tau", "a positive finite number", self.tau)
        require(0 <= self.margin < 1, "margin", "at least 0 and below 1", self.margin)
        require(self.clusters >= 2, "clusters", "at least 2", self.clusters)
        require(
            self.own_loss or self.kind != "alone", "own_loss", "on for a student alone", "no loss"
        )
