"""How much of its teacher a student keeps if it learns from all images that will be searched.

The database lies there without labels and the teacher encodes it anyway, so nothing but habit keeps
a student to the 5,000 images of its teacher. Settings are compared on validation queries.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.distillation import cell
from bench.distillation.features import TEACHER, TOWERS, Features
from distill import data
from distill.config import DistillConfig, HeadConfig, OptimConfig, TrainConfig
from distill.encoders.backbones import load_backbone
from distill.encoders.view_cache import view_features
from distill.image_runs import packed_codes
from distill.loop import fit
from distill.methods import brcd
from distill.types import Split

STUDENT, BITS, SEEDS = "S64", 64, (0, 1, 2)
VIEWS = 2
HEAD = HeadConfig(kind="mlp", hidden=1024, dropout=0.5)
OPTIM = OptimConfig(
    epochs=20,
    batch_size=128,
    lr=1e-3,
    schedule="cosine",
    weight_decay=0.0,
    validate_every=0,
    checkpoint_every=1000,
)
METHODS = {
    "bce, own loss off": DistillConfig(kind="bce", own_loss=False),
    "brcd no mask, own loss off": DistillConfig(mask="off", own_loss=False),
}


def measure(path: Path, features: Features, cache: Path) -> dict[str, Any]:
    """Train every method on every seed's teacher; scores of both paradigms, and of the teachers."""
    split = _split(path, features, cache)
    cells, teachers = {}, {}
    for seed in SEEDS:
        teacher = cell.load_teacher(features, "cibhash", BITS, seed, cache)
        codes = packed_codes(teacher, features.clean[TEACHER])
        teachers[str(seed)] = _mean(features, codes, codes)
        for name, settings in METHODS.items():
            started = time.perf_counter()
            config = TrainConfig(
                method="brcd", bits=BITS, seed=seed, head=HEAD, optim=OPTIM, distill=settings
            )
            torch.manual_seed(seed)
            dims = {"student": split.features["student"].shape[-1]}
            method = brcd.build(config, dims, teacher, cache=cache)
            fit(
                method,
                split,
                OPTIM,
                validate=lambda _: {},
                record=lambda _: None,
                save=lambda _: None,
            )
            own = packed_codes(method.heads["student"], features.clean[STUDENT])
            cells[f"{name}/{seed}"] = {
                "sym": _mean(features, own, own),
                "asym": _mean(features, own, codes),
                "seconds": round(time.perf_counter() - started, 1),
            }
            print(name, seed, cells[f"{name}/{seed}"], teachers[str(seed)], flush=True)
    return {
        "student": STUDENT,
        "bits": BITS,
        "images": len(split),
        "views": VIEWS,
        "head": "mlp, 1,024 hidden units, dropout 0.5",
        "cells": cells,
        "teachers": teachers,
        "chosen": _chosen(cells),
    }


def _split(path: Path, features: Features, cache: Path) -> Split:
    """All rows of the database with the features of their views."""
    rows = np.array(features.splits["database"])
    names = (TEACHER, STUDENT)
    towers = [load_backbone(name, image_size=size) for name, size in map(TOWERS.get, names)]
    views = view_features(
        towers,
        data.load("cifar10-subset", path=path, queries_per_class=0),
        rows.tolist(),
        n_views=VIEWS,
        seed=1,
        blur=False,
        cache=cache,
    )
    own = {
        model: torch.cat([view, features.clean[tower][rows][:, None]], dim=1)
        for model, tower, view in zip(("teacher", "student"), names, views, strict=True)
    }
    own["clean"] = features.clean[TEACHER][rows]
    return Split(own, torch.zeros(len(rows), 1))  # labels that say nothing


def _mean(features: Features, queries: cell.Codes, database: cell.Codes) -> dict[str, float]:
    parts = ("validation", "query")
    return {p: round(float(cell.scores(features, queries, database, p).mean()), 6) for p in parts}


def _chosen(cells: dict[str, Any]) -> str:
    """The method that does best on validation queries, over both paradigms."""

    def score(name: str) -> float:
        found = [cells[f"{name}/{seed}"] for seed in SEEDS]
        return float(np.mean([one[p]["validation"] for one in found for p in ("sym", "asym")]))

    return max(METHODS, key=score)
