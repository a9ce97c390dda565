"""Knowledge distillation on codes: the losses that BRCD is compared with.

The first three compare codes bit by bit. The others keep relations between items and do not change
when the bits of all student codes are permuted or one bit is flipped in all of them.
Arguments are student and teacher codes of the same items, (B, L), usually in {-1, +1}; gradients
reach the student only.
"""

import torch
from torch import Tensor
from torch.nn import functional

_EPS = 1e-7


def pointwise_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Each code turned to its teacher's: mean_b ( 1 - cos(z_b, t_b) ).

    Args:
        student: (B, L) z.
        teacher: (B, L) t.

    Returns:
        scalar.
    """
    return (1 - functional.cosine_similarity(student, teacher.detach(), dim=1)).mean()


def bitwise_cross_entropy(logits: Tensor, teacher: Tensor) -> Tensor:
    """Each bit a classification: mean_bl log( 1 + exp(-t_bl x_bl) ).

    Args:
        logits: (B, L) x, the values before the student's sign.
        teacher: (B, L) t in {-1, +1}.

    Returns:
        scalar.
    """
    return functional.softplus(-teacher.detach() * logits).mean()


def hinton_kl(student: Tensor, teacher: Tensor, *, temperature: float = 4.0) -> Tensor:
    """Softened distributions, here over the bits: T^2/B sum_b KL(softmax(t_b/T) || softmax(z_b/T)).

    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.

    Args:
        student: (B, L) z.
        teacher: (B, L) t.
        temperature: T.

    Returns:
        scalar.
    """
    ours = functional.log_softmax(student / temperature, dim=1)
    theirs = functional.log_softmax(teacher.detach() / temperature, dim=1)
    divergence = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def relational_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Distances between items, in units of their mean (RKD-D).

    1/B^2 sum_ij h( |z_i - z_j| / mu_z - |t_i - t_j| / mu_t ),   h(e) = e^2/2 if |e| < 1 else |e| -
    1/2, mu = mean distance over i != j

    Park et al., "Relational Knowledge Distillation", CVPR 2019; RKD is 25 of this + 50 of
    `relational_angle` in BRCD's release. Items that coincide give each other no gradient.

    Args:
        student: (B, L) z.
        teacher: (B, L) t.

    Returns:
        scalar.
    """
    return functional.smooth_l1_loss(_distances(student), _distances(teacher.detach()))


def relational_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Angles at item i between items j and k (RKD-A).

    1/B^3 sum_ijk h( cos(z_j - z_i, z_k - z_i) - cos(t_j - t_i, t_k - t_i) ),   h as above

    A cosine with a difference of zero is 0, and gives no gradient. Takes memory for B^3 cosines.

    Args:
        student: (B, L) z.
        teacher: (B, L) t.

    Returns:
        scalar.
    """
    return functional.smooth_l1_loss(_angles(student), _angles(teacher.detach()))


def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """Who is near whom, as a distribution: 1/B^2 sum_ij P^t_ij ln( P^t_ij / P^s_ij ).

    P_ij = (cos_ij + 1) / sum_j (cos_ij + 1), the diagonal included; 1e-7 is added to both sides of
    the fraction, as opposite codes have P = 0. Passalis & Tefas, "Learning Deep Representations
    with Probabilistic Knowledge Transfer", ECCV 2018.

    Args:
        student: (B, L) z.
        teacher: (B, L) t.

    Returns:
        scalar.
    """
    ours, theirs = _neighbours(student), _neighbours(teacher.detach())
    return (theirs * ((theirs + _EPS) / (ours + _EPS)).log()).mean()


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """Gram matrices of the batch: ||norm(t t^T) - norm(z z^T)||_F^2 / B^2, rows of length 1.

    Tung & Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019. BRCD's release has an
    L x L product of each single code instead.

    Args:
        student: (B, L) z.
        teacher: (B, L) t.

    Returns:
        scalar.
    """
    teacher = teacher.detach()
    ours = functional.normalize(student @ student.T, dim=1)
    theirs = functional.normalize(teacher @ teacher.T, dim=1)
    return functional.mse_loss(ours, theirs)


def _lengths(vectors: Tensor) -> Tensor:
    """Lengths along the last axis (kept), with gradient 0 and not infinity where one is 0."""
    squares = vectors.square().sum(dim=-1, keepdim=True)
    some = squares > 0
    return torch.where(some, squares, 1).sqrt() * some


def _differences(codes: Tensor) -> Tensor:
    """(B, B, L): item j minus item i."""
    return codes[None, :, :] - codes[:, None, :]


def _distances(codes: Tensor) -> Tensor:
    """(B, B), divided by the mean off the diagonal; zeros where all items coincide."""
    distances = _lengths(_differences(codes)).squeeze(-1)
    n_pairs = max(len(codes) * (len(codes) - 1), 1)
    mean = distances.sum() / n_pairs
    return distances / torch.where(mean > 0, mean, 1)


def _angles(codes: Tensor) -> Tensor:
    """(B, B, B) cosines between j - i and k - i, at [i, j, k]."""
    differences = _differences(codes)
    lengths = _lengths(differences)
    directions = differences / torch.where(lengths > 0, lengths, 1)
    return directions @ directions.transpose(1, 2)


def _neighbours(codes: Tensor) -> Tensor:
    rows = functional.normalize(codes, dim=1)
    near = (rows @ rows.T + 1) / 2
    return near / near.sum(dim=1, keepdim=True)
