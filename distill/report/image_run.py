"""The report of a run that hashes images alone: a teacher, or a student beside its teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import data
from distill.checkpoint import Run
from distill.config import TrainConfig, config_to_toml
from distill.files import write_text
from distill.image_encoder import models_of
from distill.metrics.scores import CONVENTIONS, KEPT_DEPTH, Evaluation, direction_label
from distill.report.bits import bit_figures
from distill.report.page import render
from distill.report.panels import image_panels
from distill.report.training import curves, stages

N_QUERIES = 10
TITLES = {"cibhash": "CIBHash", "bihalf": "Bi-half", "brcd": "BRCD"}
NOTES = {
    "cibhash": "CIBHash's loss on frozen features, without labels; this is not its authors' "
    "network, and no published figure is reproduced.",
    "bihalf": "The bi-half layer on frozen features, without labels; this is not its authors' "
    "network, and no published figure is reproduced.",
    "brcd": "BRCD is read from its released code, whose bit mask is empty: the mask's formula is a "
    "reconstruction, and no figure of the paper is reproduced.",
}


def write_image_report(run: Run, evaluation: Evaluation, out: Path, *, seed: int) -> Path:
    """Write the report of a trained and evaluated run as one self-contained HTML page.

    Args:
        run: An open run of a method that hashes images alone.
        evaluation: Its stored evaluation.
        out: HTML file, replaced as a whole or not at all.
        seed: Chooses the queries that are shown.
    """
    config = run.config
    dataset = data.load(**asdict(config.data))
    run.check_dataset(dataset)
    epochs = run.records()
    codes = {model: run.codes(model) for model in models_of(config)}
    train = {model: np.asarray(each)[dataset.splits["train"]] for model, each in codes.items()}
    asking = models_of(config)[0]
    of_split = len(dataset.splits["query"]) > 0
    rows = dataset.splits["query"] if of_split else dataset.splits["database"]
    page = render(
        "image_report.html",
        title=f"{TITLES[config.method]} · {evaluation.n_bits} bits · {dataset.name}",
        evaluation=evaluation,
        conventions=CONVENTIONS,
        table=evaluation.table(),
        tiles=_tiles(evaluation, epochs, len(dataset)),
        notes=_notes(config, evaluation),
        stages=stages(epochs, _weights(config)),
        bits=bit_figures(
            train, config.bits, run.path, margin=config.distill.margin, seed=config.seed
        ),
        curves=curves(evaluation) if evaluation.directions else [],
        asked=f"Queries by the {asking}, in the database of the teacher",
        chosen=f"Drawn at random from the {'query split' if of_split else 'images'} (seed {seed}), "
        "not by their results.",
        panels=image_panels(dataset, codes[asking], codes["teacher"], _drawn(rows, seed)),
        config=config_to_toml(config),
    )
    write_text(out, page)
    return out


def _drawn(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(rows)[:N_QUERIES]


def _weights(config: TrainConfig) -> dict[str, float]:
    return {"divergence": config.hashing.kl, "distill": config.distill.weight}


def _tiles(
    evaluation: Evaluation, epochs: Sequence[Mapping[str, Any]], n_items: int
) -> list[tuple[str, str]]:
    scores = evaluation.directions.items()
    found = []
    for name, each in scores:
        at = each.map_at["rank"].get(1000)
        label = direction_label(name)
        found.append(
            (f"MAP {label}", f"{each.map:.3f}")
            if at is None
            else (f"MAP@1000 {label}", f"{at:.3f}")
        )
    if scores:
        found.append(("MAP by chance", f"{evaluation.chance:.3f}"))
    if evaluation.neighbours_kept is not None:
        name = f"of the teacher's {KEPT_DEPTH} nearest found"
        found.append((name, f"{evaluation.neighbours_kept:.0%}"))
    seconds = sum(epoch.get("seconds", 0) for epoch in epochs)
    sizes = [("items", f"{n_items:,}"), ("bits", str(evaluation.n_bits))]
    return [*found, *sizes, ("training", f"{seconds:.0f} s")]


def _notes(config: TrainConfig, evaluation: Evaluation) -> list[str]:
    notes = [
        NOTES[config.method],
        f"Features come from {evaluation.backbone}; only hash heads are trained.",
        "Scores are comparable within this protocol only, not with published tables.",
    ]
    if config.method == "brcd":
        own = "with" if config.distill.own_loss else "without"
        notes.insert(1, f"Distillation: {config.distill.kind}, {own} a loss of the student's own.")
    if "random" in (config.images.backbone_weights, config.images.student_weights):
        notes.append("A backbone's weights are random: no score here speaks for the method.")
    if not evaluation.directions:
        notes.append("The images have no labels, so no MAP can be told.")
    return notes
