"""Contrast of pairs, or of items that share a label, against the rest."""

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(a: Tensor, b: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Symmetric InfoNCE as in CLIP: item i of one modality belongs to item i of the other.

    1/2 [ mean_i -log softmax_j(a_i . b_j / t)_i + mean_i -log softmax_j(b_i . a_j / t)_i ]

    Args:
        a: (n, d) L2-normalised embeddings.
        b: (n, d) L2-normalised embeddings of the same items.
        temperature: t.

    Returns:
        scalar.
    """
    logits = a @ b.T / temperature
    target = torch.arange(len(a), device=a.device)
    forth = functional.cross_entropy(logits, target)
    back = functional.cross_entropy(logits.T, target)
    return (forth + back) / 2


def supervised_contrast(
    a: Tensor, b: Tensor, similarity: Tensor, *, temperature: float = 0.2
) -> Tensor:
    """Similar items are told from all others, as in supervised contrastive learning (L_out).

    -mean_i 1/sum_j S_ij  sum_j S_ij log softmax_j( cos(a_i, b_j) / t )

    After Khosla et al. (NeurIPS 2020), who leave an item out of its own sums: here j runs over
    every b_j, as in the pairwise likelihood. A row without a similar item adds 0.

    Args:
        a: (n, n_bits) continuous codes.
        b: (m, n_bits) continuous codes.
        similarity: (n, m) S in [0, 1].
        temperature: t.

    Returns:
        scalar.
    """
    cosines = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    likely = torch.log_softmax(cosines / temperature, dim=1)
    mass = similarity.sum(dim=1)
    # Not a maximum with 1: soft similarities may sum to less.
    return -((likely * similarity).sum(dim=1) / torch.where(mass > 0, mass, 1)).mean()
