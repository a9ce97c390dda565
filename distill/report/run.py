"""The report of one run: what it was, how it trained, how it scores, what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distill import data, image_encoder
from distill.checkpoint import METRICS, Run, load_run
from distill.config import TrainConfig, config_to_toml
from distill.data import ImageTextDataset
from distill.files import write_text
from distill.metrics.scores import CONVENTIONS, Evaluation, direction_label
from distill.modalities import plural
from distill.report.image_run import write_image_report
from distill.report.page import Panel, render
from distill.report.panels import query_panels
from distill.report.training import curves, stages
from distill.types import DistillError
from distill.words import listed

N_QUERIES = 10
_REIMPLEMENTED = (
    "is reimplemented from its formulas, with this project's encoders and heads in the place of "
    "its authors' networks; no published figure is reproduced."
)
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
    "dcmh": ("DCMH", f"DCMH {_REIMPLEMENTED}"),
    "ssah": ("SSAH without its adversary", f"SSAH, without its adversary, {_REIMPLEMENTED}"),
    "dchmt": ("DCHMT", f"DCHMT {_REIMPLEMENTED}"),
    "skdch": (
        "SKDCH",
        "SKDCH is built after its authors' released code; no figure of the paper is reproduced.",
    ),
    "schgan": (
        "SCH-GAN",
        "The teacher of SKDCH alone, which is SCH-GAN: built after the released code of SKDCH; no "
        "published figure is reproduced.",
    ),
    "triplet": (
        "Triplets",
        "The student of SKDCH alone, from labelled items: built after the released code of SKDCH; "
        "no published figure is reproduced.",
    ),
}
"""Method -> what a page calls it, and what must be said about it."""

_LEAK = {"authors_leak": "the leak of hidden labels is closed"}
_MENDED = {"skdch": _LEAK | {"authors_bug": "the majority vote is mended"}, "schgan": _LEAK}
"""Method -> faults of the code it is built after, and what is done about them but for audit."""

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
    evaluation = _stored_evaluation(loaded)
    if loaded.config.method in image_encoder.METHODS:
        return write_image_report(loaded, evaluation, out, seed=seed)
    dataset = data.load(**asdict(loaded.config.data))
    loaded.check_dataset(dataset)
    epochs = loaded.records()
    codes = {name: loaded.codes(name) for name in loaded.modalities}
    page = render(
        "report.html",
        title=f"{METHODS[loaded.config.method][0]} · {evaluation.n_bits} bits · {dataset.name}",
        evaluation=evaluation,
        conventions=f"{_counts(evaluation)}{CONVENTIONS}",
        table=evaluation.table(),
        tiles=_tiles(evaluation, epochs, len(dataset)),
        notes=_notes(loaded.config, evaluation),
        stages=stages(epochs, settings_of(loaded.config)),
        curves=curves(evaluation),
        chosen=f"The queries are drawn at random from the query split (seed {seed}), not by "
        "their results; they are searched in the database split.",
        sections=_sections(dataset, codes, seed),
        config=config_to_toml(loaded.config),
    )
    write_text(out, page)
    return out


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of a configuration's method, among them the weights of its terms."""
    table = {"schgan": "skdch", "triplet": "skdch"}.get(config.method, config.method)
    return asdict(getattr(config, table))


def _stored_evaluation(run: Run) -> Evaluation:
    if not (run.path / METRICS).is_file():
        raise DistillError(
            f"run: expected an evaluated run in {run.path}, got one without {METRICS}; "
            f"evaluate it with python -m distill.evaluate {run.path}"
        )
    return Evaluation.from_json(run.metrics())


def _counts(evaluation: Evaluation) -> str:
    """A sentence on queries and items, where directions differ in them; or ""."""
    if not evaluation.shares:
        return ""
    return f"{evaluation.n_query:,} queries, {evaluation.n_database:,} items{evaluation.shares}. "


class _Section(NamedTuple):
    """Queries of a modality: where they stand in the page, their heading, and a panel of each."""

    anchor: str
    link: str
    title: str
    panels: list[Panel]


def _sections(
    dataset: ImageTextDataset, codes: Mapping[str, NDArray[np.uint8]], seed: int
) -> list[_Section]:
    """Queries of every modality, in the images where the run has any.

    Texts and images ask for different items where the split is large enough.
    """
    database = dataset.splits["database"]
    found = [m for m in dict.fromkeys(("image", *codes)) if m in codes]
    against = next((m for m in found if dataset.has(m)[database].any()), None)
    query = dataset.splits["query"]  # read-only where it is empty, and would be shuffled in place
    drawn = query[np.random.default_rng(seed).permutation(len(query))]
    sections = []
    for modality in dict.fromkeys(("text", "image", *codes)):
        if modality not in codes or against is None:
            continue
        having = drawn[dataset.has(modality)[drawn]]
        rows = having[-N_QUERIES:] if modality == "image" else having[:N_QUERIES]
        link = f"{modality.capitalize()} queries"
        panels = query_panels(dataset, codes, modality, rows, against=against)
        title = f"{link}, nearest {plural(against)}"
        sections.append(_Section(f"asked-{modality}", link, title, panels))
    return [section for section in sections if section.panels]


def _tiles(
    evaluation: Evaluation, epochs: Sequence[Mapping[str, Any]], n_items: int
) -> list[tuple[str, str]]:
    scores = evaluation.directions
    named = [(f"MAP {direction_label(name)}", f"{scores[name].map:.3f}") for name in scores]
    seconds = sum(epoch.get("seconds", 0) for epoch in epochs)
    sizes = [("items", f"{n_items:,}"), ("bits", str(evaluation.n_bits))]
    trained = [("training", f"{seconds:.0f} s")] if epochs else []
    chance = [("MAP by chance", f"{evaluation.chance:.3f}")] if scores else []
    return [*named[:3], *chance, *sizes, *trained]


def _notes(config: TrainConfig, evaluation: Evaluation) -> list[str]:
    notes = [
        METHODS[config.method][1],
        f"Features come from the encoder {evaluation.backbone}; {_TRAINED[config.encoder.mode]}.",
    ]
    if evaluation.directions:
        notes.append(
            "Scores are comparable within this protocol only, not with published tables on other "
            "data."
        )
    mended = [
        said
        for fault, said in _MENDED.get(config.method, {}).items()
        if fault not in evaluation.method
    ]
    if mended:
        notes[0] += f" Against that code, {listed(mended)}."
    if evaluation.method.startswith(f"{config.method} ("):
        audit = f"this run is {evaluation.method}: it repeats a fault of that code"
        notes.insert(1, f"For audit, {audit}.")
    if config.encoder.pretrained == "random":
        notes.append("The encoder's weights are random: no score here speaks for the method.")
    return notes
