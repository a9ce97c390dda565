"""What an evaluation found: numbers with their protocol, as JSON and as tables."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any, NamedTuple

from distill.metrics.ranking import Cutoff
from distill.types import DistillError


def directions_of(modalities: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return every ordered pair: direction -> modality of the queries, of the database.

    Args:
        modalities: Names without an underscore. Pairs of two of them come first.

    Example:
        >>> list(directions_of(["image", "text"]))
        ['image_to_text', 'text_to_image', 'image_to_image', 'text_to_text']
    """
    names = tuple(modalities)
    pairs = [*permutations(names, 2), *((name, name) for name in names)]
    return {f"{a}_to_{b}": (a, b) for a, b in pairs}


DIRECTIONS = directions_of(("image", "text"))
"""Those of runs on images and texts."""

IMAGE_DIRECTIONS = {
    "student_to_student": ("student", "student"),
    "student_to_teacher": ("student", "teacher"),
    "teacher_to_teacher": ("teacher", "teacher"),
}
"""The same of image-hashing models: symmetric, asymmetric, and the teacher on its own."""

CUTOFFS: dict[Cutoff, str] = {
    "rank": "first k ranks, averaged over the relevant items among them",
    "relevant": "first k relevant items wherever they rank",
}
MAP_DEPTHS = (50, 1000)
TOPN_DEPTHS = range(200, 10_001, 200)
"""N of a topN-precision curve: 2 % to 100 % of 10,000, as DCHMT's code takes it."""
KEPT_DEPTH = 10
TIE_RULE = "equal distances in database order; 'tie mean' is the mean over random orders"
CONVENTIONS = (
    "Relevant: shares a label. MAP is over the whole ranking; "
    f"'MAP @k': {CUTOFFS['rank']}; 'MAP k rel.': {CUTOFFS['relevant']}. Ties: {TIE_RULE}. "
    "'P r≤2': precision within Hamming radius 2, 0 where nothing is found."
)
"""What the columns of a table mean."""


OWN_COLUMNS = ("queries", "items", "chance")
"""Columns of tables whose rows differ in them."""
_OWN_FIELDS = ("n_query", "n_database", "chance")


class Table(NamedTuple):
    """A table for people: the same cells on a terminal and in a page."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class DirectionScores:
    """The metrics of one direction; a depth beyond the database is absent.

    Attributes:
        map: Over the whole ranking, ties by index.
        map_tie_averaged: The same, expected over random orders inside equal distances.
        map_at: cutoff ("rank" or "relevant") -> k -> MAP@k, ties by index.
        precision_at: n -> share of relevant items among the first n, ties by index.
        lookup_radius_2: Mean precision within Hamming radius 2, an empty result being 0.
        curve_precision: Precision of all pairs within radius 0, 1, ..., n_bits.
        curve_recall: Their recall.
        n_query, n_database, chance: As of the `Evaluation`, where this direction has others: items
            that lack a modality neither ask nor are found in it.
    """

    map: float
    map_tie_averaged: float
    map_at: Mapping[str, Mapping[int, float]]
    precision_at: Mapping[int, float]
    lookup_radius_2: float
    curve_precision: tuple[float, ...]
    curve_recall: tuple[float, ...]
    n_query: int | None = None
    n_database: int | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """Scores with the protocol they hold under.

    Attributes:
        protocol: One sentence: dataset, split and its seed, text field, label field.
        n_bits: Code length.
        n_query, n_database: Items on either side.
        chance: Expected MAP of a random order of all items; of a direction that has a chance of its
            own, that one.
        directions: Scores by the names of `directions_of`.
        method, backbone: What produced the codes.
        seed: Seed of the training.
        neighbours_kept: Of a student, the share of the teacher's own `KEPT_DEPTH` nearest that the
            student's codes find in the teacher's database; None where there is no student.
        unscored: Directions without a query or without an item to find.
    """

    protocol: str
    n_bits: int
    n_query: int
    n_database: int
    chance: float
    directions: Mapping[str, DirectionScores]
    method: str = ""
    backbone: str = ""
    seed: int | None = None
    neighbours_kept: float | None = None
    unscored: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """Everything the numbers depend on, in sentences."""
        made_by = ", ".join(filter(None, (self.method, self.backbone, f"{self.n_bits} bits")))
        seed = "" if self.seed is None else f", seed {self.seed}"
        counts = f"{self.n_query} queries, {self.n_database} database items{self.shares}"
        conventions = CONVENTIONS if self.directions else "Nothing is scored."
        return f"{self.protocol.rstrip('. ')}. {counts}; {made_by}{seed}. {conventions}"

    @property
    def shares(self) -> str:
        """How many items have what some lack, and what could not be scored for it; or ""."""
        asked: dict[str, int] = {}
        stored: dict[str, int] = {}
        for name, scores in self.directions.items():
            a, b = sides(name)
            if scores.n_query is not None and scores.n_database is not None:
                asked[a], stored[b] = scores.n_query, scores.n_database
        parts = [
            f"{asked.get(m, 0):,} and {stored.get(m, 0):,} have {m}"
            for m in dict.fromkeys([*asked, *stored])
            if (asked.get(m), stored.get(m)) != (self.n_query, self.n_database)
        ]
        told = f", of which {', '.join(parts)}" if parts else ""
        left_out = ", ".join(map(direction_label, self.unscored))
        return told + (f" (without queries or items, not scored: {left_out})" if left_out else "")

    def to_json(self) -> str:
        """Return the evaluation as a JSON text, which says what its cut-offs and ties mean.

        What is the same for all directions stands there once, and what is not there not at all.
        """
        values = asdict(self)
        for scores in values["directions"].values():
            for key in [key for key in _OWN_FIELDS if scores[key] is None]:
                del scores[key]
        if not self.unscored:
            del values["unscored"]
        return json.dumps({**values, "conventions": CONVENTIONS}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Evaluation":
        """Read what `to_json` wrote.

        Raises:
            DistillError: The text is something else.
        """
        try:
            values = json.loads(text)
            del values["conventions"]
            scores = values.pop("directions").items()
            directions = {name: _scores_from(each) for name, each in scores}
            unscored = tuple(values.pop("unscored", ()))
            return cls(directions=directions, unscored=unscored, **values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DistillError(
                f"metrics: expected what an evaluation writes, got something else ({error}); "
                "write it anew with python -m distill.evaluate RUN"
            ) from error

    def table(self) -> Table:
        """Return one row per direction and one of chance; none where nothing could be scored.

        Where directions differ in their queries and items, a row tells its own and their chance.
        """
        depths = [k for k in MAP_DEPTHS if k <= self.n_database]
        apart = any(scores.chance is not None for scores in self.directions.values())
        columns = [
            "direction",
            *(OWN_COLUMNS if apart else ()),
            "MAP",
            "MAP tie mean",
            *(f"MAP @{k}" for k in depths),
            *(f"MAP {k} rel." for k in depths),
            "P@10",
            "P r≤2",
        ]
        rows = []
        for name, scores in self.directions.items():
            at = [scores.map_at[cutoff].get(k) for cutoff in CUTOFFS for k in depths]
            precision = scores.precision_at.get(10)
            cells = [scores.map, scores.map_tie_averaged, *at, precision, scores.lookup_radius_2]
            own = self.own(scores) if apart else ()
            rows.append((direction_label(name), *own, *map(_number, cells)))
        if rows and not apart:
            blank = ("-",) * (len(columns) - 3)
            rows.append(("chance", _number(self.chance), _number(self.chance), *blank))
        return Table(tuple(columns), tuple(rows))

    def own(self, scores: DirectionScores) -> tuple[str, str, str]:
        """Return the cells of `OWN_COLUMNS` of a direction."""
        if scores.chance is None:
            return f"{self.n_query:,}", f"{self.n_database:,}", _number(self.chance)
        return f"{scores.n_query:,}", f"{scores.n_database:,}", _number(scores.chance)


def sides(direction: str) -> tuple[str, str]:
    """Return ("image", "text") for "image_to_text": whose codes ask, whose are searched."""
    a, _, b = direction.partition("_to_")
    return a, b


def direction_label(name: str) -> str:
    """Return "image → text" for "image_to_text"."""
    return name.replace("_to_", " → ")


def _scores_from(values: Mapping[str, Any]) -> DirectionScores:
    """Undo what JSON does to a DirectionScores: keys that are text, lists for tuples."""
    at = values["map_at"].items()
    map_at = {cutoff: {int(k): score for k, score in by_k.items()} for cutoff, by_k in at}
    precision_at = {int(n): score for n, score in values["precision_at"].items()}
    curves = {key: tuple(values[key]) for key in ("curve_precision", "curve_recall")}
    return DirectionScores(**{**values, "map_at": map_at, "precision_at": precision_at, **curves})


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
