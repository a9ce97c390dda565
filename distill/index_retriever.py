"""Search an index directory: a text or an image in, the nearest of its items out."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import torch
from PIL import Image
from torch import Tensor

import hamming
from distill.checkpoint import WEIGHTS, load_run
from distill.encoders import Encoder
from distill.encoders.weights import digest
from distill.index_folder import IndexFolder, read_index, read_manifest
from distill.index_format import About
from distill.queries import Queries, checked_k, open_queries
from distill.types import DistillError


class IndexHit(NamedTuple):
    """One item found: its id, Hamming distance, text and the absolute path of its picture.

    Text or path is empty where the index knows none.
    """

    id: int
    distance: int
    text: str
    path: str


class _State(NamedTuple):
    """The items and the codes of one commit, which a search reads together."""

    folder: IndexFolder
    index: hamming.Index


class IndexRetriever:
    """Encodes queries as an index's items were encoded, and finds the nearest of them exactly.

    Hits stand by distance; of equal ones the item that was indexed earlier comes first. What is
    searched is the state that was committed when the index was opened, or at the last `refresh`.
    Threads may search while others refresh: a search sees one state from its beginning to its end.

    Args:
        folder: a committed state of an index directory.
        queries: the encoder of the run that made it.
        device: where codes are searched: "cpu", or "cuda", whose codes are a copy.
    """

    def __init__(self, folder: IndexFolder, queries: Queries, device: str = "cpu") -> None:
        self._queries, self._device = queries, device
        self._state = self._opened(folder)
        self._refreshing = Lock()  # or a slower refresh would go back to an older state

    @classmethod
    def open(cls, path: str | Path, *, run: str | Path | None = None, device: str = "cpu") -> Self:
        """Open an index directory; codes are memory-mapped, and a writer may be at work.

        Args:
            path: as written by python -m distill.index.
            run: the run that made it, where it does not lie any more where it lay then.
            device: "cpu", or "cuda" for encoding and searching on a GPU.

        Raises:
            DistillError: there is no index, or it is damaged, or the run is missing, or another
                than the one that made it.
        """
        if device != "cpu" and not torch.cuda.is_available():
            raise DistillError(
                f"device: expected cpu where torch finds no GPU, got {device}; leave it out"
            )
        folder = read_index(Path(path))
        about = folder.manifest.about
        try:
            loaded = load_run(about.run if run is None else run)
        except DistillError as error:
            raise DistillError(
                f"run: expected the run that made the index {path} in {run or about.run}, got "
                f"none there; give its new place to python -m distill.index RUN --out {path}"
            ) from error
        if digest(loaded.file(WEIGHTS)) != about.weights:
            raise _another_run(about, Path(path))
        queries = open_queries(loaded, device)
        if isinstance(queries.encoder, Encoder) and queries.encoder.identity != about.encoder:
            raise _another_run(about, Path(path))
        return cls(folder, queries, device)

    @property
    def folder(self) -> IndexFolder:
        """The state of the directory that is searched."""
        return self._state.folder

    @property
    def index(self) -> hamming.Index:
        """The codes that are searched, with the items' ids."""
        return self._state.index

    @property
    def modality(self) -> str:
        """What of the items is searched."""
        return self.folder.manifest.about.modality

    @property
    def n_items(self) -> int:
        """How many items are searched."""
        return len(self.index)

    def refresh(self) -> bool:
        """Go over to the state that is committed now; True if it is another.

        Raises:
            DistillError: the index is gone, damaged, or of another run.
        """
        with self._refreshing:
            path, manifest = self.folder.path, self.folder.manifest
            if read_manifest(path) == manifest:
                return False
            newer, about = read_index(path), manifest.about
            there = newer.manifest.about
            if (there.weights, there.encoder) != (about.weights, about.encoder):
                raise _another_run(there, path)
            self._state = self._opened(newer)
            return True

    def search_text(
        self, text: str, k: int | None = None, *, modality: str = "text", filter: Any = None
    ) -> list[IndexHit]:
        """Return the k items nearest to a text.

        Args:
            text: at least one character that is not blank.
            k: 1..the items of the index; None = 10, or all items where there are fewer.
            modality: whose head encodes the text, of those that are texts.
            filter: as of `hamming.Index.topk`: ids of items to search in, or bool of all items;
                with fewer of them than k there are fewer hits. Ids are right after a `refresh` too.

        Raises:
            DistillError, ValueError, TypeError: an argument is not as described.
        """
        state = self._state
        k = _checked(k, state)
        self._queries.check_text(text, modality)
        return self._search(state, lambda: self._queries.text(text), modality, k, filter)

    def search_image(
        self,
        image: str | Path | Image.Image,
        k: int | None = None,
        *,
        modality: str = "image",
        filter: Any = None,
    ) -> list[IndexHit]:
        """Return the k items nearest to an image.

        Args:
            image: a file, or an image of any mode; transparency is laid on white.
            k: as of `search_text`.
            modality: whose head encodes the image, of those that are images.
            filter: as of `search_text`.

        Raises:
            DistillError, ValueError, TypeError: an argument is not as described.
        """
        state = self._state
        k = _checked(k, state)
        self._queries.check_image(modality)
        return self._search(state, lambda: self._queries.image(image), modality, k, filter)

    def _opened(self, folder: IndexFolder) -> _State:
        index = folder.index()
        return _State(folder, index if self._device == "cpu" else index.to(self._device))

    def _search(
        self, state: _State, features: Callable[[], Tensor], modality: str, k: int, filter: Any
    ) -> list[IndexHit]:
        values = self._queries.encode(modality)(features())
        codes = hamming.pack(values, check_finite=False)
        found = state.index.topk(codes, k, filter=filter)
        hits = []
        for item_id, distance in zip(*(x[0].tolist() for x in reversed(found)), strict=True):
            if item_id >= 0:
                item = state.folder.item(item_id)
                hits.append(IndexHit(item_id, distance, item.text, item.path))
        return hits


def _checked(k: int | None, state: _State) -> int:
    """Refuse what a search would only find out after encoding the query."""
    if not len(state.index):
        raise DistillError(
            f"index: expected items in {state.folder.path}, got none; add some with "
            "python -m distill.index"
        )
    return checked_k(k, len(state.index))


def _another_run(about: About, path: Path) -> DistillError:
    return DistillError(
        f"run: expected the run that made the index {path}, got {about.run} with other weights or "
        "another encoder; index anew into another directory"
    )
