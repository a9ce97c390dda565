"""One cell of the benchmark: a training on features in memory, its codes, and their MAP."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import nn

from bench.distillation import labelled
from bench.distillation.features import TEACHER, Features
from bench.distillation.grid import Cell, Teacher
from distill.clusters import cluster_codes
from distill.config import HeadConfig, OptimConfig, TrainConfig
from distill.files import write_bytes
from distill.heads import LogitHead, head_output
from distill.image_runs import packed_codes
from distill.loop import fit
from distill.losses.quantization import sign
from distill.methods import bihalf, brcd, cibhash
from distill.methods.base import Stage
from distill.metrics import average_precision, mean_average_precision, ranked_relevance
from distill.types import Split

TOP = 1000
N_CLUSTERS, MARGIN = 10, 0.5
TEACHER_OPTIM = OptimConfig(
    epochs=60,
    batch_size=64,
    lr=5e-4,
    schedule="constant",
    weight_decay=0.0,
    validate_every=2,
    patience=3,
    checkpoint_every=1000,
)
STUDENT_OPTIM = OptimConfig(
    epochs=20,
    batch_size=64,
    lr=1e-3,
    schedule="constant",
    weight_decay=0.0,
    validate_every=0,
    checkpoint_every=1000,
)
Codes = NDArray[np.uint8]


def train_teacher(
    features: Features, kind: Teacher, bits: int, seed: int, cache: Path
) -> dict[str, Any]:
    """Train a teacher to its validation plateau, keep its head, describe it."""
    split = features.split(None)
    config = TrainConfig(
        method="cibhash", bits=bits, seed=seed, head=HeadConfig(kind="linear"), optim=TEACHER_OPTIM
    )
    torch.manual_seed(seed)
    in_dim = features.clean[TEACHER].shape[1]
    if kind == "labelled":
        method = labelled.build(in_dim, bits, features.labels.shape[1])
    else:
        build = {"cibhash": cibhash.build, "bihalf": bihalf.build}[kind]
        method = build(config, {"teacher": in_dim})
    head = method.heads["teacher"]
    curve: dict[int, float] = {}
    started = time.perf_counter()

    def validate(_: Stage) -> Mapping[str, float]:
        codes = packed_codes(head, features.clean[TEACHER])
        rows, train = features.splits["validation"], features.splits["train"]
        labels = features.labels[rows], features.labels[train]
        return {"map": mean_average_precision(codes[rows], codes[train], *labels, top=TOP)}

    def record(entry: Mapping[str, Any]) -> None:
        if "validation" in entry:
            curve[entry["epoch"]] = entry["validation"]["map"]

    fit(method, split, TEACHER_OPTIM, validate=validate, record=record, save=lambda _: None)
    write_bytes(_teacher_file(cache, kind, bits, seed), save(head.state_dict()))
    codes = packed_codes(head, features.clean[TEACHER])
    precision = scores(features, codes, codes, "query")
    return {
        "kind": kind,
        "bits": bits,
        "validation_curve": curve,
        "seconds": time.perf_counter() - started,
        "query": float(precision.mean()),
        "validation": float(scores(features, codes, codes, "validation").mean()),
        **_clusters_of(head, features, seed, cache),
    }


def load_teacher(features: Features, kind: Teacher, bits: int, seed: int, cache: Path) -> LogitHead:
    """A trained teacher's head."""
    head = LogitHead(features.clean[TEACHER].shape[1], bits, "linear")
    head.load_state_dict(load_file(_teacher_file(cache, kind, bits, seed)))
    return head.eval().requires_grad_(False)


def has_teacher(cache: Path, kind: Teacher, bits: int, seed: int) -> bool:
    """Whether a teacher's head is there."""
    return _teacher_file(cache, kind, bits, seed).is_file()


def run(cell: Cell, features: Features, cache: Path) -> dict[str, Any]:
    """Train a cell and score it in both paradigms, on validation and on query rows."""
    teacher = load_teacher(features, cell.teacher, cell.bits, cell.seed, cache)
    before = _digest(teacher)
    started = time.perf_counter()
    head = train_student(cell, features.split(cell.student), teacher, STUDENT_OPTIM.epochs, cache)
    trained = time.perf_counter() - started
    codes = {
        "student": packed_codes(head, features.clean[cell.student]),
        "teacher": packed_codes(teacher, features.clean[TEACHER]),
    }
    record: dict[str, Any] = {"train_seconds": round(trained, 2)}
    kept = {}
    for part in ("validation", "query"):
        for paradigm, database in (("sym", "student"), ("asym", "teacher")):
            precision = scores(features, codes["student"], codes[database], part)
            record[f"{paradigm}_{part}"] = round(float(precision.mean()), 6)
            if part == "query":
                kept[f"{paradigm}_query"] = precision
    _keep(cache, cell.key, **kept)
    record["seconds"] = round(time.perf_counter() - started, 2)
    record["teacher_unchanged"] = _digest(teacher) == before
    return record


def train_student(
    cell: Cell,
    split: Split,
    teacher: nn.Module,
    epochs: int,
    cache: Path | None,
    adjust: Callable[[brcd.Distillation], None] | None = None,
) -> nn.Module:
    """The student's trained head; cells of a seed share its first weights and its batches.

    Args:
        cell: what is trained.
        split: the training rows.
        teacher: features to logits.
        epochs: passes over the rows.
        cache: folder for clusters; None is nowhere.
        adjust: changes the prepared stage, such as its mask, before it trains.
    """
    optim = replace(STUDENT_OPTIM, epochs=epochs)
    config = TrainConfig(
        method="brcd",
        bits=cell.bits,
        seed=cell.seed,
        head=HeadConfig(kind=cell.head, hidden=512),
        optim=optim,
        distill=cell.settings(),
    )
    torch.manual_seed(cell.seed)
    dims = {"student": split.features["student"].shape[-1]}
    method = brcd.build(config, dims, teacher, cache=cache)
    if adjust is not None:
        (stage,) = method.stages
        stage.prepare(split)
        adjust(stage)
        stage.prepare = lambda _: None
    fit(method, split, optim, validate=lambda _: {}, record=lambda _: None, save=lambda _: None)
    return method.heads["student"]


def scores(
    features: Features, query_codes: Codes, db_codes: Codes, part: str
) -> NDArray[np.float64]:
    """AP@1000 of each row of a part against the whole database, ties in database order."""
    queries, database = features.splits[part], features.splits["database"]
    blocks = ranked_relevance(
        query_codes[queries],
        db_codes[database],
        features.labels[queries],
        features.labels[database],
        depth=TOP,
    )
    return np.concatenate([average_precision(block, top=TOP) for block in blocks])


def precisions(cache: Path, key: str, name: str) -> NDArray[np.float64]:
    """What `run` kept of a cell: AP of each query; `name` is sym_query or asym_query."""
    with np.load(_kept_file(cache, key)) as arrays:
        return arrays[name].astype(np.float64)


def has_precisions(cache: Path, key: str) -> bool:
    """Whether the cell's precisions are there."""
    return _kept_file(cache, key).is_file()


def _clusters_of(head: nn.Module, features: Features, seed: int, cache: Path) -> dict[str, Any]:
    """Purity, mask density, and how many views leave their cluster."""
    rows = features.splits["train"]
    codes = sign(head_output(head, features.clean[TEACHER][torch.tensor(rows)]))
    clusters = cluster_codes(codes, N_CLUSTERS, margin=MARGIN, seed=seed, cache=cache)
    classes = features.labels[rows].argmax(axis=1)
    table = np.zeros((N_CLUSTERS, features.labels.shape[1]), int)
    np.add.at(table, (clusters.labels.numpy(), classes), 1)
    views = sign(head_output(head, features.views[TEACHER].flatten(0, 1)))
    nearest = torch.cdist(views, clusters.centers).argmin(dim=1).view(len(rows), -1)
    return {
        "purity": float(table.max(axis=1).sum() / len(rows)),
        "mask_share": float(clusters.mask.mean()),
        "fewest_bits_kept": int(clusters.mask.sum(dim=1).min()),
        "views_that_leave": float((nearest != clusters.labels[:, None]).float().mean()),
        "bit_balance": float(codes.mean(dim=0).abs().mean()),
    }


def _teacher_file(cache: Path, kind: Teacher, bits: int, seed: int) -> Path:
    return cache / "teachers" / f"{kind}-{TEACHER}-{bits}bits-seed{seed}.safetensors"


def _kept_file(cache: Path, key: str) -> Path:
    name = "".join(c if c.isalnum() or c in ".-_" else "_" for c in key)
    return cache / "precisions" / f"{name}.npz"


def _keep(cache: Path, key: str, **arrays: NDArray[np.float64]) -> None:
    file = _kept_file(cache, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{name: array.astype(np.float32) for name, array in arrays.items()})


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()
