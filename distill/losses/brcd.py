"""BRCD: contrastive distillation of teacher codes that skips bits and negatives that mislead.

After He et al., "Bit-mask Robust Contrastive Knowledge Distillation for Unsupervised Semantic
Hashing" (WWW 2024), read from its released code; the formula of the mask is a reconstruction.
Letters: B images, L bits, K clusters; z_i the student's codes of view i, t_i and t_j the teacher's
codes of both views, c the cluster of an image and c^ that of its view j, C the centres, M the mask.
"""

import logging
import math
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from distill.types import DistillError

Mode = Literal["intended", "released"]
Filter = Literal["full", "negatives", "none"]
_MODES = ("intended", "released")
_FILTERS = ("full", "negatives", "none")
_log = logging.getLogger(__name__)


def bit_mask(
    codes: Tensor | ArrayLike, clusters: Tensor | ArrayLike, n_clusters: int, margin: float
) -> Tensor:
    """Which bits mean something in a cluster: M_kl = 1 if |mean of bit l over cluster k| > margin.

    Well-trained bits are balanced and independent over all images; those that stay so within one
    cluster are coin flips there. A cluster left without any bit is named in a warning.

    Args:
        codes: (n, L) in {-1, +1}.
        clusters: (n,) integers, 0 to n_clusters - 1.
        n_clusters: K.
        margin: 0 or more; the comparison is strict. From 1 on, no bit is left.

    Returns:
        (K, L) float32, 0 or 1; a cluster without codes has 0s.

    Raises:
        DistillError: anything above does not hold.
    """
    codes = torch.as_tensor(codes)
    _check_codes(codes)
    labels = _labels(clusters, len(codes), n_clusters, codes.device)
    if not (math.isfinite(margin) and margin >= 0):
        raise DistillError(f"margin: expected a finite number >= 0, got {margin}; try 0.5")
    # Sums of +-1 are exact in float64, so a mean that equals the margin never passes it.
    members = functional.one_hot(labels, n_clusters).double()
    sizes = members.sum(dim=0).clamp(min=1)
    means = members.T @ codes.double() / sizes[:, None]
    mask = (means.abs() > margin).float()
    empty = (mask.sum(dim=1) == 0).nonzero().flatten().tolist()
    if empty:
        _log.warning(
            "mask: no bit of cluster %s has a mean beyond the margin %g; lower the margin",
            ", ".join(map(str, empty)),
            margin,
        )
    return mask


def brcd_loss(
    student_i: Tensor | ArrayLike,
    teacher_i: Tensor | ArrayLike,
    teacher_j: Tensor | ArrayLike,
    clusters: Tensor | ArrayLike,
    centers: Tensor | ArrayLike,
    mask: Tensor | ArrayLike,
    *,
    alpha: float = 0.8,
    tau: float = 0.3,
    mode: Mode = "intended",
    filter: Filter = "full",
    per_row: bool = False,
) -> Tensor:
    """One InfoNCE over the rows of Z = [m z_i ; m t_j], m = M[c]; gradients reach z_i only.

    L = 1/2B sum_r -log( e^pos_r / (e^pos_r + sum_{v in N(r)} e^s_rv) )

    with a = `individual_similarity`, s = `structural_similarity`, pos = `positive_logits` and N(r)
    of `kept_negatives`; both rows of an image share its pos. A row without negatives costs 0. A
    mask of ones is no mask, and values between 0 and 1 weigh the bits.

    Args:
        student_i: (B, L) float z_i, whose dtype and device the computation takes.
        teacher_i: (B, L) t_i.
        teacher_j: (B, L) t_j.
        clusters: (B,) integers c.
        centers: (K, L) C.
        mask: (K, L) M in [0, 1].
        alpha: weight of the individual similarity in a positive, 0 to 1.
        tau: temperature, above 0.
        mode: "released" has two rules of the released code: view j is assigned to a cluster after
            masking, and the negatives of a teacher row are those outside c, not c^.
        filter: "full" trusts only a of an image whose view j left its cluster, and drops negatives
            of equal cluster. "negatives" is the released lighter flag: c stands for both views, so
            no view counts as having left, and negatives are dropped by it. "none" does neither.
        per_row: return the 2B summands.

    Returns:
        scalar, or (2B,) of the rows of Z.

    Raises:
        DistillError: shapes that do not fit, or a value out of its range.
    """
    _check_settings(alpha, tau, mode, filter)
    z_i = torch.as_tensor(student_i)
    if not z_i.is_floating_point():
        z_i = z_i.to(torch.get_default_dtype())
    t_i, t_j, centers, mask = (
        torch.as_tensor(x).detach().to(z_i.device) for x in (teacher_i, teacher_j, centers, mask)
    )
    _check_shapes(z_i, t_i, t_j, centers, mask)
    c = _labels(clusters, len(z_i), len(centers), z_i.device)
    t_i, t_j, m = t_i.to(z_i), t_j.to(z_i), mask[c].to(z_i)
    view = c
    if filter == "full":
        view = assign(m * t_j if mode == "released" else t_j, centers)
    similarity = structural_similarity(m * z_i, m * t_j, tau=tau)
    individual = individual_similarity(z_i, t_i, tau=tau)
    positive = positive_logits(individual, similarity, view != c, alpha=alpha)
    kept = kept_negatives(c, view, mode=mode, removal=filter != "none")
    losses = _row_losses(positive, similarity, kept)
    return losses if per_row else losses.mean()


def individual_similarity(student: Tensor, teacher: Tensor, *, tau: float) -> Tensor:
    """Same image, same view, all bits: a_b = cos(z_i[b], t_i[b]) / tau, (B,) of two (B, L)."""
    return functional.cosine_similarity(student, teacher, dim=1) / tau


def assign(codes: Tensor, centers: Tensor) -> Tensor:
    """Nearest centre, the first of equals: c^_b = argmin_k ||x_b - C_k||^2.

    Args:
        codes: (B, L) x.
        centers: (K, L) C.

    Returns:
        (B,) int64.
    """
    # In float64, and not as |x|^2 - 2xC + |C|^2: rounding must not move a view between clusters.
    away = torch.cdist(
        codes.double(), centers.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    return away.argmin(dim=1)


def structural_similarity(student: Tensor, teacher: Tensor, *, tau: float) -> Tensor:
    """All pairs of rows: s_uv = cos(Z_u, Z_v) / tau, Z = [student ; teacher]; 0 for a zero row.

    Args:
        student: (B, L) masked codes of view i.
        teacher: (B, L) masked codes of view j.
        tau: temperature.

    Returns:
        (2B, 2B).
    """
    rows = functional.normalize(torch.cat([student, teacher]), dim=1)
    return rows @ rows.T / tau


def positive_logits(
    individual: Tensor, similarity: Tensor, offset: Tensor, *, alpha: float
) -> Tensor:
    """The one positive of an image: pos_b = alpha_b a_b + (1 - alpha_b) s_{b,B+b}.

    alpha_b = 1 where the view left its cluster (an offset positive), else alpha.

    Args:
        individual: (B,) a.
        similarity: (2B, 2B) s.
        offset: (B,) bool.
        alpha: see above.

    Returns:
        (B,).
    """
    weight = torch.full_like(individual, alpha).masked_fill(offset, 1)
    return weight * individual + (1 - weight) * similarity.diagonal(len(individual))


def kept_negatives(clusters: Tensor, view: Tensor, *, mode: Mode, removal: bool) -> Tensor:
    """N(r): all rows but r, its partner and, with removal, those of r's own cluster.

    A column has cluster c in the student half and c^ in the teacher half. So has a row, but in
    released mode, where it has c in both.

    Args:
        clusters: (B,) int64 c.
        view: (B,) int64 c^.
        mode: see above.
        removal: see above.

    Returns:
        (2B, 2B) bool.
    """
    n = len(clusters)
    image = torch.arange(n, device=clusters.device).repeat(2)
    kept = image[:, None] != image
    if removal:
        columns = torch.cat([clusters, view])
        rows = torch.cat([clusters, clusters]) if mode == "released" else columns
        kept &= rows[:, None] != columns
    return kept


def _row_losses(positive: Tensor, similarity: Tensor, kept: Tensor) -> Tensor:
    """(2B,) -log( e^pos / (e^pos + sum of kept e^s) ): a dropped negative weighs exactly 0."""
    pos = positive.repeat(2)
    negatives = similarity.masked_fill(~kept, -torch.inf)
    # With the positive among the terms none is a sum of nothing, whose gradient would be NaN.
    return torch.cat([pos[:, None], negatives], dim=1).logsumexp(dim=1) - pos


def _check_codes(codes: Tensor) -> None:
    if codes.ndim != 2:
        raise DistillError(
            f"codes: expected shape (n, n_bits), got {tuple(codes.shape)}; pass one code a row"
        )
    wrong = codes[(codes != 1) & (codes != -1)]
    if len(wrong):
        raise DistillError(
            f"codes: expected -1 and +1 only, got {wrong[0].item():g}; "
            "take the sign of the values, or 2 * bits - 1"
        )


def _labels(clusters: Tensor | ArrayLike, n: int, n_clusters: int, device: torch.device) -> Tensor:
    """The clusters of n rows as int64, refused unless they are 0 to n_clusters - 1."""
    labels = torch.as_tensor(clusters, device=device)
    if labels.dtype in (torch.uint16, torch.uint32, torch.uint64):
        labels = labels.long()  # torch finds no least of these
    if labels.shape != (n,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise DistillError(
            f"clusters: expected ({n},) integers, one per code, got "
            f"{tuple(labels.shape)} {labels.dtype}; pass the labels of k-means for these rows"
        )
    if n_clusters < 1:
        raise DistillError(f"n_clusters: expected at least 1, got {n_clusters}; try 10")
    if n and not 0 <= int(labels.min()) <= int(labels.max()) < n_clusters:
        raise DistillError(
            f"clusters: expected 0 to {n_clusters - 1}, got {int(labels.min())} to "
            f"{int(labels.max())}; number the clusters from 0, a centre for each"
        )
    return labels.long()


def _check_shapes(z_i: Tensor, t_i: Tensor, t_j: Tensor, centers: Tensor, mask: Tensor) -> None:
    if z_i.ndim != 2 or not len(z_i):
        raise DistillError(
            f"student_i: expected shape (n, n_bits), got {tuple(z_i.shape)}; pass one code a row"
        )
    for name, codes in (("teacher_i", t_i), ("teacher_j", t_j)):
        if codes.shape != z_i.shape:
            raise DistillError(
                f"{name}: expected shape {tuple(z_i.shape)} as student_i, got "
                f"{tuple(codes.shape)}; teacher and student need the same images and bits"
            )
    n_bits = z_i.shape[1]
    if centers.ndim != 2 or centers.shape[1] != n_bits:
        raise DistillError(
            f"centers: expected shape (n_clusters, {n_bits}), got {tuple(centers.shape)}; "
            "pass the means of the teacher's codes in each cluster"
        )
    if not bool(centers.isfinite().all()):
        raise DistillError("centers: expected finite numbers, got NaN or infinity; cluster again")
    if mask.shape == centers.shape and not bool(((mask >= 0) & (mask <= 1)).all()):
        raise DistillError("mask: expected factors from 0 to 1, got others; use bit_mask")
    if mask.shape != centers.shape:
        raise DistillError(
            f"mask: expected shape {tuple(centers.shape)} as centers, got {tuple(mask.shape)}; "
            "make it with bit_mask from the same clusters"
        )


def _check_settings(alpha: float, tau: float, mode: str, filter: str) -> None:
    if not 0 <= alpha <= 1:
        raise DistillError(f"alpha: expected 0 to 1, got {alpha}; the default is 0.8")
    if not (math.isfinite(tau) and tau > 0):
        raise DistillError(f"tau: expected a finite number > 0, got {tau}; the default is 0.3")
    for name, value, known in (("mode", mode, _MODES), ("filter", filter, _FILTERS)):
        if value not in known:
            raise DistillError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
