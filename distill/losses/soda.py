"""The terms of SODA's two stages together: which codes meet in which loss."""

import functools
from collections.abc import Callable

from torch import Tensor

from distill.config import SodaConfig
from distill.losses.contrastive import supervised_contrast
from distill.losses.distillation import pair_distillation, relation_distillation
from distill.losses.quantization import balance, quantization, shared_quantization, sign
from distill.losses.similarity import pairwise_nll
from distill.types import LossTerms

Comparison = Callable[[Tensor, Tensor, Tensor], Tensor]


def teacher_terms(
    v: Tensor, p: Tensor, others: tuple[Tensor, Tensor], similarity: Tensor, config: SodaConfig
) -> LossTerms:
    """Stage 1: image and label prompt make the Hamming space of the images.

    inter = 1/2 [ NLL(V, P') + NLL(P, V') ], intra = 1/2 [ NLL(V, V') + NLL(P, P') ], where V' and
    P' are the codes of the batch itself or of a memory; contrast = 1/3 [ C(V, P') + C(P, V') +
    C(V, V') ], C telling similar items from the others; gap = ||V - P||^2 / (n n_bits);
    quantization towards sign(V + P); balance.

    Args:
        v: (n, n_bits) codes V of the images.
        p: (n, n_bits) codes P of the label prompts.
        others: V' and P', (m, n_bits).
        similarity: (n, m) in [0, 1].
        config: normalize and temperature are used.
    """
    v_all, p_all = others
    nll, contrast = _comparisons(config)
    across = ((v, p_all), (p, v_all))
    return {
        "inter": sum(nll(*pair, similarity) for pair in across) / 2,
        "intra": (nll(v, v_all, similarity) + nll(p, p_all, similarity)) / 2,
        "contrast": sum(contrast(*pair, similarity) for pair in (*across, (v, v_all))) / 3,
        "gap": pair_distillation(v, p),
        "quantization": shared_quantization(v, p),
        "balance": (balance(v) + balance(p)) / 2,
    }


def student_terms(
    t: Tensor,
    u: Tensor,
    bank: Tensor,
    similarity: tuple[Tensor, Tensor],
    config: SodaConfig,
) -> LossTerms:
    """Stage 2: text learns to live in the Hamming space of the images.

    sim = NLL(T, U of all), contrast = C(T, U of all), pair = ||T - U||^2 / (n n_bits), relation =
    cosines to U like those within U, intra = NLL(T, T), quantization towards sign(U).

    Args:
        t: (n, n_bits) codes T of the texts.
        u: (n, n_bits) the teacher's codes U of the same items.
        bank: (m, n_bits) the teacher's codes of all items.
        similarity: (n, m) to all items, and (n, n) within the batch.
        config: normalize and temperature are used.
    """
    nll, contrast = _comparisons(config)
    return {
        "sim": nll(t, bank, similarity[0]),
        "contrast": contrast(t, bank, similarity[0]),
        "pair": pair_distillation(t, u),
        "relation": relation_distillation(t, u),
        "intra": nll(t, t, similarity[1]),
        "quantization": quantization(t, sign(u)),
    }


def image_terms(
    v: Tensor, t: Tensor, u: Tensor, similarity: Tensor, config: SodaConfig
) -> LossTerms:
    """Stage 2 where it trains the images too: image = NLL(V, T), anchor = ||V - U||^2 / (n n_bits).

    Args:
        v: (n, n_bits) codes V of the images, as they are now.
        t: (n, n_bits) codes T of the texts.
        u: (n, n_bits) the teacher's codes U, where the anchor holds V.
        similarity: (n, n) within the batch.
        config: normalize is used.
    """
    nll, _ = _comparisons(config)
    return {"image": nll(v, t, similarity), "anchor": pair_distillation(v, u)}


def _comparisons(config: SodaConfig) -> tuple[Comparison, Comparison]:
    """The pairwise likelihood NLL and the contrast C of codes a, codes b and their similarity."""
    return (
        functools.partial(pairwise_nll, normalize=config.normalize),
        functools.partial(supervised_contrast, temperature=config.temperature),
    )
