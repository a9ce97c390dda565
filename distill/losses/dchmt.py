"""DCHMT's objective: distances between the two-way softmax outputs of each bit.

After the code of Tu et al., "Differentiable Cross-modal Hashing via Multimodal Transformers" (ACM
MM 2022). A bit is the larger of two outputs p_1 and p_0 of a softmax over logits z_1 and z_0. As
p_1 + p_0 = 1, all that it says is h = p_1 - p_0 = tanh((z_1 - z_0) / 2), whose sign is the bit.
"""

import math

import torch
from torch import Tensor


def softmax_distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of the 2 n_bits softmax outputs: d_ij = ||a_i - b_j|| / sqrt(2).

    Of decided bits, which are -1 or 1, d^2 is twice the Hamming distance.

    Args:
        a: (n, n_bits) h, see above.
        b: (m, n_bits) h.

    Returns:
        (n, m); no gradient flows where a distance is 0.
    """
    exact = "donot_use_mm_for_euclid_dist"  # a difference of products would not see small ones
    return torch.cdist(a, b, compute_mode=exact) / math.sqrt(2)


def distance_margin(a: Tensor, b: Tensor, similarity: Tensor, *, margin: float) -> Tensor:
    """Similar items coincide, others are as far apart as if a share of their bits differed.

    mean_ij (S_ij d_ij)^2 + mean_ij ((1 - S_ij) [m - d_ij]_+)^2,  m = sqrt(2 n_bits margin)

    Args:
        a: (n, n_bits) continuous codes in (-1, 1).
        b: (m, n_bits) continuous codes.
        similarity: (n, m) S in [0, 1].
        margin: the share of bits, theta in the paper.

    Returns:
        scalar.
    """
    distances = softmax_distances(a, b)
    limit = math.sqrt(2 * a.shape[1] * margin)
    near = (similarity * distances).square().mean()
    return near + ((1 - similarity) * (limit - distances).clamp(min=0)).square().mean()


def indecision(codes: Tensor) -> Tensor:
    """How far bits are from decided, 1 - mean (2 p - 1)^2 over all outputs = 1 - mean h^2.

    Args:
        codes: (n, n_bits) continuous codes in (-1, 1).

    Returns:
        scalar in [0, 1].
    """
    return 1 - codes.square().mean()
