"""Settings of SKDCH and of the parts of it that are methods of their own."""

import math
from dataclasses import dataclass
from typing import Literal

from distill.tables import require, require_weights


@dataclass(frozen=True)
class SkdchConfig:
    """SKDCH: a semi-supervised teacher, pseudo-labels by its neighbours, a supervised student.

    schgan is the teacher alone; triplet is the student alone, from the labelled items.
    """

    loss: Literal["improved", "plain"] = "improved"
    """The student's ranking loss. improved: negatives are far from the positive too, and positives
    are pulled by their own distance; plain: the teacher's."""
    margin: float = 0.125
    """By how much a negative shall lie farther than a positive, as a share of the bits."""
    pull: float = 0.02
    """Of the improved loss: weight of the distance to the positive."""
    offset: float = 0.1
    """Of the same: what is added to that distance; it has no gradient."""
    partner: float = 0.1
    """Weight of telling an item's own partner from others, by the distance as a logit."""
    triplets: int = 4
    """Triplets of an item and direction in the teacher's steps."""
    student_triplets: int = 2
    """The same in the student's."""
    sampling: Literal["batch", "all"] = "batch"
    """Where positives and random negatives are drawn: among the items of the batch, whose codes are
    there already, or among all that are labelled."""
    pretraining: int = 40
    """Epochs of teacher and student with the plain loss, before what is theirs."""
    rounds: int = 10
    """Rounds of the teacher's adversarial training."""
    generator_epochs: int = 2
    """Epochs of the generator in a round."""
    discriminator_epochs: int = 1
    """Epochs of the discriminator in a round, after the generator's."""
    generator_rate: float = 1.0
    """Factor on the generator's learning rate."""
    discriminator_rate: float = 1.0
    """Factor on the discriminator's learning rate in the rounds."""
    student_rate: float = 1.0
    """Factor on the student's learning rate after its pre-training."""
    candidates: float = 0.05
    """Share of all items among which the generator chooses, drawn for each batch."""
    picks: int = 2
    """Negatives that the generator chooses for an item; the other triplets have random ones."""
    neighbours: int = 0
    """Neighbours that vote on a pseudo-label, in each modality; 0: 1.25 times the mean size of a
    class."""
    unpaired: bool = False
    """Let items of a single modality take part, by their class alone."""
    authors_leak: bool = False
    """For audit only: the generator's class loss reads the labels of unlabelled items, as in the
    authors' code."""
    authors_bug: bool = False
    """For audit only: the labelled neighbour of highest row alone decides a pseudo-label, as in the
    authors' code."""

    def __post_init__(self) -> None:
        require_weights(margin=self.margin, pull=self.pull, partner=self.partner)
        require(math.isfinite(self.offset), "offset", "a finite number", self.offset)
        for name in ("triplets", "student_triplets", "generator_epochs", "discriminator_epochs"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("pretraining", "rounds", "neighbours"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("generator_rate", "discriminator_rate", "student_rate"):
            rate = getattr(self, name)
            require(0 < rate < math.inf, name, "a positive finite factor", rate)
        require(0 < self.candidates <= 1, "candidates", "a share in (0, 1]", self.candidates)
        limits = f"1 to the {self.triplets} triplets"
        require(1 <= self.picks <= self.triplets, "picks", limits, self.picks)
