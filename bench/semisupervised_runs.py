"""What is kept of a run of bench/semisupervised.py."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import checkpoint
from distill.config import TrainConfig
from distill.data.base import ImageTextDataset
from distill.metrics import mean_average_precision
from distill.metrics.scores import Evaluation, directions_of

Curve = list[tuple[int, float]]
TEACHER_STAGES = ("supervised", "adversarial")


def record_of(
    config: TrainConfig, dataset: ImageTextDataset, *, teacher: bool = False
) -> dict[str, Any]:
    """The numbers of a finished run, or of the teacher that it trained on the way.

    Raises:
        DistillError: the run is damaged, or of other data.
    """
    run = checkpoint.load_run(config.run_folder)
    run.check_dataset(dataset)
    scores, records = Evaluation.from_json(run.metrics()), run.records()
    if teacher:
        scores = Evaluation.from_json(run.teacher_metrics() or "")
        records = [epoch for epoch in records if epoch["stage"] in TEACHER_STAGES]
    curves = validation_curves(records)
    last = records[-1]["stage"]
    found = {
        "map": {name: direction.map for name, direction in scores.directions.items()},
        "chance": {
            name: scores.chance if direction.chance is None else direction.chance
            for name, direction in scores.directions.items()
        },
        "backbone": scores.backbone,
        "seconds": sum(epoch["seconds"] for epoch in records),
        "epochs": epochs_of(records),
        "best_validation": max((value for _, value in curves.get(last, ())), default=None),
        "validation": curves,
    }
    if not teacher and (run.path / "pseudo_labels.npy").is_file():
        found["pseudo"] = quality_of(run, dataset)
    if not teacher and "unlabelled" in dataset.splits:
        codes = {m: np.asarray(run.codes(m)) for m in run.modalities}
        found["parts"] = map_by_part(codes, dataset)
    return found


def map_by_part(
    codes: Mapping[str, NDArray[np.uint8]], dataset: ImageTextDataset
) -> dict[str, dict[str, float]]:
    """MAP of the queries against parts of the database alone, which training knew differently.

    "labelled" items were learned from with their labels, "hidden" ones without; "unseen" ones,
    those that validate, were not learned from.

    Args:
        codes: modality -> (n_items, n_bytes), packed.
        dataset: of the items, whose labels are read here, after training.

    Returns:
        part -> direction -> MAP, for directions from one modality to another.
    """
    splits, labels = dataset.splits, dataset.labels
    parts = {"labelled": "train", "hidden": "unlabelled", "unseen": "validation"}
    found: dict[str, dict[str, float]] = {}
    for part, rows in ((part, splits[name]) for part, name in parts.items()):
        found[part] = {}
        for direction, (a, b) in directions_of(tuple(codes)).items():
            if a != b:
                query, database = (
                    each[dataset.has(m)[each]] for m, each in ((a, splits["query"]), (b, rows))
                )
                found[part][direction] = mean_average_precision(
                    codes[a][query], codes[b][database], labels[query], labels[database]
                )
    return found


def validation_curves(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Stage -> epochs that were validated, from 1, and the mean MAP of all directions there."""
    curves: dict[str, Curve] = {}
    for epoch in records:
        if figures := epoch.get("validation"):
            mean = round(statistics.mean(figures.values()), 5)
            curves.setdefault(epoch["stage"], []).append((epoch["epoch"], mean))
    return curves


def epochs_of(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Stage -> epochs that it was trained for."""
    return {epoch["stage"]: epoch["epoch"] for epoch in records}


def quality_of(run: checkpoint.Run, dataset: ImageTextDataset) -> dict[str, float]:
    """How right the pseudo-labels of a run are; the truth is read here, after training."""
    rows, given = (np.load(run.path / f"{n}.npy") for n in ("training_rows", "pseudo_labels"))
    known = dataset.labels[rows].any(axis=1)  # some data have items whose labels no one knows
    hidden = np.isin(rows, dataset.splits["unlabelled"]) & known
    return label_quality(given[hidden], dataset.labels[rows[hidden]])


def label_quality(given: NDArray[Any], true: NDArray[Any]) -> dict[str, float]:
    """Precision and recall of labels, over all labels of all items together.

    Args:
        given: (n, n_labels), 0 or 1; at least one is 1.
        true: the same of the truth.

    Returns:
        items, precision, recall, and how many labels an item was given and has.
    """
    right = int(((given == 1) & (true == 1)).sum())
    n_given, n_true = int((given == 1).sum()), int((true == 1).sum())
    return {
        "items": len(given),
        "precision": right / n_given,
        "recall": right / n_true,
        "given": n_given / len(given),
        "true": n_true / len(given),
    }
