"""The baseline people have already: contrastive embeddings, binarised by a random rotation."""

import dataclasses
from collections.abc import Mapping

from torch import nn

from distill.config import ContrastiveConfig, TrainConfig
from distill.heads import RotatedHead, random_rotation
from distill.losses.contrastive import info_nce
from distill.methods.base import Method, Stage, Wrap, as_it_is
from distill.parallel import gather
from distill.types import Batch, LossTerms


class Contrast(Stage):
    """One term, info_nce between the embeddings of image and text; labels are not used."""

    name = "contrast"
    modalities = ("image", "text")

    def __init__(self, image: nn.Module, text: nn.Module, config: ContrastiveConfig) -> None:
        self.modules = nn.ModuleDict({"image": image, "text": text})
        self.weights = {"info_nce": 1.0}
        self.config = config

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v, t = (gather(self.modules[m].embed(batch.features[m])) for m in self.modalities)
        return {"info_nce": info_nce(v, t, temperature=self.config.temperature)}


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The heads of image and text, with one rotation for both, and their stage.

    See `soda.build`; what `wrap` makes has an `embed` as a `RotatedHead` has.
    """
    head, dim = dataclasses.asdict(config.head), config.contrastive.dim
    image, text = (RotatedHead(dims[m], config.bits, dim, **head) for m in ("image", "text"))
    image.rotation = random_rotation(dim, config.bits)
    text.rotation = image.rotation
    stage = Contrast(wrap("image", image), wrap("text", text), config.contrastive)
    return Method((stage,), nn.ModuleDict({"image": image, "text": text}))
