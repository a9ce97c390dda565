"""How a run trained and scores, as figures with captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from distill.metrics.scores import DirectionScores, Evaluation, direction_label, sides
from distill.report import figures

Epoch = Mapping[str, Any]
"""One line of metrics.jsonl."""
_TOGETHER = 6
"""Directions that one figure holds."""
_SAME = 1e-9
"""Difference of two chances that are one."""
_APART = " Directions differ in the precision of a random order, so that no chance is drawn."


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
    own = {name: each for name, each in weights.items() if isinstance(each, Mapping)}
    return [_stage(name, part, own.get(name, weights)) for name, part in parts.items()]


def curves(evaluation: Evaluation) -> list[tuple[str, Markup]]:
    """Return the curves of every direction: precision over recall, and precision at n.

    Many directions are drawn by what asks, a figure each.
    """
    scores = evaluation.directions
    if not scores:
        return []
    if len(scores) <= _TOGETHER:
        return _curves(evaluation, scores)
    by_query: dict[str, dict[str, DirectionScores]] = {}
    for name, each in scores.items():
        by_query.setdefault(sides(name)[0], {})[name] = each
    parts = [_curves(evaluation, part, of=asked) for asked, part in by_query.items()]
    return [figure for part in parts for figure in part]


def _curves(
    evaluation: Evaluation, directions: Mapping[str, DirectionScores], *, of: str | None = None
) -> list[tuple[str, Markup]]:
    """Both figures of some directions, which share `of` as their queries."""
    by_radius, by_rank = {}, {}
    for name, scores in directions.items():
        points = zip(scores.curve_recall, scores.curve_precision, strict=True)
        # A radius that finds nothing relevant has no place on the curve.
        found = [point for point in points if point[1] > 0] or [(0.0, 0.0)]
        recall, precision = zip(*found, strict=True)
        by_radius[direction_label(name)] = (recall, precision)
        at = scores.precision_at
        by_rank[direction_label(name)] = (tuple(at), tuple(at.values()))
    # Within the last radius lies everything, whose precision is that of a random order.
    chances = [scores.curve_precision[-1] for scores in directions.values()]
    shared = max(chances) - min(chances) < _SAME
    chance, told = (max(chances), "") if shared else (None, _APART)
    queries = f"Queries by {of}: " if of else ""
    return [
        (
            f"{queries}All query-item pairs within a Hamming radius, pooled; one point per radius "
            f"from 0 to {evaluation.n_bits}.{told}",
            figures.precision_recall_curves(by_radius, chance=chance, of=of),
        ),
        (
            f"{queries}Share of relevant items among the first n, mean over the queries.{told}",
            figures.precision_at_curves(by_rank, chance=chance, of=of),
        ),
    ]


def _stage(name: str, epochs: Sequence[Epoch], weights: Mapping[str, Any]) -> Stage:
    curves: dict[str, tuple[list[int], list[float]]] = {}

    def add(label: str, epoch: Epoch, value: float) -> None:
        numbers, values = curves.setdefault(label, ([], []))
        numbers.append(epoch["epoch"])
        values.append(value)

    alike = len({tuple(epoch["terms"]) for epoch in epochs}) == 1
    for epoch in epochs:
        # Epochs that differ in their terms have sums of different things.
        sum_of = "" if alike else f": {', '.join(epoch['terms'])}"
        add(f"weighted sum{sum_of}", epoch, epoch["loss"])
        for term, value in epoch["terms"].items():
            add(_label(term, weights.get(term)), epoch, value)
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


def _label(term: str, weight: Any) -> str:
    """A term with its weight, where the settings have one under its name."""
    known = isinstance(weight, int | float) and not isinstance(weight, bool) and weight != 1
    return f"{term} (weight {weight:g})" if known else term
