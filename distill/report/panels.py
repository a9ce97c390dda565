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
