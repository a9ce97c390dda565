"""Figures on the codes of image-hashing models: balance, correlation, clusters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray

import hamming
from distill.clusters import PREFIX, Clusters, Quality, compare_numbers, read_clusters
from distill.metrics.bits import bit_correlations, bit_means, mean_correlation
from distill.report import figures

Caption = tuple[str, Markup]
NUMBERS = range(2, 15)
"""Numbers of clusters that the elbow figure compares."""
_MOST = 5000


def bit_figures(
    codes: Mapping[str, NDArray[np.uint8]], n_bits: int, run: Path, *, margin: float, seed: int
) -> list[Caption]:
    """Return captions and figures on a run's codes.

    Args:
        codes: model -> (n, n_bytes) uint8 codes of the training images.
        n_bits: Code length.
        run: Run folder, where clusters lie if the method has made any.
        margin: Of the bit mask.
        seed: Of the clustering.
    """
    found = [_balance(codes, n_bits)]
    found += [_correlation(model, each, n_bits) for model, each in codes.items()]
    for file in sorted(run.glob(f"{PREFIX}*")):
        clusters = read_clusters(file)
        if clusters is not None:
            found.append(_redundancy(clusters, margin))
    return found + _numbers(codes["teacher"][:_MOST], n_bits, seed)


def _balance(codes: Mapping[str, NDArray[np.uint8]], n_bits: int) -> Caption:
    sizes = {model: np.abs(bit_means(each, n_bits)) for model, each in codes.items()}
    means = ", ".join(f"{size.mean():.3f} {model}" for model, size in sizes.items())
    values = {model: size.tolist() for model, size in sizes.items()}
    figure = figures.sorted_bars("balance of the bits", "size of the mean", values)
    return f"Balance: the size of each bit's mean, 0 is on half of the time. Mean: {means}.", figure


def _correlation(model: str, codes: NDArray[np.uint8], n_bits: int) -> Caption:
    matrix = bit_correlations(codes, n_bits)
    figure = figures.heat_map(
        f"correlation of the {model}'s bits", np.abs(matrix), xlabel="bit", ylabel="bit"
    )
    mean = mean_correlation(matrix)
    return f"Size of the correlation of the {model}'s bits; mean of the others: {mean:.3f}.", figure


def _redundancy(clusters: Clusters, margin: float) -> Caption:
    figure = figures.heat_map(
        "size of the bits' means in each cluster",
        clusters.centers.abs().numpy(),
        xlabel="bit of the teacher",
        ylabel="cluster",
    )
    share, fewest = float(clusters.mask.mean()), int(clusters.mask.sum(dim=1).min())
    return (
        f"Redundancy: the size of each bit's mean within a cluster; dark is a coin flip there. "
        f"{share:.0%} of the pairs exceed the margin {margin:g}, fewest in a cluster {fewest} bits."
    ), figure


def _numbers(codes: NDArray[np.uint8], n_bits: int, seed: int) -> list[Caption]:
    """How the number of clusters could be chosen: inertia bends, silhouette peaks."""
    signs = torch.from_numpy(hamming.unpack(np.ascontiguousarray(codes), n_bits)).float() * 2 - 1
    found: list[Quality] = compare_numbers(signs, NUMBERS, seed=seed)
    if len(found) < 2:
        return []
    ks = [quality.n_clusters for quality in found]
    most = found[0].inertia
    curves: dict[str, Any] = {
        "inertia, share of the first": (ks, [quality.inertia / most for quality in found]),
        "silhouette": (ks, [quality.silhouette for quality in found]),
    }
    figure = figures.numbers_of_clusters(curves)
    return [
        (
            "Number of clusters of the teacher's codes: look for the bend of the inertia and the "
            "peak of the silhouette.",
            figure,
        )
    ]
