"""The seam between methods and the training loop: a Method is a short list of Stages."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from distill.types import Batch, LossTerms, Split

REFERENCE_BITS = 64
"""Code length for which the weights of terms that are means over bits are given."""


def weights_for(weights: Mapping[str, float], n_bits: int, *, means: Set[str]) -> dict[str, float]:
    """The weights of a stage's terms at a code length.

    The slope of the pairwise likelihood at one bit does not depend on the number of bits, that of a
    mean over bits falls with it; unless the weights of such means grow with n_bits, the balance
    tuned at one length is lost at another.

    Args:
        weights: term -> weight at `REFERENCE_BITS`, from the configuration.
        n_bits: code length.
        means: names of the terms that are means over bits.
    """
    scale = n_bits / REFERENCE_BITS
    return {name: w * scale if name in means else w for name, w in weights.items()}


class Stage(ABC):
    """One training phase. The loop owns optimiser, epochs and the sum; a stage owns the loss.

    Attributes:
        name: stands in the training record.
        modules: what is trained; everything else the stage uses is frozen.
        weights: weight of each loss term, from the configuration.
        rates: name of a child of `modules` -> factor on the learning rate; 1 for those that are absent.
        modalities: those whose codes mean something while this stage trains.
        least: rows that a batch needs; the loop leaves out a last one with fewer.
    """

    least: int = 1
    name: str
    modules: nn.Module
    rates: Mapping[str, float] = MappingProxyType({})
    weights: Mapping[str, float]
    modalities: tuple[str, ...]

    def prepare(self, split: Split) -> None:  # noqa: B027 - most stages need none
        """Do the offline work; it depends on the training split and frozen parts alone."""

    def begin_epoch(self, split: Split) -> None:  # noqa: B027 - most stages need nothing
        """Renew what an epoch starts from; it depends on the modules as they are and the split."""

    @abstractmethod
    def loss(self, batch: Batch) -> LossTerms:
        """The unweighted terms of a batch, scalars; their names are the keys of `weights`."""


@dataclass(frozen=True)
class Method:
    """What to train, in order, and what remains of it.

    Attributes:
        stages: trained one after the other.
        heads: the inference model: modality -> features to values whose sign is the code.
    """

    stages: tuple[Stage, ...]
    heads: nn.ModuleDict
