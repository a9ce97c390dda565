"""Words and pictures that are asked for, checked and encoded as a run encodes its items."""

from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

from distill.checkpoint import Run
from distill.data.images import decode, to_rgb
from distill.data.text import is_unicode
from distill.encoders import Encoder, load_encoder
from distill.heads import build_heads, head_output
from distill.image_encoder import METHODS, ImageEncoder
from distill.types import DistillError

Encode = Callable[[Tensor], Tensor]
"""Features -> values (n, n_bits), bit = value > 0."""
HITS = 10
"""Hits of a search that does not say how many."""


class Queries:
    """What a run encodes queries with.

    Args:
        encoder: the run's frozen encoder.
        heads: modality -> hash head.
        check: refuses a modality and the kind, "image" or "text", of which it is not.
        device: where queries are encoded.
    """

    def __init__(
        self,
        encoder: Encoder | ImageEncoder,
        heads: Mapping[str, nn.Module],
        check: Callable[[str, str], None],
        device: str = "cpu",
    ) -> None:
        self.encoder = encoder
        self.heads = {name: head.to(device) for name, head in heads.items()}
        self._check = check

    def check_text(self, text: str, modality: str) -> None:
        """Refuse, before anything is encoded, words that cannot be.

        Raises:
            DistillError: no words, no Unicode, or the run encodes none as this modality.
        """
        if not text.strip():
            raise DistillError("text: expected words, got an empty text; say what to look for")
        if not is_unicode(text):
            raise DistillError(
                f"text: expected Unicode, got {text!a:.60} with bytes that are none; "
                "type it anew, or set the terminal to UTF-8"
            )
        if isinstance(self.encoder, ImageEncoder):
            raise DistillError("text: expected an image, got words: this run hashes images alone")
        self._check(modality, "text")

    def check_image(self, modality: str) -> None:
        """Refuse a modality as which the run encodes no pictures.

        Raises:
            DistillError: it is one of words, or came as features.
        """
        self._check(modality, "image")

    def text(self, text: str) -> Tensor:
        """The features (1, d) of words that were checked."""
        assert isinstance(self.encoder, Encoder)
        return self.encoder.encode_texts([text])

    def image(self, image: str | Path | Image.Image) -> Tensor:
        """The features (1, d) of a picture; transparency is laid on white.

        Raises:
            DistillError: there is no such file, or it is not a whole image.
        """
        opened = image if isinstance(image, Image.Image) else open_image(Path(image))
        return self.encoder.encode_images([to_rgb(opened)])

    def encode(self, modality: str) -> Encode:
        """The head of a modality."""
        return lambda features: head_output(self.heads[modality], features)


def open_queries(run: Run, device: str = "cpu") -> Queries:
    """What a finished run encodes queries with: of one that hashes images alone, the student.

    Raises:
        DistillError: the run is incomplete, or its encoder cannot be had.
    """
    if run.config.method in METHODS:
        student = ImageEncoder(run, device=device)
        return Queries(student, {"image": student.head}, run.check_encodes, device)
    encoder = load_encoder(run.config.encoder, device, run.tuned_weights())
    return Queries(encoder, build_heads(*run.weights()), run.check_encodes, device)


def checked_k(k: int | None, n_items: int) -> int:
    """How many hits are asked for; of None `HITS`, or all items where there are fewer.

    Raises:
        DistillError: k is not within 1..n_items.
    """
    if k is None:
        k = min(HITS, n_items)
    if not 1 <= k <= n_items:
        raise DistillError(f"k: expected 1..{n_items} items, got {k}; change it")
    return k


def open_image(path: Path) -> Image.Image:
    """Return the RGB image of a file, decoded as those of a dataset are.

    Raises:
        DistillError: there is no such file, or it is not a whole image.
    """
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DistillError(
            f"image: expected a picture at {path}, got {str(error.strerror).lower()}; "
            "give the path of a file"
        ) from error
