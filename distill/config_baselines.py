"""Settings of the supervised baselines: DCMH, SSAH without its adversary, and DCHMT."""

import dataclasses
from dataclasses import dataclass

from distill.tables import require, require_weights


@dataclass(frozen=True)
class DcmhConfig:
    """DCMH: image and text by the likelihood of their similarities, weights of its other terms.

    Both are means over bits; theirs are multiplied by bits / 64. The published sums over a batch of
    128 items, divided by its number of pairs, are quantization 1 and balance 128.
    """

    quantization: float = 0.1
    """Squared distance of both codes of an item to the sign of their sum."""
    balance: float = 1.0
    """Squared mean of each bit over the batch."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


@dataclass(frozen=True)
class SsahConfig:
    """SSAH-like: a label network, then image and text against its codes, weights of other terms.

    quantization is a mean over bits; its weight is multiplied by bits / 64. Published are 1 and 1.
    """

    quantization: float = 0.03
    """Squared distance of a code to its own sign."""
    classes: float = 1.0
    """Squared error of the labels that are read off the hidden layer."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


@dataclass(frozen=True)
class DchmtConfig:
    """DCHMT: distances of image and text codes, none or beyond a margin."""

    margin: float = 0.25
    """Share of the bits in which codes of items without a common label shall differ; published are
    0.5 and 0.75, for towers that are fine-tuned."""
    quantization: float = 0.001
    """Weight of how undecided bits are: a mean over bits, multiplied by bits / 64."""

    def __post_init__(self) -> None:
        require(0 < self.margin <= 1, "margin", "a share in (0, 1]", self.margin)
        require_weights(quantization=self.quantization)
