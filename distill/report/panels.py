"""Queries of the query split with their nearest items of the database split."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.data import ImageTextDataset
from distill.report.page import Card, Compared, Panel, thumbnail

N_HITS = 10
N_TEXTS = 5


def query_panels(
    dataset: ImageTextDataset,
    codes: Mapping[str, NDArray[np.uint8]],
    modality: str,
    rows: Iterable[int],
) -> list[Panel]:
    """Return a panel per query row: the nearest pictures, for an image also the nearest texts.

    Args:
        dataset: Where texts, images and labels come from.
        codes: "image" and "text" -> (n_items, n_bytes) uint8, packed.
        modality: What is queried with, "image" or "text".
        rows: Rows of the dataset.
    """
    database = dataset.splits["database"]
    images = np.ascontiguousarray(codes["image"][database])
    texts = np.ascontiguousarray(codes["text"][database])
    panels = []
    for row in rows:
        query = codes[modality][row]
        cards = _cards(dataset, row, query, images)
        nearest = _hits(dataset, row, query, texts, N_TEXTS) if modality == "image" else []
        panels.append(
            Panel(
                title=_title(dataset, row),
                picture=_picture(dataset, row) if modality == "image" else None,
                labels=dataset.labels_of(row),
                cards=cards,
                texts=[(_title(dataset, i), distance, shared) for i, distance, shared in nearest],
            )
        )
    return panels


def image_panels(
    dataset: ImageTextDataset,
    query_codes: NDArray[np.uint8],
    db_codes: NDArray[np.uint8],
    rows: Iterable[int],
) -> list[Panel]:
    """Return a panel per row: the pictures whose codes in the database lie nearest to its own.

    Args:
        dataset: Where images and labels come from; without labels nothing is judged.
        query_codes: (n_items, n_bytes) uint8, packed.
        db_codes: (n_items, n_bytes) uint8, packed, of the same or another model.
        rows: Rows of the dataset.
    """
    database = np.ascontiguousarray(db_codes[dataset.splits["database"]])
    return [
        Panel(
            _title(dataset, row),
            _picture(dataset, row),
            dataset.labels_of(row),
            _cards(dataset, row, query_codes[row], database),
        )
        for row in rows
    ]


def compared_panels(
    dataset: ImageTextDataset,
    codes: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    rows: Iterable[int],
    *,
    asked: str,
) -> list[Compared]:
    """Return a panel per row: what each run finds for the same query, a line per run.

    Args:
        dataset: Where texts, images and labels come from.
        codes: Name of a run -> its codes of all items as queries and as a database, each
            (n_items, n_bytes) uint8, packed.
        rows: Rows of the dataset.
        asked: "text" or "image", which of a query is shown.
    """
    split = dataset.splits["database"]
    stored = {name: np.ascontiguousarray(database[split]) for name, (_, database) in codes.items()}
    panels = []
    for row in rows:
        lines = [
            (name, _cards(dataset, row, queries[row], stored[name]))
            for name, (queries, _) in codes.items()
        ]
        picture = _picture(dataset, row) if asked == "image" else None
        panels.append(Compared(_title(dataset, row), picture, dataset.labels_of(row), lines))
    return panels


def _cards(
    dataset: ImageTextDataset, row: int, query: NDArray[np.uint8], database: NDArray[np.uint8]
) -> list[Card]:
    """Return the hits of a query, not judged where the dataset has no labels."""
    judged = bool(dataset.labels.any())
    return [
        Card(_picture(dataset, i), _title(dataset, i), distance, shared if judged else None)
        for i, distance, shared in _hits(dataset, row, query, database, N_HITS)
    ]


def _picture(dataset: ImageTextDataset, row: int) -> str | None:
    return thumbnail(dataset.image(row)) if dataset.has_images else None


def _title(dataset: ImageTextDataset, row: int) -> str:
    return dataset.texts[row] or dataset.image_name(row)


def _hits(
    dataset: ImageTextDataset, row: int, query: NDArray[np.uint8], db_codes: Any, k: int
) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return (row, distance, shared labels) of the nearest items of the database split."""
    database = dataset.splits["database"]
    found = hamming.topk(query, db_codes, min(k, len(database)))
    items = database[found.indices]
    asked = dataset.labels_of(row)
    shared = [tuple(name for name in dataset.labels_of(i) if name in asked) for i in items]
    return list(zip(items.tolist(), found.distances.tolist(), shared, strict=True))
