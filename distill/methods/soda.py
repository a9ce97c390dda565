"""SODA on frozen features: a teacher on image and label prompt, then a text student.

After "Semantic-Cohesive Knowledge Distillation for Deep Cross-modal Hashing" (arXiv 2510.09664).
Its abstract gives the two stages and the prompts; losses and weights are a reconstruction.
"""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distill.config import SodaConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.distillation import pair_distillation, relation_distillation
from distill.losses.quantization import balance, quantization, shared_quantization, sign
from distill.losses.similarity import label_similarity, pairwise_nll
from distill.methods.base import Method, Stage, weights_for
from distill.types import Batch, LossTerms, Split


class Teacher(Stage):
    """Stage 1: image and label prompt make the Hamming space of the images.

    Terms, V and P being the codes of image and prompt: inter = NLL(V, P), intra = the mean of
    NLL(V, V) and NLL(P, P), gap = ||V - P||^2, quantization towards sign(V + P), balance.
    """

    name = "teacher"
    modalities = ("image",)

    def __init__(self, image: nn.Module, label: nn.Module, config: SodaConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict({"image": image, "label": label})
        self.weights = weights_for(
            dataclasses.asdict(config.teacher), n_bits, means={"gap", "quantization", "balance"}
        )
        self.config = config

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v = self.modules["image"](batch.features["image"])
        p = self.modules["label"](batch.features["label"])
        s = label_similarity(batch.labels, batch.labels, kind=self.config.similarity)
        same = {"normalize": self.config.normalize}
        return {
            "inter": pairwise_nll(v, p, s, **same),
            "intra": (pairwise_nll(v, v, s, **same) + pairwise_nll(p, p, s, **same)) / 2,
            "gap": pair_distillation(v, p),
            "quantization": shared_quantization(v, p),
            "balance": (balance(v) + balance(p)) / 2,
        }


class Student(Stage):
    """Stage 2: text learns to live in the frozen Hamming space of the images.

    Terms, T being the codes of the texts and U the teacher's of all training images: sim =
    NLL(T, U of all), pair = ||T - U||^2, relation = cosines to U like those within U, intra =
    NLL(T, T), quantization towards sign(U).
    """

    name = "student"
    modalities = ("image", "text")
    bank: Tensor
    labels: Tensor

    def __init__(self, image: nn.Module, text: nn.Module, config: SodaConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict({"text": text})
        self.weights = weights_for(
            dataclasses.asdict(config.student), n_bits, means={"pair", "quantization"}
        )
        self.config = config
        self._image = image

    def prepare(self, split: Split) -> None:
        """Keep the teacher's codes of the training images; the image head is not used again."""
        self._image.eval()
        with torch.no_grad():
            self.bank = self._image(split.features["image"])
        self.labels = split.labels

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        t = self.modules["text"](batch.features["text"])
        u = self.bank[batch.index]
        kind, same = self.config.similarity, {"normalize": self.config.normalize}
        to_all = label_similarity(batch.labels, self.labels, kind=kind)
        return {
            "sim": pairwise_nll(t, self.bank, to_all, **same),
            "pair": pair_distillation(t, u),
            "relation": relation_distillation(t, u),
            "intra": pairwise_nll(t, t, to_all[:, batch.index], **same),
            "quantization": quantization(t, sign(u)),
        }


def build(config: TrainConfig, dims: Mapping[str, int]) -> Method:
    """SODA's heads and stages.

    Args:
        config: bits, heads and the soda table are used.
        dims: modality -> width of its features; "image", "text" and "label".
    """
    head = dataclasses.asdict(config.head)
    image, label, text = (
        HashHead(dims[m], config.bits, **head) for m in ("image", "label", "text")
    )
    return Method(
        stages=(
            Teacher(image, label, config.soda, config.bits),
            Student(image, text, config.soda, config.bits),
        ),
        heads=nn.ModuleDict({"image": image, "text": text}),
    )
