"""DCHMT: codes of similar items coincide, those of others differ in a share of their bits.

Tu et al., "Differentiable Cross-modal Hashing via Multimodal Transformers" (ACM MM 2022), on the
towers and heads of the other methods. There a bit has two outputs and a softmax over them; the two
hold what the one output of a `HashHead` does (see `distill.losses.dchmt`), and for Adam a step of
both logits, against each other and halved, is the step of the one.
"""

import dataclasses
import functools
from collections.abc import Mapping

from torch import nn

from distill.config import DchmtConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.dchmt import distance_margin, indecision
from distill.losses.similarity import label_similarity
from distill.methods.base import Method, Stage, Wrap, as_it_is, weights_for
from distill.parallel import gather
from distill.types import Batch, LossTerms


class Distances(Stage):
    """The one stage, on image codes V and text codes T; E is `distance_margin`.

    Terms: inter = E(V, T), intra = E(V, V) + E(T, T), quantization = the mean `indecision` of both.
    """

    name = "distances"
    modalities = ("image", "text")

    def __init__(self, image: nn.Module, text: nn.Module, config: DchmtConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict({"image": image, "text": text})
        self.margin = config.margin
        weights = {"inter": 1.0, "intra": 1.0, "quantization": config.quantization}
        self.weights = weights_for(weights, n_bits, means={"quantization"})

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v, t = (gather(self.modules[m](batch.features[m])) for m in self.modalities)
        s = label_similarity(batch.labels, batch.labels)
        compare = functools.partial(distance_margin, similarity=s, margin=self.margin)
        return {
            "inter": compare(v, t),
            "intra": compare(v, v) + compare(t, t),
            "quantization": (indecision(v) + indecision(t)) / 2,
        }


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The heads of image and text and their one stage (see `soda.build`)."""
    head = dataclasses.asdict(config.head)
    image, text = (HashHead(dims[m], config.bits, **head) for m in ("image", "text"))
    stage = Distances(wrap("image", image), wrap("text", text), config.dchmt, config.bits)
    return Method((stage,), nn.ModuleDict({"image": image, "text": text}))
