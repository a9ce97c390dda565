"""Triplets of an item of one modality with a positive and a negative of another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from distill.types import Split

Codes = Callable[[str, Tensor], Tensor]
"""(modality, row numbers (n,)) -> codes (n, n_bits)."""


@dataclass(frozen=True)
class Triplets:
    """Row numbers of triplets, each (n,) int64."""

    queries: Tensor
    positives: Tensor
    negatives: Tensor

    @property
    def partners(self) -> Tensor:
        """(n,) bool, where the positive is the query's own other half."""
        return self.queries == self.positives


def ordered_pairs(modalities: Sequence[str]) -> list[tuple[str, str]]:
    """Every (modality of the queries, modality of what is searched), the two being different."""
    return list(permutations(modalities, 2))


def share_label(labels: Tensor, queries: Tensor, others: Tensor) -> Tensor:
    """(n, m) bool, whether rows of labels have a label in common.

    Args:
        labels: (n_rows, n_labels), 0 or 1.
        queries: (n,) row numbers.
        others: (m,) row numbers.
    """
    return labels[queries] @ labels[others].T > 0


def draw(chances: Tensor, n: int) -> Tensor:
    """Draw n columns of each row (m, n_columns), by chances that need not sum to 1; (m, n)."""
    return torch.multinomial(chances.float(), n, replacement=True)


def draw_triplets(labels: Tensor, queries: Tensor, pool: Tensor, n: int) -> Triplets:
    """Make n triplets of each query, with positives and negatives drawn evenly from a pool.

    Args:
        labels: (n_rows, n_labels), 0 or 1.
        queries: (m,) row numbers; those without a positive or a negative in the pool are left out.
        pool: row numbers.
        n: triplets of a query.

    Returns:
        the triplets, those of a query one after the other.
    """
    if not len(pool) or not len(queries):
        empty = queries[:0]
        return Triplets(empty, empty, empty)
    similar = share_label(labels, queries, pool)
    usable = similar.any(dim=1) & ~similar.all(dim=1)
    queries, similar = queries[usable], similar[usable]
    if not len(queries):
        return Triplets(queries, queries, queries)
    positives, negatives = (pool[draw(chances, n)] for chances in (similar, ~similar))
    return Triplets(queries.repeat_interleave(n), positives.flatten(), negatives.flatten())


def with_modality(split: Split, modality: str, rows: Tensor) -> Tensor:
    """Those of the rows whose item has a modality, in their order."""
    return rows[split.has(modality)[rows]]


class CodesOnce:
    """Codes of the rows that a step needs, each item's computed once.

    Args:
        encode: computes codes.
        needed: modality -> row numbers, with repetitions.
    """

    def __init__(self, encode: Codes, needed: dict[str, list[Tensor]], n_rows: int) -> None:
        self._codes: dict[str, Tensor] = {}
        self._place: dict[str, Tensor] = {}
        for modality, parts in needed.items():
            rows = torch.cat(parts).unique()
            if not len(rows):
                continue
            place = rows.new_full((n_rows,), -1)
            place[rows] = torch.arange(len(rows), device=rows.device)
            self._codes[modality], self._place[modality] = encode(modality, rows), place

    def __call__(self, modality: str, rows: Tensor) -> Tensor:
        """Codes (n, n_bits) of row numbers (n,), which were needed."""
        return self._codes[modality][self._place[modality][rows]]
