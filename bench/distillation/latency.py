"""How fast teacher and students encode, and how large they are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hamming
from bench.distillation.features import TOWERS
from distill import data
from distill.encoders.backbones import Backbone, load_backbone
from distill.heads import LogitHead

N_BITS = 64
BATCHES = (1, 64)
_WARM_UP, _CALLS = 5, 40


def measure(path: Path) -> list[dict[str, Any]]:
    """Median time of a call and images a second, per tower and batch, on one thread.

    A call takes pixels at the tower's size and gives packed codes; calls of all towers take turns,
    so that a busy machine slows all of them alike.
    """
    torch.set_num_threads(1)
    dataset = data.load("cifar10-subset", path=path)
    towers = {
        name: load_backbone(backbone, image_size=size) for name, (backbone, size) in TOWERS.items()
    }
    images = [dataset.image(int(row)) for row in dataset.splits["query"][: max(BATCHES)]]
    records = []
    for batch in BATCHES:
        calls = {}
        for name, tower in towers.items():
            pixels = torch.stack([tower.resize(image) for image in images[:batch]])
            calls[name] = _call(tower, pixels)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(_WARM_UP + _CALLS):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                if number >= _WARM_UP:
                    times[name].append(time.perf_counter() - started)
        for name, tower in towers.items():
            median = statistics.median(times[name])
            records.append(
                {
                    "tower": name,
                    "batch": batch,
                    "median_ms": round(1000 * median, 3),
                    "images_per_s": round(batch / median, 1),
                    "parameters": tower.n_parameters + N_BITS * (tower.dim + 1),
                    "calls": _CALLS,
                }
            )
    return records


def _call(tower: Backbone, pixels: Tensor) -> Callable[[], object]:
    head = LogitHead(tower.dim, N_BITS).eval().requires_grad_(False)

    def call() -> object:
        return hamming.pack(head(tower.features(pixels)).numpy())

    return call
