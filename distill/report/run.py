"""The report of one run: what it was, how it trained, how it scores, what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import data, image_encoder
from distill.checkpoint import METRICS, load_run
from distill.config import TrainConfig, config_to_toml
from distill.files import write_text
from distill.metrics.scores import CONVENTIONS, Evaluation, direction_label
from distill.report.image_run import write_image_report
from distill.report.page import render
from distill.report.panels import query_panels
from distill.report.training import curves, stages
from distill.types import DistillError

N_QUERIES = 10

METHODS = {
    "soda": (
        "SODA",
        "SODA is reconstructed from its abstract: losses, weights and prompts are choices of this "
        "project, and no figure of the paper is reproduced here.",
    ),
    "no_teacher": (
        "No teacher",
        "The ablation without a teacher: image and text heads are trained directly on the labels.",
    ),
    "contrastive": (
        "Contrastive",
        "The label-free baseline: contrastive heads, then the sign of a random rotation.",
    ),
}
"""Method -> what a page calls it, and what must be said about it."""

_TRAINED = {
    "frozen": "only hash heads are trained",
    "finetune": "its towers are trained together with the hash heads",
}


def write_report(run: Path, out: Path, *, seed: int = 0) -> Path:
    """Write the report of a trained and evaluated run as one self-contained HTML page.

    Args:
        run: Run folder with metrics.json, metrics.jsonl and codes.
        out: HTML file, replaced as a whole or not at all.
        seed: Chooses the queries that are shown, from the query split.

    Raises:
        DistillError: The run is missing, incomplete, or its data cannot be loaded.
    """
    loaded = load_run(run)
    evaluation = _stored_evaluation(loaded.path / METRICS)
    if loaded.config.method in image_encoder.METHODS:
        return write_image_report(loaded, evaluation, out, seed=seed)
    dataset = data.load(**asdict(loaded.config.data))
    loaded.check_dataset(dataset)
    epochs = loaded.records()
    text_rows, image_rows = _chosen(dataset.splits["query"], seed)
    codes = {name: loaded.codes(name) for name in ("image", "text")}
    page = render(
        "report.html",
        title=f"{METHODS[loaded.config.method][0]} · {evaluation.n_bits} bits · {dataset.name}",
        evaluation=evaluation,
        conventions=CONVENTIONS,
        table=evaluation.table(),
        tiles=_tiles(evaluation, epochs, len(dataset)),
        notes=_notes(loaded.config, evaluation),
        stages=stages(epochs, asdict(getattr(loaded.config, loaded.config.method))),
        curves=curves(evaluation),
        chosen=f"The queries are drawn at random from the query split (seed {seed}), not by "
        "their results; they are searched in the database split.",
        text_panels=query_panels(dataset, codes, "text", text_rows),
        image_panels=query_panels(dataset, codes, "image", image_rows),
        config=config_to_toml(loaded.config),
    )
    write_text(out, page)
    return out


def _stored_evaluation(path: Path) -> Evaluation:
    if not path.is_file():
        raise DistillError(
            f"run: expected an evaluated run in {path.parent}, got one without {path.name}; "
            f"evaluate it with python -m distill.evaluate {path.parent}"
        )
    return Evaluation.from_json(path.read_text(encoding="utf-8"))


def _chosen(query: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw rows for text and for image queries: different ones where the split is large enough."""
    drawn = np.random.default_rng(seed).permutation(query)
    return drawn[:N_QUERIES], drawn[-N_QUERIES:]


def _tiles(
    evaluation: Evaluation, epochs: Sequence[Mapping[str, Any]], n_items: int
) -> list[tuple[str, str]]:
    scores = evaluation.directions
    named = [(f"MAP {direction_label(name)}", f"{scores[name].map:.3f}") for name in scores]
    seconds = sum(epoch.get("seconds", 0) for epoch in epochs)
    sizes = [("items", f"{n_items:,}"), ("bits", str(evaluation.n_bits))]
    trained = [("training", f"{seconds:.0f} s")] if epochs else []
    return [*named[:3], ("MAP by chance", f"{evaluation.chance:.3f}"), *sizes, *trained]


def _notes(config: TrainConfig, evaluation: Evaluation) -> list[str]:
    notes = [
        METHODS[config.method][1],
        f"Features come from the encoder {evaluation.backbone}; {_TRAINED[config.encoder.mode]}.",
        "Scores are comparable within this protocol only, not with published tables on other data.",
    ]
    if config.encoder.pretrained == "random":
        notes.append("The encoder's weights are random: no score here speaks for the method.")
    return notes
