"""Supervised similarity: which items share a label, and the likelihood of codes given that."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Similarity = Literal["binary", "multilevel"]

THETA_MAX = 64.0
"""theta is clamped to +-64, as far as softplus needs in float32."""


def label_similarity(a: Tensor, b: Tensor, *, kind: Similarity = "binary") -> Tensor:
    """S (n_a, n_b) in [0, 1] of label vectors.

    "binary": S_ij = 1 if y_i . y_j > 0 else 0. "multilevel": S_ij = cos(y_i, y_j), after the idea
    of Bi_NCMH; an item without labels is similar to nothing.

    Args:
        a: (n_a, n_labels) float, 0 or 1.
        b: (n_b, n_labels) float, 0 or 1.
        kind: see above.
    """
    if kind == "binary":
        return (a @ b.T > 0).to(a.dtype)
    return functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T


def pairwise_nll(a: Tensor, b: Tensor, similarity: Tensor, *, normalize: bool = False) -> Tensor:
    """Negative log-likelihood of similarities given codes, as in DCMH and DPSH.

    NLL = -1/(n_a n_b) sum_ij [ S_ij theta_ij - log(1 + exp(theta_ij)) ],  theta_ij = a_i . b_j / 2

    With `normalize`, theta_ij = n_bits / 2 * cos(a_i, b_j), which removes the codes' scale.

    Args:
        a: (n_a, n_bits) continuous codes.
        b: (n_b, n_bits) continuous codes.
        similarity: (n_a, n_b) in [0, 1].
        normalize: see above.

    Returns:
        scalar.
    """
    n_bits = a.shape[1]
    if normalize:
        theta = n_bits / 2 * functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    else:
        theta = a @ b.T / 2
    theta = torch.clamp(theta, -THETA_MAX, THETA_MAX)
    return (functional.softplus(theta) - similarity * theta).mean()
