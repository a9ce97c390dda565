"""Queries of the query split with their nearest items of the database split."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.data import ImageTextDataset
from distill.data.images import NoImages, Pictures
from distill.report.page import Card, Compared, Panel, thumbnail

N_HITS = 10
N_TEXTS = 5


class Database(NamedTuple):
    """What is searched: rows (m,) of items and their codes (m, n_bytes), packed."""

    rows: NDArray[np.int64]
    codes: NDArray[np.uint8]


def database_of(
    dataset: ImageTextDataset, codes: NDArray[np.uint8], modality: str | None = None
) -> Database:
    """Return the items of the database split that have a modality, with their codes.

    Args:
        dataset: The items.
        codes: (n_items, n_bytes) uint8, packed.
        modality: What the codes are of; None where all items have it.
    """
    rows = dataset.splits["database"]
    if modality is not None:
        rows = rows[dataset.has(modality)[rows]]
    return Database(rows, np.ascontiguousarray(codes[rows]))


def query_panels(
    dataset: ImageTextDataset,
    codes: Mapping[str, NDArray[np.uint8]],
    modality: str,
    rows: Iterable[int],
    *,
    against: str = "image",
) -> list[Panel]:
    """Return a panel per query row: the nearest items, for an image also the nearest texts.

    Args:
        dataset: Where texts, images and labels come from.
        codes: Modality -> (n_items, n_bytes) uint8, packed.
        modality: What is queried with.
        rows: Rows of the dataset that have it.
        against: Modality that is searched; of an item found, its picture and text are shown.
    """
    stored = database_of(dataset, codes[against], against)
    texts = None
    if modality == "image" and against == "image" and "text" in codes:
        texts = database_of(dataset, codes["text"], "text")
    panels = []
    for row in rows:
        query = codes[modality][row]
        nearest = [] if texts is None else _hits(dataset, row, query, texts, N_TEXTS)
        panels.append(
            Panel(
                title=_asked(dataset, row, modality),
                picture=_asked_picture(dataset, row, modality),
                labels=dataset.labels_of(row),
                cards=_cards(dataset, row, query, stored),
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
    database = database_of(dataset, db_codes)
    return [
        Panel(
            _title(dataset, row),
            picture_of(dataset, row),
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
    against: str,
) -> list[Compared]:
    """Return a panel per row: what each run finds for the same query, a line per run.

    Args:
        dataset: Where texts, images and labels come from.
        codes: Name of a run -> its codes of all items as queries and as a database, each
            (n_items, n_bytes) uint8, packed.
        rows: Rows of the dataset.
        asked: Modality, or model, that the codes of the queries are of.
        against: The same of the database.
    """
    stored = {
        name: database_of(dataset, database, against) for name, (_, database) in codes.items()
    }
    return [
        Compared(
            _asked(dataset, row, asked),
            _asked_picture(dataset, row, asked),
            dataset.labels_of(row),
            [
                (name, _cards(dataset, row, queries[row], stored[name]))
                for name, (queries, _) in codes.items()
            ],
        )
        for row in rows
    ]


def _cards(
    dataset: ImageTextDataset, row: int, query: NDArray[np.uint8], database: Database
) -> list[Card]:
    """Return the hits of a query, not judged where the dataset has no labels."""
    judged = bool(dataset.labels.any())
    return [
        Card(picture_of(dataset, i), _title(dataset, i), distance, shared if judged else None)
        for i, distance, shared in _hits(dataset, row, query, database, N_HITS)
    ]


def _asked(dataset: ImageTextDataset, row: int, modality: str) -> str:
    """A query in words: of texts its own, else what its item is called."""
    other = dataset.others.get(modality)
    return other.texts[row] if other is not None and other.texts else _title(dataset, row)


def _asked_picture(dataset: ImageTextDataset, row: int, modality: str) -> str | None:
    """The picture of a query that is one; models hash the pictures of their dataset."""
    other = dataset.others.get(modality)
    if other is not None:
        return None if other.images is None else thumbnail(Pictures(other.images).image(row))
    return picture_of(dataset, row) if modality in ("image", "student", "teacher") else None


def picture_of(dataset: ImageTextDataset, row: int, modality: str = "image") -> str | None:
    """Return the thumbnail of an item as a data URI; None where it has no picture.

    A modality of pictures gives its own, any other the item's image.
    """
    other = dataset.others.get(modality)
    source = dataset.images if other is None or other.images is None else other.images
    has = not isinstance(source, NoImages) and source.names[row]
    return thumbnail(Pictures(source).image(row)) if has else None


def _title(dataset: ImageTextDataset, row: int) -> str:
    return dataset.texts[row] or dataset.item_name(row)


def _hits(
    dataset: ImageTextDataset, row: int, query: NDArray[np.uint8], database: Database, k: int
) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return (row, distance, shared labels) of the nearest items of the database."""
    found = hamming.topk(query, database.codes, min(k, len(database.rows)))
    items = database.rows[found.indices]
    asked = dataset.labels_of(row)
    shared = [tuple(name for name in dataset.labels_of(i) if name in asked) for i in items]
    return list(zip(items.tolist(), found.distances.tolist(), shared, strict=True))
