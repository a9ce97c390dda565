"""Search with a trained run: a text or an image in, the nearest items out."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import hamming
from distill import data, image_encoder
from distill.checkpoint import load_run
from distill.data import ImageTextDataset
from distill.encoders import Encoder
from distill.image_encoder import ImageEncoder
from distill.modalities import check_encodes, kinds_of
from distill.queries import Queries, checked_k, open_queries
from distill.types import DistillError


class Hit(NamedTuple):
    """One item found: its row in the dataset, Hamming distance, text and image name.

    Where a further modality was searched, text or image is what it has of the item.
    """

    row: int
    distance: int
    text: str
    image: str


class CodeSearch:
    """A batch through an encoder to its nearest codes, without leaving the device of the codes.

    Encode, binarise and pack, search, and where asked re-score with the continuous codes: all on
    the current stream, so that on a GPU nothing is copied to the host or waited for.

    Args:
        encode: An encoder batch -> continuous codes (B, n_bits), bit = value > 0; on the device of
            `db_codes`.
        db_codes: (n_codes, n_bytes) uint8, packed.
        k: Neighbours of an item, 1..n_codes.
        candidates: None = the k nearest codes; else so many nearest codes, k..n_codes, are
            re-scored by their inner product with the continuous code, and the k best returned.
        mask: (n_codes,) bool, the codes that are searched, on their device; None = all. With fewer
            of them than are asked for, the tail has index -1.

    Example:
        >>> search = CodeSearch(torch.nn.Identity(), torch.tensor([[0b10100000], [0]]).byte(), 1)
        >>> search(torch.tensor([[1.0, -1, 1, -1, -1, -1, -1, -1]])).indices
        tensor([[0]])
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        db_codes: Tensor,
        k: int,
        *,
        candidates: int | None = None,
        mask: Tensor | None = None,
    ) -> None:
        if candidates is not None and candidates < k:
            raise DistillError(
                f"candidates: expected at least the {k} results asked for, got {candidates}; "
                "search for more candidates, or for fewer results"
            )
        self.encode = encode
        self.db_codes = db_codes
        self.k = k
        self.candidates = candidates
        self.mask = mask

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> hamming.TopK | hamming.Rescored:
        """The k nearest of each item: `TopK`, or `Rescored` with `candidates`; (B, k) tensors."""
        continuous = self.encode(batch)
        codes = hamming.pack(continuous, check_finite=False)
        if self.candidates is None:
            return hamming.topk(codes, self.db_codes, self.k, mask=self.mask)
        near = hamming.topk(codes, self.db_codes, self.candidates, mask=self.mask)
        return hamming.rescore(continuous, self.db_codes, near.indices, self.k)

    def captured(self, example: Tensor) -> "CapturedSearch":
        """The same for batches of one shape as a CUDA graph, which starts with a single call.

        Args:
            example: A batch on the GPU; later ones have its shape and dtype.

        Raises:
            DistillError: `example` is not on a GPU.
        """
        if not example.is_cuda:
            raise DistillError(
                f"example: expected a batch on a GPU, got one on {example.device}; "
                "without a GPU call the search itself"
            )
        return CapturedSearch(self, example)


class CapturedSearch:
    """A `CodeSearch` recorded as a CUDA graph; see `CodeSearch.captured`."""

    def __init__(self, search: CodeSearch, example: Tensor) -> None:
        self._search = search  # a graph keeps addresses, not what lies there
        self._batch = example.detach().clone()
        with torch.cuda.device(example.device):
            # Kernels are compiled and libraries initialised before anything is recorded, on a
            # stream other than the default one, as torch asks for.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                search(self._batch)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=side):
                self._result = search(self._batch)

    def __call__(self, batch: Tensor) -> hamming.TopK | hamming.Rescored:
        """As `CodeSearch`; the tensors returned are overwritten by the next call."""
        if batch.shape != self._batch.shape or batch.dtype != self._batch.dtype:
            raise DistillError(
                f"batch: expected {tuple(self._batch.shape)} {self._batch.dtype} as captured, got "
                f"{tuple(batch.shape)} {batch.dtype}; capture a search for this shape"
            )
        self._batch.copy_(batch.detach())
        self._graph.replay()
        return self._result


class Retriever:
    """Encodes queries as a run encoded its items, and finds the nearest of all items exactly.

    Args:
        dataset: The items, for their texts and image names.
        encoder: The frozen encoder of the run.
        heads: Modality -> the run's hash head.
        codes: Modality -> (n_items, n_bytes) uint8, packed, row i being item i; an item that lacks
            the modality is never found by it.
        device: Where queries are encoded and searched: "cpu", or "cuda", whose codes are a copy.
    """

    def __init__(
        self,
        dataset: ImageTextDataset,
        encoder: Encoder | ImageEncoder,
        heads: Mapping[str, nn.Module],
        codes: Mapping[str, NDArray[np.uint8]],
        device: str = "cpu",
    ) -> None:
        self.dataset = dataset
        self.codes = codes
        self._encoder = encoder
        kinds = kinds_of(dataset.others, [name for name in codes if name in heads])
        given = dataset.features
        self._queries = Queries(
            encoder,
            heads,
            lambda modality, kind: check_encodes(modality, kind, kinds, given),
            device,
        )
        self._db_codes = {name: _tensor(rows).to(device) for name, rows in codes.items()}
        present = {name: dataset.has(name) for name in codes}
        self.n_items = {name: int(has.sum()) for name, has in present.items()}
        """Modality -> number of items that can be found by it."""
        self._masks = {
            name: None if has.all() else torch.from_numpy(has).to(device)
            for name, has in present.items()
        }

    @classmethod
    def load(cls, run: str | Path, *, device: str = "cpu") -> "Retriever":
        """Load what a run folder names; the encoder's weights wait for the first query.

        Args:
            run: A run folder.
            device: "cpu", or "cuda" for encoding and searching on a GPU.

        Raises:
            DistillError: The run is missing or incomplete, or its data or encoder are, or the
                data are no longer those that were encoded.
        """
        if device != "cpu" and not torch.cuda.is_available():
            raise DistillError(
                f"device: expected cpu where torch finds no GPU, got {device}; leave it out"
            )
        loaded = load_run(run)
        dataset = data.load(**asdict(loaded.config.data))
        loaded.check_dataset(dataset)
        images_alone = loaded.config.method in image_encoder.METHODS
        if images_alone:
            # The index is the teacher's where there is one, and queries are the student's.
            codes = {"image": loaded.codes("teacher")}
        else:
            codes = {name: loaded.codes(name) for name in loaded.modalities}
        for name, rows in codes.items():
            if len(rows) != len(dataset):
                raise DistillError(
                    f"codes: expected {len(dataset)} {name} codes as there are items in "
                    f"{dataset.name}, got {len(rows)}; encode the run's dataset anew"
                )
        queries = open_queries(loaded, device)
        return cls(dataset, queries.encoder, queries.heads, codes, device)

    def search_text(
        self, text: str, k: int | None = None, *, against: str = "image", modality: str = "text"
    ) -> list[Hit]:
        """Return the k items whose image, or what else is searched, lies nearest to a text.

        Args:
            text: At least one character that is not blank.
            k: 1..the items that have what is searched; None = 10, or all where there are fewer.
            against: Modality whose codes are searched.
            modality: Whose head encodes the text, of those that are texts.

        Raises:
            DistillError, ValueError, TypeError: An argument is not as described.
        """
        k = self._checked(k, against)
        self._queries.check_text(text, modality)
        return self._search(modality, self._queries.text(text), k, against)

    def search_image(
        self,
        image: str | Path | Image.Image,
        k: int | None = None,
        *,
        against: str = "image",
        modality: str = "image",
    ) -> list[Hit]:
        """Return the k items whose image, or what else is searched, lies nearest to an image.

        Args:
            image: A file, or an image of any mode; transparency is laid on white.
            k: As of `search_text`.
            against: Modality whose codes are searched.
            modality: Whose head encodes the image, of those that are images.

        Raises:
            DistillError, ValueError, TypeError: An argument is not as described.
        """
        k = self._checked(k, against)
        self._queries.check_image(modality)
        return self._search(modality, self._queries.image(image), k, against)

    def _checked(self, k: int | None, against: str) -> int:
        """Refuse what a search would only find out after encoding the query."""
        if against not in self.codes:
            names = " or ".join(map(repr, self.codes))
            raise DistillError(f"against: expected {names}, got {against!r}; choose one of them")
        return checked_k(k, self.n_items[against])

    def _search(self, modality: str, features: Tensor, k: int, against: str) -> list[Hit]:
        encode, mask = self._queries.encode(modality), self._masks[against]
        search = CodeSearch(encode, self._db_codes[against], k, mask=mask)
        found = search(features)
        assert isinstance(found, hamming.TopK)
        pairs = zip(found.indices[0].tolist(), found.distances[0].tolist(), strict=True)
        other = self.dataset.others.get(against)
        texts = self.dataset.texts if other is None or other.texts is None else other.texts
        images = self.dataset.images if other is None or other.images is None else other.images
        return [Hit(row, distance, texts[row], images.names[row]) for row, distance in pairs]


def _tensor(codes: NDArray[np.uint8]) -> Tensor:
    """Codes as a tensor that shares their memory, which nobody writes: a file may be behind it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(codes))
