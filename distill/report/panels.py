"""Queries of the query split with their nearest items of the database split."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.data import ImageTextDataset
from distill.report.page import Card, Panel, thumbnail

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
        cards = [
            Card(thumbnail(dataset.image(item)), dataset.texts[item], distance, shared)
            for item, distance, shared in _hits(dataset, row, query, images, N_HITS)
        ]
        nearest = _hits(dataset, row, query, texts, N_TEXTS) if modality == "image" else []
        panels.append(
            Panel(
                title=dataset.texts[row],
                picture=thumbnail(dataset.image(row)) if modality == "image" else None,
                labels=dataset.labels_of(row),
                cards=cards,
                texts=[(dataset.texts[i], distance, shared) for i, distance, shared in nearest],
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
    judged = dataset.labels.any()
    panels = []
    for row in rows:
        hits = _hits(dataset, row, query_codes[row], database, N_HITS)
        cards = [
            Card(
                thumbnail(dataset.image(i)),
                _title(dataset, i),
                distance,
                shared if judged else None,
            )
            for i, distance, shared in hits
        ]
        picture = thumbnail(dataset.image(row))
        panels.append(Panel(_title(dataset, row), picture, dataset.labels_of(row), cards))
    return panels


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
