"""The ablation without a teacher: image and text codes trained directly, in one stage."""

import dataclasses
import functools
from collections.abc import Mapping

from torch import nn

from distill.config import NoTeacherConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.contrastive import supervised_contrast
from distill.losses.distillation import pair_distillation
from distill.losses.quantization import shared_quantization
from distill.losses.similarity import label_similarity, pairwise_nll
from distill.methods.base import Method, Stage, Wrap, as_it_is, weights_for
from distill.parallel import gather
from distill.types import Batch, LossTerms


class Direct(Stage):
    """The one stage, on image and text.

    Terms, V and T being their codes: inter = NLL(V, T), contrast = 1/2 [ C(V, T) + C(T, V) ], pair
    = ||V - T||^2, quantization towards sign(V + T).
    """

    name = "direct"
    modalities = ("image", "text")

    def __init__(
        self, image: nn.Module, text: nn.Module, config: NoTeacherConfig, n_bits: int
    ) -> None:
        self.modules = nn.ModuleDict({"image": image, "text": text})
        weights = dataclasses.asdict(config)
        self.temperature = weights.pop("temperature")
        self.weights = weights_for(weights, n_bits, means={"pair", "quantization"})

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v, t = (gather(self.modules[m](batch.features[m])) for m in self.modalities)
        s = label_similarity(batch.labels, batch.labels)
        contrast = functools.partial(supervised_contrast, temperature=self.temperature)
        return {
            "inter": pairwise_nll(v, t, s),
            "contrast": (contrast(v, t, s) + contrast(t, v, s)) / 2,
            "pair": pair_distillation(v, t),
            "quantization": shared_quantization(v, t),
        }


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The heads of image and text and their one stage (see `soda.build`)."""
    head = dataclasses.asdict(config.head)
    image, text = (HashHead(dims[m], config.bits, **head) for m in ("image", "text"))
    parts = wrap("image", image), wrap("text", text)
    stage = Direct(*parts, config.no_teacher, config.bits)
    return Method((stage,), nn.ModuleDict({"image": image, "text": text}))
