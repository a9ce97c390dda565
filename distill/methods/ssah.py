"""SSAH-like: a label network makes the codes, then images and texts learn to agree with them.

After Li et al., "Self-Supervised Adversarial Hashing Networks for Cross-Modal Retrieval" (CVPR
2018) and its code. What is other here:

- no discriminator tells the modalities' hidden layers apart: nothing is adversarial;
- nor is there a likelihood of similarities given the hidden layers: with our heads, validation was
  better without;
- the label network is trained to its end before image and text, which SSAH takes in turns;
- the likelihood is the true one. The code has the squared difference of its two parts;
- the label network compares the codes of a batch, where SSAH keeps those of all items.
"""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from distill.config import SsahConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.quantization import quantization, sign
from distill.losses.similarity import label_similarity, pairwise_nll
from distill.methods.base import Method, Stage, Wrap, as_it_is, codes_of, weights_for
from distill.parallel import gather, own_rows
from distill.types import Batch, LossTerms, Split


class Named(nn.Module):
    """A hash head whose hidden layer names labels too.

    Args:
        head: features to codes.
        n_labels: number of labels.
    """

    def __init__(self, head: HashHead, n_labels: int) -> None:
        super().__init__()
        self.head = head
        self.classes = nn.Linear(head.width, n_labels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, d) to codes (B, n_bits)."""
        codes: Tensor = self.head(features)
        return codes

    def embed(self, features: Tensor) -> Tensor:
        """Features (B, d) to codes and label logits, side by side (B, n_bits + n_labels)."""
        hidden = self.head.hidden(features)
        return torch.cat([self.head.from_hidden(hidden), self.classes(hidden)], dim=1)


class LabelNet(Stage):
    """Stage 1, on label vectors alone; there are no codes of image or text to validate yet.

    Terms of its codes H: likelihood = NLL(H, H), quantization towards sign(H), and classes, the
    mean squared error of the labels that the sigmoid of the logits names.
    """

    name = "label_net"
    modalities = ()

    def __init__(self, label: nn.Module, config: SsahConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict({"label": label})
        self.weights = _weights(config, n_bits)

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        h, logits = _split(gather(self.modules["label"].embed(own_rows(batch.labels))), batch)
        return _terms(h, h, logits, batch.labels, label_similarity(batch.labels, batch.labels))


class DataNets(Stage):
    """Stage 2: image and text, each against the fixed codes of the labels of all training items.

    Terms: those of `LabelNet` with NLL(codes, H of all), each the sum over the two nets, which have
    nothing in common but H.
    """

    name = "data_nets"
    modalities = ("image", "text")
    bank: Tensor
    labels: Tensor

    def __init__(
        self,
        nets: Mapping[str, nn.Module],
        label: nn.Module,
        config: SsahConfig,
        n_bits: int,
    ) -> None:
        self.modules = nn.ModuleDict(nets)
        self._label = label
        self.weights = _weights(config, n_bits)

    def prepare(self, split: Split) -> None:
        """Keep the label network's codes of the training items."""
        self.labels = split.labels
        self.bank = codes_of(self._label, Split({"label": split.labels}, split.labels), "label")

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        s = label_similarity(batch.labels, self.labels)
        found = []
        for modality in self.modalities:
            embedded = gather(self.modules[modality].embed(batch.features[modality]))
            codes, logits = _split(embedded, batch)
            found.append(_terms(codes, self.bank, logits, batch.labels, s))
        image, text = found
        return {name: image[name] + text[name] for name in image}


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The heads of image and text, the label network, and the stages.

    Args:
        config: bits, heads and the ssah table are used.
        dims: modality -> width of its features, "image" and "text"; "classes" -> n_labels.
        wrap: modality and head -> what is trained (see `Wrap`); what it makes has an `embed` as its
            head has.
    """
    head, n_labels = dataclasses.asdict(config.head), dims["classes"]
    heads = {m: HashHead(dims[m], config.bits, **head) for m in ("image", "text")}
    label = Named(HashHead(n_labels, config.bits, **head), n_labels)
    nets = {m: wrap(m, Named(head, n_labels)) for m, head in heads.items()}
    stages = (
        LabelNet(label, config.ssah, config.bits),
        DataNets(nets, label, config.ssah, config.bits),
    )
    return Method(stages, nn.ModuleDict(heads))


def _weights(config: SsahConfig, n_bits: int) -> dict[str, float]:
    weights = {"likelihood": 1.0, **dataclasses.asdict(config)}
    return weights_for(weights, n_bits, means={"quantization"})


def _split(embedded: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Codes and logits."""
    n_labels = batch.labels.shape[1]
    return embedded[:, :-n_labels], embedded[:, -n_labels:]


def _terms(codes: Tensor, bank: Tensor, logits: Tensor, labels: Tensor, s: Tensor) -> LossTerms:
    return {
        "likelihood": pairwise_nll(codes, bank, s),
        "quantization": quantization(codes, sign(codes)),
        "classes": functional.mse_loss(torch.sigmoid(logits), labels),
    }
