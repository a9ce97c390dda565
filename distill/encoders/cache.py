"""Features are computed once: safetensors files named by what went into them.

The key is a hash of the encoder's identity and of the very bytes that are encoded, so an image's
features survive a change of texts or labels, and labels are never looked at.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from distill.encoders.encoder import Encoder
from distill.files import write_bytes
from distill.progress import progress_bar


class Images(Protocol):
    """What image features need of a dataset."""

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image.Image:
        """Picture i, decoded to RGB."""

    def image_bytes(self, i: int) -> bytes:
        """Picture i, encoded: the key of its features."""


def default_cache() -> Path:
    """$XDG_CACHE_HOME/hamming-kd, or ~/.cache/hamming-kd."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hamming-kd"


def image_features(encoder: Encoder, images: Images, *, cache: Path | None = None) -> Tensor:
    """Features of all images of a dataset, from the cache where they are there.

    Args:
        encoder: the frozen towers.
        images: the dataset; its labels are not touched.
        cache: folder of the cache; None is `default_cache()`.

    Returns:
        (n, d) float32.
    """
    n = len(images)
    key = _key(encoder, "image", (images.image_bytes(i) for i in range(n)))

    def compute() -> Tensor:
        with progress_bar("image features", n, unit="images") as advance:
            found = encoder.encode_images((images.image(i) for i in range(n)), done=advance)
            return found.cpu()

    return _cached(cache or default_cache(), key, n, compute)


def text_features(encoder: Encoder, texts: Sequence[str], *, cache: Path | None = None) -> Tensor:
    """Features of texts, from the cache where they are there; each distinct text is encoded once.

    Args:
        encoder: the frozen towers.
        texts: n texts.
        cache: folder of the cache; None is `default_cache()`.

    Returns:
        (n, d) float32.
    """
    rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    key = _key(encoder, "text", (text.encode() for text in rows))

    def compute() -> Tensor:
        with progress_bar("text features", len(rows), unit="texts") as advance:
            return encoder.encode_texts(rows, done=advance).cpu()

    distinct = _cached(cache or default_cache(), key, len(rows), compute)
    return distinct[torch.tensor([rows[text] for text in texts])]


def _key(encoder: Encoder, modality: str, contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256(f"{modality}\n{encoder.identity}\n".encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return f"{modality}-{digest.hexdigest()}"


def _cached(folder: Path, key: str, n: int, compute: Callable[[], Tensor]) -> Tensor:
    file = folder / f"{key}.safetensors"
    features = read_features(file, n)
    if features is None:
        features = compute()
        write_features(file, features)
    return features


def read_features(file: Path, n: int) -> Tensor | None:
    """The n features in a file; None where there is no such file or it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            features: Tensor = opened.get_tensor("features")
            checksum = (opened.metadata() or {}).get("sha256")
    except (FileNotFoundError, SafetensorError):
        return None
    return features if len(features) == n and _checksum(features) == checksum else None


def write_features(file: Path, features: Tensor) -> None:
    """Write features, whole or not at all, as `read_features` reads them."""
    write_bytes(file, save({"features": features}, {"sha256": _checksum(features)}))


def _checksum(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().tobytes()).hexdigest()
