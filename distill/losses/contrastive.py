"""Contrast of pairs against the rest of the batch."""

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
