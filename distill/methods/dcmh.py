"""DCMH: the likelihood of the similarities of images and texts, quantised and balanced.

Jiang and Li, "Deep Cross-Modal Hashing" (CVPR 2017): with F and G the codes of the images and texts
of n items, minimise

    sum_ij [ log(1 + exp theta_ij) - S_ij theta_ij ] + gamma ( ||B - F||^2 + ||B - G||^2 )
        + eta ( ||F^T 1||^2 + ||G^T 1||^2 ),    theta_ij = f_i . g_j / 2,  B = sign(F + G)

Published, the sums run over the training set, whose codes are kept; a net rests while the other
learns, and B is renewed after both. Here they run over a batch, both nets learn in one step, and B
is that of the batch. Divided by n^2 the three parts are a mean over pairs, 2 gamma n_bits / n of
`shared_quantization`, and 2 eta n_bits of the mean of both `balance`.
"""

import dataclasses
from collections.abc import Mapping

from torch import nn

from distill.config import DcmhConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.quantization import balance, shared_quantization
from distill.losses.similarity import label_similarity, pairwise_nll
from distill.methods.base import Method, Stage, Wrap, as_it_is, weights_for
from distill.parallel import gather
from distill.types import Batch, LossTerms


class Pairwise(Stage):
    """The one stage; its terms are the three parts above, as means."""

    name = "pairwise"
    modalities = ("image", "text")

    def __init__(self, image: nn.Module, text: nn.Module, config: DcmhConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict({"image": image, "text": text})
        weights = {"likelihood": 1.0, **dataclasses.asdict(config)}
        self.weights = weights_for(weights, n_bits, means={"quantization", "balance"})

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        f, g = (gather(self.modules[m](batch.features[m])) for m in self.modalities)
        return {
            "likelihood": pairwise_nll(f, g, label_similarity(batch.labels, batch.labels)),
            "quantization": shared_quantization(f, g),
            "balance": (balance(f) + balance(g)) / 2,
        }


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The heads of image and text and their one stage (see `soda.build`)."""
    head = dataclasses.asdict(config.head)
    image, text = (HashHead(dims[m], config.bits, **head) for m in ("image", "text"))
    stage = Pairwise(wrap("image", image), wrap("text", text), config.dcmh, config.bits)
    return Method((stage,), nn.ModuleDict({"image": image, "text": text}))
