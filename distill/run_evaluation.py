"""How runs on images, texts and the like are scored: while they train, and in the end."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from distill import checkpoint, image_encoder, image_runs
from distill.config import TrainConfig
from distill.data.base import ImageTextDataset
from distill.evaluation import Evaluation, evaluate
from distill.inputs import Inputs
from distill.methods.base import Method, Stage
from distill.metrics import mean_average_precision
from distill.metrics.scores import directions_of
from distill.modalities import MODALITIES


def validation_map(
    method: Method, dataset: ImageTextDataset, inputs: Inputs
) -> Callable[[Stage], dict[str, float]]:
    """MAP of the validation rows against the training rows, as a function of the stage.

    An item that lacks a modality neither asks by it nor is found by it; what nothing could ask or
    find has no figure.
    """

    def validate(stage: Stage) -> dict[str, float]:
        if not len(dataset.splits["validation"]):
            return {}
        heads = stage.heads or method.heads
        codes, labels = [], []
        for part in ("validation", "train"):
            rows = dataset.splits[part]
            has = {m: dataset.has(m)[rows] for m in stage.modalities}
            codes.append({m: inputs.codes(m, heads[m], part)[kept] for m, kept in has.items()})
            labels.append({m: dataset.labels[rows[kept]] for m, kept in has.items()})
        return {
            name: mean_average_precision(codes[0][a], codes[1][b], labels[0][a], labels[1][b])
            for name, (a, b) in directions_of(stage.modalities).items()
            if len(codes[0][a]) and len(codes[1][b])
        }

    return validate


def evaluate_run(
    run: checkpoint.Run, dataset: ImageTextDataset, codes: Mapping[str, NDArray[np.uint8]]
) -> Evaluation:
    """Score a run's codes of all items in every ordered pair of its modalities.

    Args:
        run: of a method on images, texts and the like.
        dataset: its items; the queries' labels are opened here.
        codes: modality -> (n_items, n_bytes), packed.
    """
    config = run.config
    return evaluate(
        codes,
        dataset.labels,
        dataset.splits,
        n_bits=config.bits,
        protocol=dataset.protocol,
        method=_method_name(config),
        backbone=backbone(config, dataset.features, tuple(codes)),
        seed=config.seed,
        directions=directions_of(codes),
        present={m: dataset.has(m) for m in codes},
    )


def _method_name(config: TrainConfig) -> str:
    """The method, and which faults of its authors' code a run repeats, for tables."""
    audited = {"skdch": ("authors_leak", "authors_bug"), "schgan": ("authors_leak",)}
    found = [name for name in audited.get(config.method, ()) if getattr(config.skdch, name)]
    return f"{config.method} ({', '.join(found)})" if found else config.method


def backbone(
    config: TrainConfig, given: Collection[str] = (), modalities: Collection[str] = MODALITIES
) -> str:
    """What the features came from, for tables: random weights are named as such.

    Args:
        config: of the run.
        given: modalities that the dataset brought as features.
        modalities: those of the run.
    """
    if config.method in image_encoder.METHODS:
        return image_runs.towers_line(config)
    prompts = config.method == "soda" and config.soda.prompt != "multihot"
    if own := [f"{m} features as given" for m in sorted(given) if m in modalities]:
        encoded = [m for m in modalities if m not in given] + ["label"] * prompts
        through = [f"{' and '.join(encoded)} through {_encoder(config)}"] if encoded else []
        return "; ".join([*own, *through])
    return _encoder(config)


def _encoder(config: TrainConfig) -> str:
    weights = {None: "pip weights", "random": "RANDOM weights"}.get(config.encoder.pretrained)
    state = {"frozen": "frozen", "finetune": "fine-tuned"}[config.encoder.mode]
    return f"{config.encoder.teacher}, {weights or config.encoder.pretrained}, {state}"
