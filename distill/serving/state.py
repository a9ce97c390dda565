"""The items as one request sees them: of a commit of an index directory, or of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.checkpoint import load_run
from distill.data.images import regular_file
from distill.index_folder import IndexFolder
from distill.index_retriever import IndexRetriever
from distill.item_files import stamp_of
from distill.queries import Queries
from distill.retriever import Retriever
from distill.types import DistillError


class NoItemError(DistillError):
    """There is no such item, or no picture of it."""


class Item(NamedTuple):
    """What is known of an item: its words, the name of its picture, its packed code (n_bytes,)."""

    text: str
    path: str
    code: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class State:
    """What one request searches, from its beginning to its end.

    Attributes:
        index: codes with the items' ids.
        generation: a larger number after each commit; 0 of a run.
        item: id -> what is known of it; KeyError where there is no such item.
        picture: id -> its encoded picture; KeyError, NoItemError or OSError where there is none.
    """

    index: hamming.Index
    generation: int
    item: Callable[[int], Item]
    picture: Callable[[int], bytes]


class Opened(NamedTuple):
    """What is served.

    Attributes:
        run: the folder of the run that encodes.
        modality: of the items that are searched.
        queries: the run's encoder.
        state: that is committed now.
        newer: the one that is committed then; None where it is the one before.
    """

    run: Path
    modality: str
    queries: Queries
    state: State
    newer: Callable[[], State | None]


class _Index(IndexRetriever):
    @property
    def opened(self) -> tuple[Queries, State]:
        folder, index = self._state

        def item(item_id: int) -> Item:
            known = folder.item(item_id)
            return Item(_shown(known.text), _shown(known.path), folder.code(item_id))

        def picture(item_id: int) -> bytes:
            return _picture(folder, item_id)

        return self._queries, State(index, folder.manifest.next_file, item, picture)


class _Run(Retriever):
    def opened(self, against: str, n_bits: int, device: str) -> tuple[Queries, State]:
        self._checked(None, against)
        dataset, codes = self.dataset, self.codes[against]
        other = dataset.others.get(against)
        texts = dataset.texts if other is None or other.texts is None else other.texts
        images = dataset.images if other is None or other.images is None else other.images
        rows = np.flatnonzero(dataset.has(against))
        known = frozenset(rows.tolist())

        def checked(row: int) -> int:
            if row not in known:
                raise KeyError(row)
            return row

        def item(row: int) -> Item:
            return Item(_shown(texts[checked(row)]), _shown(images.names[row]), codes[row])

        def picture(row: int) -> bytes:
            if not images.names[checked(row)]:
                raise _without(row)
            return images.read(row)

        searched = codes if len(rows) == len(codes) else codes[rows]
        index = hamming.Index.from_codes(searched, n_bits, ids=rows)
        on_device = index if device == "cpu" else index.to(device)
        return self._queries, State(on_device, 0, item, picture)


def open_index(path: Path, against: str | None, device: str) -> Opened:
    """Open an index directory; see `distill.serving.served.open_served`."""
    retriever = _Index.open(path, device=device)
    about = retriever.folder.manifest.about
    if against not in (None, about.modality):
        raise DistillError(
            f"against: expected {about.modality}, of which the codes of {path} are, got {against}; "
            "leave it out"
        )
    queries, state = retriever.opened

    def newer() -> State | None:
        return retriever.opened[1] if retriever.refresh() else None

    return Opened(Path(about.run), about.modality, queries, state, newer)


def open_run(path: Path, against: str | None, device: str) -> Opened:
    """Open a run folder; see `distill.serving.served.open_served`."""
    against, n_bits = against or "image", load_run(path).config.bits
    queries, state = _Run.load(path, device=device).opened(against, n_bits, device)
    return Opened(path, against, queries, state, lambda: None)


def _picture(folder: IndexFolder, item_id: int) -> bytes:
    """The file of an item, if it is the one that was indexed."""
    item = folder.item(item_id)
    if not item.path:
        raise _without(item_id)
    try:
        with regular_file(Path(item.path)) as file:
            if item.stamp is None or stamp_of(file.fileno()) == item.stamp:
                return file.read()
    except OSError:
        if item.stamp is None:
            raise
    raise NoItemError(
        f"item: expected {item_id} with the picture that was indexed, got one that is gone or "
        "has changed; index it anew with python -m distill.index"
    )


def _without(item_id: int) -> NoItemError:
    return NoItemError(f"item: expected one with a picture, got {item_id}, which has none")


def _shown(name: str) -> str:
    """A name as text; bytes that are no UTF-8 become question marks."""
    return name.encode(errors="replace").decode()
