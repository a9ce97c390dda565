"""The baseline people have already: contrastive embeddings, binarised by a random rotation."""

import dataclasses
from collections.abc import Mapping

from torch import nn

from distill.config import ContrastiveConfig, TrainConfig
from distill.heads import RotatedHead, random_rotation
from distill.losses.contrastive import info_nce
from distill.methods.base import Method, Stage
from distill.types import Batch, LossTerms


class Contrast(Stage):
    """One term, info_nce between the embeddings of image and text; labels are not used."""

    name = "contrast"
    modalities = ("image", "text")

    def __init__(self, image: RotatedHead, text: RotatedHead, config: ContrastiveConfig) -> None:
        self.modules = nn.ModuleDict({"image": image, "text": text})
        self.weights = {"info_nce": 1.0}
        self.config = config

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v, t = (self.modules[m].embed(batch.features[m]) for m in self.modalities)
        return {"info_nce": info_nce(v, t, temperature=self.config.temperature)}


def build(config: TrainConfig, dims: Mapping[str, int]) -> Method:
    """The heads of image and text, with one rotation for both, and their stage."""
    head, dim = dataclasses.asdict(config.head), config.contrastive.dim
    image, text = (RotatedHead(dims[m], config.bits, dim, **head) for m in ("image", "text"))
    image.rotation = random_rotation(dim, config.bits)
    text.rotation = image.rotation
    stage = Contrast(image, text, config.contrastive)
    return Method((stage,), nn.ModuleDict({"image": image, "text": text}))
