"""The seam between methods and the training loop: a Method is a short list of Stages."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from distill.types import Batch, LossTerms, Split

REFERENCE_BITS = 64
"""Code length for which the weights of terms that are means over bits are given."""

Wrap = Callable[[str, nn.Module], nn.Module]
"""(modality, head) -> the module that stages train and call: inputs of a batch to codes. Where the
towers are fine-tuned it is tower and head; the head itself stays what is kept for inference."""
_ROWS = 8192
_INPUTS = 64
"""Rows per forward pass: of features, and of what goes through a tower."""


def as_it_is(_modality: str, head: nn.Module) -> nn.Module:
    """The `Wrap` of frozen towers: a batch holds features, and the head is all there is."""
    return head


def codes_of(module: nn.Module, split: Split, modality: str) -> Tensor:
    """Codes (n, n_bits) of a modality of all rows, without gradients and in bounded memory.

    Args:
        module: what a batch of that modality goes through; used in eval mode.
        split: n rows.
        modality: of the features that are read; the others are not.
    """
    values = split.features[modality]
    alone = dataclasses.replace(split, features={modality: values})
    is_features = values.ndim == 2 and values.is_floating_point()
    rows = torch.arange(len(split), device=split.labels.device)
    parts = rows.split(_ROWS if is_features else _INPUTS)
    training = module.training
    module.eval()
    with torch.no_grad():
        codes = [module(batch.features[modality]) for batch in alone.batches(parts, 0)]
    module.train(training)
    return torch.cat(codes)


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
        rates: name of a child of `modules` -> factor on the learning rate; 1 where it is absent.
        modalities: those whose codes mean something while this stage trains.
        heads: what validation encodes them with; None: the heads of the method.
        epochs: passes over its rows; None: those of the configuration.
        round: epochs that belong together: validation waits for the last of them.
        least: rows that a batch needs; the loop leaves out a last one with fewer.
    """

    least: int = 1
    name: str
    modules: nn.Module
    rates: Mapping[str, float] = MappingProxyType({})
    weights: Mapping[str, float]
    modalities: tuple[str, ...]
    heads: Mapping[str, nn.Module] | None = None
    epochs: int | None = None
    round: int = 1

    def rows_of(self, split: Split) -> Tensor | None:  # noqa: ARG002
        """Row numbers (m,) that the stage learns from; None: all."""
        return None

    def prepare(self, split: Split) -> None:  # noqa: B027 - most stages need none
        """Do the offline work; it depends on the training split and frozen parts alone."""

    def begin_epoch(self, split: Split, epoch: int) -> None:  # noqa: B027 - most need nothing
        """Renew what an epoch, counted from 0, starts from.

        It depends on the number, the modules as they are and the split. A stage may set `weights`
        here: epochs that differ in what they train differ in their terms.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> LossTerms:
        """The unweighted terms of a batch, scalars; their names are the keys of `weights`.

        A process of torchrun has features of its own rows only: what modules make of them goes
        through `parallel.gather` before it meets labels.
        """


@dataclass(frozen=True)
class Method:
    """What to train, in order, and what remains of it.

    Attributes:
        stages: trained one after the other.
        heads: the inference model: modality -> features to values whose sign is the code.
        kept: name -> array that is worth keeping beside the codes, once training has ended.
        teacher: heads that those learned from, of a method that trained them on the way.
    """

    stages: tuple[Stage, ...]
    heads: nn.ModuleDict
    kept: Callable[[], Mapping[str, Tensor]] = dict
    teacher: nn.ModuleDict | None = None
