"""What methods on augmented views share: a pair of views, and CIBHash's terms of it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distill.losses.hashing import bernoulli_kl, binary_nt_xent, straight_through_sign
from distill.types import LossTerms

Views = dict[str, Tensor]


def view_pair(features: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Views, Views]:
    """Two different views of each item, the same two for every modality.

    Args:
        features: modality -> (B, V, d), V at least 2.
        names: modalities to take.

    Returns:
        modality -> (B, d), for the first and for the second view, from torch's global generator.
    """
    n_items, n_views = features[names[0]].shape[:2]
    rows = torch.arange(n_items)
    first = torch.randint(n_views, (n_items,))
    second = (first + torch.randint(1, n_views, (n_items,))) % n_views
    one, other = ({m: features[m][rows, view] for m in names} for view in (first, second))
    return one, other


def cibhash_terms(x_i: Tensor, x_j: Tensor, *, tau: float) -> LossTerms:
    """CIBHash's loss of two views.

    contrast = NT-Xent of their codes; divergence = the two-way Bernoulli KL of their probabilities.

    Args:
        x_i: (B, n_bits) logits of the first views.
        x_j: (B, n_bits) logits of the second views.
        tau: temperature of the contrast.
    """
    z_i, z_j = straight_through_sign(x_i), straight_through_sign(x_j)
    return {
        "contrast": binary_nt_xent(z_i, z_j, tau=tau),
        "divergence": bernoulli_kl(torch.sigmoid(x_i), torch.sigmoid(x_j)),
    }
