"""The evaluation protocol as data: how many queries and validation items, drawn with which seed.

Every split of n items has four parts. `query` and `database` divide the items; `train` and
`validation` divide the part of the database that may be learned from. A fifth part, `unlabelled`,
is there where items of the database may be learned from without their labels: those that have none,
those that a file marks, and those whose labels `distill.data.labelled` hides.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.types import DistillError

Splits = Mapping[str, np.ndarray]
"""Part ("train", "validation", "query", "database" and, where there is one, "unlabelled") -> int64
row numbers, ascending when drawn."""

WORDS = ("train", "unlabelled", "validation", "query", "database")
"""What a file may say about an item. All but "query" items are in the database; "database" alone
means that an item is only searched."""


@dataclass(frozen=True)
class SplitProtocol:
    """How a dataset is divided.

    Attributes:
        queries: number of query items, or a share of the labelled items when below 1.
        validation: share of the labelled database held out from training.
        seed: any integer; the same seed gives the same split on every machine and NumPy.
    """

    queries: float = 0.1
    validation: float = 0.1
    seed: int = 0

    @property
    def origin(self) -> str:
        """Where a split comes from, in words."""
        return f"drawn with split seed {self.seed}"

    def draw(self, labelled: np.ndarray) -> Splits:
        """Divide items at random.

        Args:
            labelled: (n) bool, the items with at least one label.

        Raises:
            DistillError: fewer than three labelled items remain for the three drawn parts.
        """
        rows = np.flatnonzero(labelled)
        wanted = self.queries if self.queries >= 1 else self.queries * len(rows)
        n_query = max(1, round(wanted))
        if len(rows) < n_query + 2:
            raise DistillError(
                f"items: expected at least {n_query + 2} with a label ({n_query} as queries, one "
                f"for validation, one to train on), got {len(rows)}; add items"
            )
        order = self.order(rows)
        cut = n_query + self._n_validation(len(rows) - n_query)
        rest = np.flatnonzero(~labelled)
        return parts(len(labelled), order[:n_query], order[n_query:cut], order[cut:], rest)

    def hold_out(self, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Divide given training rows into (train, validation)."""
        order = self.order(train)
        cut = self._n_validation(len(order))
        return order[cut:], order[:cut]

    def order(self, rows: np.ndarray) -> np.ndarray:
        """Rows in the random order of the seed, which rests on their numbers alone."""
        # A hash per row: random generators may change their streams between NumPy versions.
        keys = [hashlib.sha256(f"{self.seed}:{row}".encode()).digest() for row in rows.tolist()]
        return rows[sorted(range(len(rows)), key=keys.__getitem__)]

    def _n_validation(self, n: int) -> int:
        return min(n - 1, max(1, round(self.validation * n)))


def from_words(said: Sequence[str], labelled: np.ndarray, protocol: SplitProtocol) -> Splits:
    """Take the split from one word of `WORDS` per item.

    Where no item says "validation", the protocol's share of the training items is held out. A
    "train" item without a label is an unlabelled one.

    Args:
        said: (n) one of `WORDS` for each item.
        labelled: (n) bool, the items with at least one label.
        protocol: gives the validation share and the seed; the rest is in the words.

    Raises:
        DistillError: a needed part is empty.
    """
    marked = {word: np.flatnonzero([w == word for w in said]) for word in WORDS}
    query, unmarked = marked["query"], marked["train"][~labelled[marked["train"]]]
    train, validation = (marked[word][labelled[marked[word]]] for word in ("train", "validation"))
    for word, rows, least in (("query", query, 1), ("train", train, 1 if len(validation) else 2)):
        if len(rows) < least:
            raise DistillError(
                f'split: expected at least {least} items marked "{word}"'
                f"{' that have a label' if word == 'train' else ''}, got {len(rows)}; "
                "mark more, or leave the split out everywhere to have one drawn"
            )
    if not len(validation):
        train, validation = protocol.hold_out(train)
    return parts(len(said), query, validation, train, [*marked["unlabelled"], *unmarked])


def unlabelled(n: int) -> Splits:
    """Train on all n items and search them all: without labels nothing can be evaluated.

    Raises:
        DistillError: fewer than two items.
    """
    if n < 2:
        raise DistillError(f"items: expected at least 2 to learn from, got {n}; add items")
    return parts(n, *np.split(np.arange(n), [0, 0]))


def describe(splits: Splits) -> str:
    """Sizes of a split in words."""
    return (
        f"{len(splits['query'])} queries against a database of {len(splits['database'])}, of which "
        f"{learners(splits)} and {len(splits['validation'])} validate"
    )


def learners(splits: Splits, *, digits: str = "") -> str:
    """How many items train, with their labels and without, in words.

    Args:
        splits: with "train", and "unlabelled" where there are some.
        digits: how numbers are written, a format as ",".
    """
    words = f"{len(splits['train']):{digits}} train"
    if "unlabelled" in splits:
        words += f", {len(splits['unlabelled']):{digits}} are unlabelled"
    return words


def parts(
    n: int,
    query: np.ndarray,
    validation: np.ndarray,
    train: np.ndarray,
    unlabelled: Sequence[int] | np.ndarray = (),
) -> Splits:
    """Name the parts of a split of n items; the database is everything that is not a query."""
    database = np.setdiff1d(np.arange(n), query)
    rows = {"train": train, "validation": validation, "query": query, "database": database}
    if len(unlabelled):
        rows["unlabelled"] = np.asarray(unlabelled)
    return {part: np.sort(members).astype(np.int64) for part, members in rows.items()}
