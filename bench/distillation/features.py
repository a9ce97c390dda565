"""The CIFAR-10 subset as frozen features: what every cell trains on and is scored by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill import data
from distill.encoders.backbones import load_backbone
from distill.encoders.view_cache import clean_features, view_features
from distill.types import Split

TOWERS = {
    "T96": ("efficientnet_lite2", 96),
    "S64": ("efficientnet_lite0", 64),
    "S32": ("efficientnet_lite0", 32),
}
"""Teacher and the two students: backbone and image size."""
TEACHER = "T96"
VIEWS, VIEW_SEED = 4, 0


@dataclass(frozen=True)
class Features:
    """Everything in memory.

    Attributes:
        clean: tower -> (n_items, d) float32.
        views: tower -> (n_train, VIEWS, d) float32.
        labels: (n_items, n_classes) uint8.
        splits: as in a dataset.
        protocol: the dataset's sentence.
    """

    clean: Mapping[str, Tensor]
    views: Mapping[str, Tensor]
    labels: NDArray[np.uint8]
    splits: Mapping[str, NDArray[np.int64]]
    protocol: str

    def split(self, student: str | None) -> Split:
        """The training rows as the methods take them."""
        rows = self.splits["train"]
        features = {
            "teacher": self.views[TEACHER],
            "clean": self.clean[TEACHER][torch.tensor(rows)],
        }
        if student is not None:
            features["student"] = self.views[student]
        return Split(features, torch.tensor(self.labels[rows]).float())


def load(path: Path, cache: Path) -> Features:
    """Read the data and their features; what the cache lacks is computed: 10 minutes."""
    dataset = data.load("cifar10-subset", path=path, queries_per_class=0)
    towers = {
        name: load_backbone(backbone, image_size=size) for name, (backbone, size) in TOWERS.items()
    }
    rows = dataset.splits["train"]
    views = view_features(
        list(towers.values()),
        dataset,
        rows,
        n_views=VIEWS,
        seed=VIEW_SEED,
        blur=False,
        cache=cache,
    )
    everything = np.arange(len(dataset))
    return Features(
        {
            name: clean_features(tower, dataset, everything, cache=cache)
            for name, tower in towers.items()
        },
        dict(zip(towers, views, strict=True)),
        dataset.labels,
        dataset.splits,
        dataset.protocol,
    )
