"""Clusters of a teacher's codes, the bits that mean something in them, and how many to ask for."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from distill.files import write_bytes
from distill.losses.distillation import bit_mask
from distill.types import DistillError

RESTARTS = 10
PREFIX = "clusters-"
_SAMPLE = 2000
MaskKind = Literal["on", "off", "soft", "zero"]


class Clusters(NamedTuple):
    """k-means of n codes.

    Attributes:
        labels: (n,) int64, the cluster of each code.
        centers: (K, n_bits) float32 means of their codes.
        mask: (K, n_bits) float32, 1 where the size of the mean exceeds the margin.
    """

    labels: Tensor
    centers: Tensor
    mask: Tensor


class Quality(NamedTuple):
    """How well a number of clusters fits: inertia, and silhouette in [-1, 1]."""

    n_clusters: int
    inertia: float
    silhouette: float


def cluster_codes(
    codes: Tensor, n_clusters: int, *, margin: float, seed: int, cache: Path | None = None
) -> Clusters:
    """Cluster codes by k-means (k-means++, restarts, Euclidean), as the released code does.

    Args:
        codes: (n, n_bits) float32 in {-1, +1}.
        n_clusters: K.
        margin: a bit counts in a cluster if the size of its mean there exceeds this.
        seed: of k-means.
        cache: folder in which the result is kept under the hash of all the above; None is nowhere.

    Raises:
        DistillError: there are not as many different codes as clusters.
    """
    check_clusters(n_clusters, len(codes))
    n_distinct = len(torch.unique(codes, dim=0))
    if n_distinct < n_clusters:
        raise DistillError(
            f"clusters: expected at most the {n_distinct} different codes that the teacher gives "
            f"the training images, got {n_clusters}; lower --distill.clusters"
        )
    file = None if cache is None else cache / f"{PREFIX}{_key(codes, n_clusters, margin, seed)}"
    kept = None if file is None else read_clusters(file)
    if kept is not None:
        labels = kept.labels
    else:
        labels = torch.from_numpy(_k_means(codes, n_clusters, seed).labels_).long()
    members = torch.nn.functional.one_hot(labels, n_clusters).double()
    centers = (members.T @ codes.double() / members.sum(dim=0)[:, None]).float()
    # Made anew also where it is kept: it warns of a cluster that is left without any bit.
    mask = bit_mask(codes, labels, n_clusters, margin)
    found = Clusters(labels, centers, mask)
    if file is not None and kept is None:
        write_bytes(file, save(found._asdict()))
    return found


def check_clusters(n_clusters: int, n_images: int) -> None:
    """Refuse more clusters than there are images."""
    if n_clusters > n_images:
        raise DistillError(
            f"clusters: expected at most the {n_images} training images, got {n_clusters}; "
            "lower --distill.clusters, or give more images"
        )


def mask_of(clusters: Clusters, kind: MaskKind) -> Tensor:
    """The (K, n_bits) factors of the bits: "on" the mask, "off" ones, "soft" |mean|, "zero" 0."""
    if kind == "off":
        return torch.ones_like(clusters.mask)
    if kind == "zero":
        return torch.zeros_like(clusters.mask)
    return clusters.mask if kind == "on" else clusters.centers.abs()


def compare_numbers(codes: Tensor, numbers: Iterable[int], *, seed: int) -> list[Quality]:
    """Inertia and silhouette (of at most 2,000 codes) for numbers of clusters that are possible."""
    from sklearn.metrics import silhouette_score  # seconds to import, needed by few

    most = len(torch.unique(codes, dim=0)) - 1
    found = []
    for k in numbers:
        if k > most:
            break
        means = _k_means(codes, k, seed)
        score = silhouette_score(
            codes.numpy(), means.labels_, sample_size=min(_SAMPLE, len(codes)), random_state=seed
        )
        found.append(Quality(k, float(means.inertia_), float(score)))
    return found


def read_clusters(file: Path) -> Clusters | None:
    """What `cluster_codes` kept; None where there is no such file or it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            return Clusters(*(opened.get_tensor(name) for name in Clusters._fields))
    except (FileNotFoundError, SafetensorError):
        return None


def _k_means(codes: Tensor, n_clusters: int, seed: int) -> Any:
    from sklearn.cluster import KMeans  # seconds to import, needed by few

    # Sums of +-1 are exact in float64, in any order: the same clusters at every thread count.
    model = KMeans(n_clusters, init="k-means++", n_init=RESTARTS, random_state=seed % 2**32)
    return model.fit(codes.double().numpy())


def _key(codes: Tensor, n_clusters: int, margin: float, seed: int) -> str:
    digest = hashlib.sha256(f"{n_clusters}\n{margin}\n{seed}\n{tuple(codes.shape)}\n".encode())
    digest.update((codes > 0).numpy().tobytes())
    return f"{digest.hexdigest()[:32]}.safetensors"
