"""Search an index directory: a text or an image in, the nearest of its items out."""

from collections.abc import Callable
from pathlib import Path
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
from distill.queries import Queries, open_queries
from distill.types import DistillError


class IndexHit(NamedTuple):
    """One item found: its id, Hamming distance, text and the absolute path of its picture.

    Text or path is empty where the index knows none.
    """

    id: int
    distance: int
    text: str
    path: str


class IndexRetriever:
    """Encodes queries as an index's items were encoded, and finds the nearest of them exactly.

    Hits stand by distance; of equal ones the item that was indexed earlier comes first. What is
    searched is the state that was committed when the index was opened, or at the last `refresh`.

    Args:
        folder: a committed state of an index directory.
        queries: the encoder of the run that made it.
        device: where codes are searched: "cpu", or "cuda", whose codes are a copy.

    Attributes:
        folder: what is searched.
        index: its codes, with the items' ids.
    """

    def __init__(self, folder: IndexFolder, queries: Queries, device: str = "cpu") -> None:
        self._queries, self._device = queries, device
        self._open(folder)

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
        path, about = self.folder.path, self.folder.manifest.about
        newer = read_manifest(path)
        if newer == self.folder.manifest:
            return False
        if (newer.about.weights, newer.about.encoder) != (about.weights, about.encoder):
            raise _another_run(newer.about, path)
        self._open(read_index(path))
        return True

    def search_text(
        self, text: str, k: int = 10, *, modality: str = "text", filter: Any = None
    ) -> list[IndexHit]:
        """Return the k items nearest to a text.

        Args:
            text: at least one character that is not blank.
            k: 1..the items of the index.
            modality: whose head encodes the text, of those that are texts.
            filter: as of `hamming.Index.topk`: ids of items to search in, or bool of all items;
                with fewer of them than k there are fewer hits.

        Raises:
            DistillError, ValueError, TypeError: an argument is not as described.
        """
        self._check(k)
        self._queries.check_text(text, modality)
        return self._search(lambda: self._queries.text(text), modality, k, filter)

    def search_image(
        self,
        image: str | Path | Image.Image,
        k: int = 10,
        *,
        modality: str = "image",
        filter: Any = None,
    ) -> list[IndexHit]:
        """Return the k items nearest to an image.

        Args:
            image: a file, or an image of any mode; transparency is laid on white.
            k: 1..the items of the index.
            modality: whose head encodes the image, of those that are images.
            filter: as of `search_text`.

        Raises:
            DistillError, ValueError, TypeError: an argument is not as described.
        """
        self._check(k)
        self._queries.check_image(modality)
        return self._search(lambda: self._queries.image(image), modality, k, filter)

    def _open(self, folder: IndexFolder) -> None:
        index = folder.index()
        self.folder, self.index = folder, index if self._device == "cpu" else index.to(self._device)

    def _check(self, k: int) -> None:
        """Refuse what a search would only find out after encoding the query."""
        if not self.n_items:
            raise DistillError(
                f"index: expected items in {self.folder.path}, got none; add some with "
                "python -m distill.index"
            )
        if not 1 <= k <= self.n_items:
            raise DistillError(f"k: expected 1..{self.n_items} items, got {k}; change it")

    def _search(
        self, features: Callable[[], Tensor], modality: str, k: int, filter: Any
    ) -> list[IndexHit]:
        values = self._queries.encode(modality)(features())
        codes = hamming.pack(values, check_finite=False)
        found = self.index.topk(codes, k, filter=filter)
        hits = []
        for item_id, distance in zip(*(x[0].tolist() for x in reversed(found)), strict=True):
            if item_id >= 0:
                item = self.folder.item(item_id)
                hits.append(IndexHit(item_id, distance, item.text, item.path))
        return hits


def _another_run(about: About, path: Path) -> DistillError:
    return DistillError(
        f"run: expected the run that made the index {path}, got {about.run} with other weights or "
        "another encoder; index anew into another directory"
    )
