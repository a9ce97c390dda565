"""Search with a trained run: a text or an image in, the nearest items out."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import hamming
from distill import data
from distill.checkpoint import load_run
from distill.data import ImageTextDataset
from distill.data.images import decode, to_rgb
from distill.data.text import is_unicode
from distill.encoders import Encoder, load_encoder
from distill.heads import build_heads, head_output
from distill.types import DistillError

Modality = Literal["image", "text"]


class Hit(NamedTuple):
    """One item found: its row in the dataset, Hamming distance, text and image name."""

    row: int
    distance: int
    text: str
    image: str


class Retriever:
    """Encodes queries as a run encoded its items, and finds the nearest of all items exactly.

    Args:
        dataset: The items, for their texts and image names.
        encoder: The frozen encoder of the run.
        heads: "image" and "text" -> the run's hash head.
        codes: "image" and "text" -> (n_items, n_bytes) uint8, packed, row i being item i.
    """

    def __init__(
        self,
        dataset: ImageTextDataset,
        encoder: Encoder,
        heads: Mapping[str, nn.Module],
        codes: Mapping[str, NDArray[np.uint8]],
    ) -> None:
        self.dataset = dataset
        self.codes = codes
        self._encoder = encoder
        self._heads = heads

    @classmethod
    def load(cls, run: str | Path) -> "Retriever":
        """Load what a run folder names; the encoder's weights wait for the first query.

        Raises:
            DistillError: The run is missing or incomplete, or its data or encoder are, or the
                data are no longer those that were encoded.
        """
        loaded = load_run(run)
        dataset = data.load(**asdict(loaded.config.data))
        loaded.check_dataset(dataset)
        codes = {name: loaded.codes(name) for name in ("image", "text")}
        for name, rows in codes.items():
            if len(rows) != len(dataset):
                raise DistillError(
                    f"codes: expected {len(dataset)} {name} codes as there are items in "
                    f"{dataset.name}, got {len(rows)}; encode the run's dataset anew"
                )
        encoder = load_encoder(loaded.config.encoder)
        return cls(dataset, encoder, build_heads(*loaded.weights()), codes)

    def search_text(self, text: str, k: int = 10, *, against: Modality = "image") -> list[Hit]:
        """Return the k items whose image (or text) lies nearest to a text.

        Args:
            text: At least one character that is not blank.
            k: 1..n_items.
            against: Whose codes are searched.

        Raises:
            DistillError, ValueError, TypeError: An argument is not as described.
        """
        if not text.strip():
            raise DistillError("text: expected words, got an empty text; say what to look for")
        if not is_unicode(text):
            raise DistillError(
                f"text: expected Unicode, got {text!a:.60} with bytes that are none; "
                "type it anew, or set the terminal to UTF-8"
            )
        self._check(k, against)
        return self._search("text", self._encoder.encode_texts([text]), k, against)

    def search_image(
        self, image: str | Path | Image.Image, k: int = 10, *, against: Modality = "image"
    ) -> list[Hit]:
        """Return the k items whose image (or text) lies nearest to an image.

        Args:
            image: A file, or an image of any mode; transparency is laid on white.
            k: 1..n_items.
            against: Whose codes are searched.

        Raises:
            DistillError, ValueError, TypeError: An argument is not as described.
        """
        self._check(k, against)
        opened = image if isinstance(image, Image.Image) else open_image(Path(image))
        return self._search("image", self._encoder.encode_images([to_rgb(opened)]), k, against)

    def _check(self, k: int, against: str) -> None:
        """Refuse what a search would only find out after encoding the query."""
        if against not in self.codes:
            names = " or ".join(map(repr, self.codes))
            raise DistillError(f"against: expected {names}, got {against!r}; choose one of them")
        if not 1 <= k <= len(self.dataset):
            raise DistillError(f"k: expected 1..{len(self.dataset)} items, got {k}; change it")

    def _search(self, modality: Modality, features: Tensor, k: int, against: str) -> list[Hit]:
        query = hamming.pack(head_output(self._heads[modality], features).numpy())
        found = hamming.topk(query[0], np.asarray(self.codes[against]), k)
        pairs = zip(found.indices.tolist(), found.distances.tolist(), strict=True)
        return [
            Hit(row, distance, self.dataset.texts[row], self.dataset.image_name(row))
            for row, distance in pairs
        ]


def open_image(path: Path) -> Image.Image:
    """Return the RGB image of a file, decoded as those of a dataset are.

    Raises:
        DistillError: There is no such file, or it is not a whole image.
    """
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DistillError(
            f"image: expected a picture at {path}, got {str(error.strerror).lower()}; "
            "give the path of a file"
        ) from error
