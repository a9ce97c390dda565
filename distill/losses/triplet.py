"""SKDCH's ranking losses, and what its adversarial teacher rewards.

After the code of Su et al., "Semi-Supervised Knowledge Distillation for Cross-Modal Hashing" (IEEE
TMM 2023), and of its teacher, SCH-GAN (Zhang et al., IEEE TCYB 2020). Distances d are squared and
between sigmoid outputs u = (1 + h) / 2 of codes h in (-1, 1): over bits that are decided they count
those that differ.
"""

import torch
from torch import Tensor
from torch.nn import functional


def code_distance(a: Tensor, b: Tensor) -> Tensor:
    """Distance d = ||u_a - u_b||^2 = ||h_a - h_b||^2 / 4 of codes in the same place.

    Args:
        a: (..., n_bits) continuous codes.
        b: (..., n_bits), or of a shape that is broadcast with it.

    Returns:
        (...), in 0..n_bits.
    """
    return (a - b).square().sum(dim=-1) / 4


def code_distances(a: Tensor, b: Tensor) -> Tensor:
    """The same of all pairs: (n, n_bits) and (m, n_bits) to (n, m)."""
    squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * (a @ b.T)
    return squares.clamp(min=0) / 4


def triplet_ranking(positive: Tensor, negative: Tensor, *, margin: float) -> Tensor:
    """Plain triplet: mean [ margin + d+ - d- ]_+ of distances to positives and negatives, (n,)."""
    return functional.relu(margin + positive - negative).mean()


def symmetric_ranking(
    positive: Tensor, negative: Tensor, within: Tensor, *, margin: float
) -> Tensor:
    """Improved triplet: mean [ margin + d(q, p) - (d(q, n) + d(p, n)) / 2 ]_+.

    The negative shall be far from the query and, inside its own modality, from the positive.

    Args:
        positive: (n,) d(q, p), a query of one modality to a positive of the other.
        negative: (n,) d(q, n), to a negative of the other.
        within: (n,) d(p, n), inside the other modality.
        margin: by how much the mean of the latter two shall exceed the first.
    """
    return functional.relu(margin + positive - (negative + within) / 2).mean()


def absolute_pull(positive: Tensor, *, offset: float) -> Tensor:
    """Mean [ offset + d+ ]_+ of distances (n,) to positives: always active for offset >= 0."""
    return functional.relu(offset + positive).mean()


def partner_likelihood(positive: Tensor, negative: Tensor, partners: Tensor) -> Tensor:
    """An item's own partner is told from others, with -d as logit.

    mean BCE(-d+; 1 where the positive is the partner, else 0) + mean BCE(-d-; 0)

    Args:
        positive: (n,) distances to positives.
        negative: (n,) distances to negatives.
        partners: (n,) bool, whether the positive is the query's own other half.
    """
    entropy = functional.binary_cross_entropy_with_logits
    target = partners.to(positive)
    return entropy(-positive, target) + entropy(-negative, torch.zeros_like(negative))


def margin_reward(positive: Tensor, chosen: Tensor, *, margin: float) -> Tensor:
    """What the discriminator pays for a chosen item: r = 10^-|margin + d+ - d|, at most 1.

    Args:
        positive: distances to a random positive.
        chosen: distances to the chosen item, of the same shape.
        margin: the choice is best where it lies just so much farther than the positive.
    """
    return torch.pow(10.0, -(margin + positive - chosen).abs())


def choice_loss(scores: Tensor, rewards: Tensor) -> Tensor:
    """Mean |softmax over a query's choices of their scores - reward|, both (n, n_choices)."""
    return (scores.softmax(dim=1) - rewards).abs().mean()


def class_likelihood(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Cross entropy of class logits with labels, mean over items whose labels are known; or 0.

    Args:
        logits: (n, n_labels).
        labels: (n, n_labels), 0 or 1; what stands in the other rows is not read.
        known: (n,) bool.
    """
    if not known.any():
        return logits.new_zeros(())
    return functional.binary_cross_entropy_with_logits(logits[known], labels[known])
