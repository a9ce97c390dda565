"""Pseudo-labels: what the labelled among an item's nearest neighbours vote for.

After section "knowledge" of SKDCH's released code, where the vote was emptied in every round, so
that one neighbour decided; `authors_bug` does that again, for audit.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from distill.types import DistillError

_ROWS = 512


def neighbours_for(labels: Tensor, n: int) -> int:
    """K where none is given: 1.25 times the mean size of a class, at least 1, at most n.

    Args:
        labels: (n_labelled, n_labels) of the labelled items.
        n: items in all, labelled or not.
    """
    sizes = labels.float().mean(dim=0)
    per_class = float(sizes[sizes > 0].mean()) * n
    return max(1, min(n, round(1.25 * per_class)))


def nearest(features: Tensor, present: Tensor, k: int) -> Tensor:
    """Which items are among the k nearest of which, by Euclidean distance, oneself included.

    Args:
        features: (n, d) of one modality.
        present: (n,) bool, items that have it; the others are near to none.
        k: 1..n; of equal distances the lower row is nearer.

    Returns:
        (n, n) bool, row i: the neighbours of item i.
    """
    n = len(features)
    rows = present.nonzero().flatten()
    found = torch.zeros(n, n, dtype=torch.bool, device=features.device)
    there = features[rows].double()
    for part in rows.split(_ROWS):
        away = torch.cdist(
            features[part].double(), there, compute_mode="donot_use_mm_for_euclid_dist"
        )
        order = away.sort(dim=1, stable=True).indices[:, :k]
        found[part[:, None], rows[order]] = True
    return found


def pseudo_labels(
    codes: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
    labels: Tensor,
    labelled: Tensor,
    k: int,
    *,
    authors_bug: bool = False,
) -> Tensor:
    """Labels of all items: their own where they are labelled, else by the vote of neighbours.

    The neighbours of an item are the union of its k nearest in every modality that it has; the
    labelled among them vote once each. Where every labelled item has one label, the label with most
    votes wins, of equals the first. Else every label wins that at least half of the voters carry,
    and in any case the one with most votes. An item without a labelled neighbour has the nearest
    labelled item of each of its modalities vote.

    Args:
        codes: modality -> (n, d) real-valued codes by the teacher.
        present: modality -> (n,) bool, items that have it.
        labels: (n, n_labels); rows that are not labelled are not read.
        labelled: (n,) bool.
        k: neighbours in each modality, oneself included.
        authors_bug: the labelled neighbour of highest row alone decides.

    Returns:
        (n, n_labels) float32, 0 or 1.

    Raises:
        DistillError: k is not in 1..n, or no item is labelled.
    """
    n = len(labels)
    if not 1 <= k <= n:
        raise DistillError(
            f"neighbours: expected 1 to the {n} items that are learned from, got {k}; lower it"
        )
    if not labelled.any():
        raise DistillError("labelled: expected at least one labelled item, got none; label some")
    known = torch.where(labelled[:, None], labels, 0.0)
    voters = torch.zeros(n, n, dtype=torch.bool, device=labels.device)
    for modality, values in codes.items():
        voters |= nearest(values, present[modality], k)
    voters &= labelled
    for row in (~voters.any(dim=1) & ~labelled).nonzero().flatten().tolist():
        voters[row] = _nearest_labelled(codes, present, labelled, row)
    if authors_bug:
        last = n - 1 - voters.flip(1).int().argmax(dim=1)
        decided = known[last]
    else:
        votes = torch.cat([part.float() @ known for part in voters.split(_ROWS)])
        decided = _decided(votes, voters.sum(dim=1), single=_single(known, labelled))
    return torch.where(labelled[:, None], known, decided)


def _single(known: Tensor, labelled: Tensor) -> bool:
    return bool((known[labelled].sum(dim=1) == 1).all())


def _decided(votes: Tensor, voters: Tensor, *, single: bool) -> Tensor:
    """(n, n_labels) of votes (n, n_labels) by so many voters (n,)."""
    top = torch.zeros_like(votes).scatter_(1, votes.argmax(dim=1, keepdim=True), 1.0)
    if single:
        return top
    return torch.maximum(top, (2 * votes >= voters[:, None]).to(votes))


def _nearest_labelled(
    codes: Mapping[str, Tensor], present: Mapping[str, Tensor], labelled: Tensor, row: int
) -> Tensor:
    """(n,) bool, the nearest labelled item in every modality that the item of a row has."""
    found = torch.zeros_like(labelled)
    for modality, values in codes.items():
        others = (labelled & present[modality]).nonzero().flatten()
        if present[modality][row] and len(others):
            away = (values[others].double() - values[row].double()).square().sum(dim=1)
            found[others[away.argmin()]] = True
    if not found.any():
        raise DistillError(
            f"labelled: expected a labelled item in a modality of every item, got none for "
            f"training row {row}; label more items, or leave it out"
        )
    return found
