"""Unsupervised hashing: what teaches bits from unlabelled images.

CIBHash (Qiu et al., "Unsupervised Hashing with Contrastive Information Bottleneck", IJCAI 2021) as
the released teacher of BRCD has it, and Bi-half (Li & van Gemert, "Deep Unsupervised Image Hashing
by Maximizing Bit Entropy", AAAI 2021).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from distill.losses.quantization import sign

_EPS = 1e-8


def straight_through_sign(logits: Tensor) -> Tensor:
    """Codes z = sign(p - 1/2), p = sigmoid(x), whose gradient is p's: dz/dx = p (1 - p).

    The sign is taken of x, as `hamming.pack` does (z = 1 where x > 0, and else -1): sigmoid rounds
    the smallest x to 1/2. Backward, the sign is the identity.

    Args:
        logits: (..., L) x.

    Returns:
        (..., L) exactly -1 or +1.
    """
    p = torch.sigmoid(logits)
    return sign(logits).detach() + (p - p.detach())


def binary_nt_xent(z_i: Tensor, z_j: Tensor, *, tau: float = 0.3) -> Tensor:
    """Contrast of two views of a batch's images, Z = [z_i ; z_j], s_uv = cos(Z_u, Z_v) / tau.

    L = 1/2B sum_r -log( e^s_rr' / sum_{v != r} e^s_rv ),   r' = the other view of r's image

    Args:
        z_i: (B, L) codes.
        z_j: (B, L) codes.
        tau: temperature.

    Returns:
        scalar; 0 for a single image, which has no negatives.
    """
    rows = functional.normalize(torch.cat([z_i, z_j]), dim=1)
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    logits = (rows @ rows.T / tau).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(rows), device=rows.device).roll(len(z_i))
    return functional.cross_entropy(logits, partner)


def bernoulli_kl(p_i: Tensor, p_j: Tensor) -> Tensor:
    """How far the bit probabilities of two views are apart, each view moving to the other.

    L = ( KL(p_i || sg p_j) + KL(p_j || sg p_i) ) / 2,   sg = no gradient

    KL(p || q) = mean_b sum_l [ p ln(p/q) + (1-p) ln((1-p)/(1-q)) ],   1e-8 added inside each ln

    Args:
        p_i: (B, L) in [0, 1].
        p_j: (B, L) in [0, 1].

    Returns:
        scalar.
    """
    return (_kl(p_i, p_j.detach()) + _kl(p_j, p_i.detach())) / 2


def bi_half(values: Tensor, gamma: float = 6.0) -> Tensor:
    """Codes whose every bit is +1 for half of the batch: the larger values, ties by smaller index.

    Of an odd batch the smaller half is +1. Backward: dL/dU = dL/dB + gamma (U - B) / (n L), which
    also draws the values U to their codes B. That is our reading of Bi-half's optimal transport
    layer: the authors' image hashing code does this with gamma = 6, their paper reports gamma =
    3 / (n L) as the whole factor.

    Args:
        values: (n, L) continuous U.
        gamma: strength of the pull.

    Returns:
        (n, L) B in {-1, +1}.
    """
    codes: Tensor = _BiHalf.apply(values, gamma)  # type: ignore[no-untyped-call]
    return codes


def bi_half_similarity(codes: Tensor, features: Tensor) -> Tensor:
    """Bi-half's loss: pairs of codes are as similar as the features they come from.

    L = mean_p ( cos(b_p, b_p') - cos(x_p, x_p') )^2,   p' = p + n // 2, for the first half of rows

    The last row of an odd batch has no partner and is left out.

    Args:
        codes: (n, L) b, of `bi_half`.
        features: (n, d) x, such as a frozen backbone's; no gradient flows into them.

    Returns:
        scalar; 0 for a single row.
    """
    half = len(codes) // 2
    a, b = codes[:half], codes[half : 2 * half]
    x, y = features[:half].detach(), features[half : 2 * half].detach()
    gap = functional.cosine_similarity(a, b) - functional.cosine_similarity(x, y)
    return gap.square().sum() / max(half, 1)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    on = p * (torch.log(p + _EPS) - torch.log(q + _EPS))
    off = (1 - p) * (torch.log(1 - p + _EPS) - torch.log(1 - q + _EPS))
    return (on + off).sum(dim=1).mean()


class _BiHalf(torch.autograd.Function):
    """The two directions of `bi_half`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gamma: float) -> Tensor:
        order = values.argsort(dim=0, descending=True, stable=True)
        codes = torch.full_like(values, -1).scatter(0, order[: len(values) // 2], 1.0)
        ctx.save_for_backward(values, codes)
        ctx.gamma = gamma
        return codes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        values, codes = ctx.saved_tensors
        return grad + ctx.gamma * (values - codes) / codes.numel(), None
