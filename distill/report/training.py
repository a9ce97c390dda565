"""How a run trained and scores, as figures with captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from distill.metrics.scores import Evaluation, direction_label
from distill.report import figures

Epoch = Mapping[str, Any]
"""One line of metrics.jsonl."""


@dataclass(frozen=True)
class Stage:
    """The curves of one training stage; figures are (caption, SVG)."""

    name: str
    summary: str
    figures: tuple[tuple[str, Markup], ...]


def stages(epochs: Sequence[Epoch], weights: Mapping[str, Any]) -> list[Stage]:
    """Return the stages in the order they ran.

    Args:
        epochs: The records of the run.
        weights: Settings of the method: term -> weight, by stage where there are several.
    """
    parts: dict[str, list[Epoch]] = {}
    for epoch in epochs:
        parts.setdefault(epoch["stage"], []).append(epoch)
    return [_stage(name, part, weights.get(name, weights)) for name, part in parts.items()]


def curves(evaluation: Evaluation) -> list[tuple[str, Markup]]:
    """Return the curves of every direction: precision over recall, and precision at n."""
    by_radius, by_rank = {}, {}
    for name, scores in evaluation.directions.items():
        points = zip(scores.curve_recall, scores.curve_precision, strict=True)
        # A radius that finds nothing relevant has no place on the curve.
        found = [point for point in points if point[1] > 0] or [(0.0, 0.0)]
        recall, precision = zip(*found, strict=True)
        by_radius[direction_label(name)] = (recall, precision)
        at = scores.precision_at
        by_rank[direction_label(name)] = (tuple(at), tuple(at.values()))
    # Within the last radius lies everything, whose precision is that of a random order.
    chance = max(scores.curve_precision[-1] for scores in evaluation.directions.values())
    return [
        (
            "All query-item pairs within a Hamming radius, pooled; one point per radius from 0 to "
            f"{evaluation.n_bits}.",
            figures.precision_recall_curves(by_radius, chance=chance),
        ),
        (
            "Share of relevant items among the first n, mean over the queries.",
            figures.precision_at_curves(by_rank, chance=chance),
        ),
    ]


def _stage(name: str, epochs: Sequence[Epoch], weights: Mapping[str, float]) -> Stage:
    numbers = [epoch["epoch"] for epoch in epochs]
    curves = {"weighted sum": (numbers, [epoch["loss"] for epoch in epochs])}
    for term in epochs[0]["terms"]:
        weight = weights.get(term, 1)
        label = term if weight == 1 else f"{term} (weight {weight:g})"
        curves[label] = (numbers, [epoch["terms"][term] for epoch in epochs])
    drawn = [("Loss terms before their weights, and the sum.", figures.loss_curves(name, curves))]
    if validated := [epoch for epoch in epochs if epoch.get("validation")]:
        numbers = [epoch["epoch"] for epoch in validated]
        scores = {
            direction_label(key): (numbers, [epoch["validation"][key] for epoch in validated])
            for key in validated[0]["validation"]
        }
        caption = "Validation items only: no query of the evaluation is used while training."
        drawn.append((caption, figures.validation_curves(name, scores)))
    seconds = sum(epoch["seconds"] for epoch in epochs)
    return Stage(name, f"{len(epochs)} epochs, {seconds:.0f} s", tuple(drawn))
