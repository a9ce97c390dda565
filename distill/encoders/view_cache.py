"""Backbone features of clean and of augmented pictures: computed once, or afresh every epoch.

The cache holds float16 in files of 1,000 pictures, each named by what went into it: an extraction
that is interrupted goes on at the first file that is missing.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from distill.encoders.augment import VERSION, Pixels, augment, clean_view, view_generator
from distill.encoders.backbones import Backbone, Precision
from distill.encoders.cache import Images, default_cache, read_features, write_features
from distill.progress import Advance, progress_bar
from distill.types import DistillError

CHUNK = 1000
"""Pictures per file of the cache."""
_FORWARD = 64
"""Views per forward pass."""

_Views = Callable[[Image.Image, int, Sequence[int]], list[list[Pixels]]]
"""(picture, row, sizes) -> for each view, its pixels at each size."""


@dataclass(frozen=True)
class _Recipe:
    """How features come of pictures: `text` says all of it but the backbone."""

    kind: str
    text: str
    n_views: int
    views: _Views
    precision: Precision


def clean_features(
    backbone: Backbone,
    images: Images,
    rows: Sequence[int],
    *,
    precision: Precision = "float32",
    cache: Path | None = None,
) -> Tensor:
    """Features of pictures as they are, from the cache where they are there.

    Args:
        backbone: the frozen model.
        images: the dataset; its labels are not touched.
        rows: n row numbers in the dataset, in any order.
        precision: of the forward pass.
        cache: folder of the cache; None is `default_cache()`.

    Returns:
        (n, dim) float32, rounded to float16.
    """

    def views(image: Image.Image, _row: int, sizes: Sequence[int]) -> list[list[Pixels]]:
        return [[clean_view(image, size) for size in sizes]]

    recipe = _Recipe("clean", f"{VERSION} {precision}", 1, views, precision)
    (features,) = _features([backbone], images, rows, recipe, cache)
    return features[:, 0]


def view_features(
    backbones: Sequence[Backbone],
    images: Images,
    rows: Sequence[int],
    *,
    n_views: int,
    seed: int,
    blur: bool = True,
    precision: Precision = "float32",
    cache: Path | None = None,
) -> list[Tensor]:
    """Features of random views of pictures, the same views for every backbone.

    Args:
        backbones: frozen models, each with its own size.
        images: the dataset; its labels are not touched.
        rows: n row numbers in the dataset; a row's views depend on it and the seed alone.
        n_views: views of each picture.
        seed: of the views.
        blur: see `augment.draw_view`.
        precision: of the forward pass.
        cache: folder of the cache; None is `default_cache()`.

    Returns:
        (n, n_views, dim) float32, rounded to float16, for each backbone.
    """
    views = _random_views(n_views, seed, blur, epoch=0)
    text = f"{VERSION} {precision} {n_views} of seed {seed} blur {blur}"
    recipe = _Recipe("views", text, n_views, views, precision)
    return _features(backbones, images, rows, recipe, cache)


def online_views(
    backbones: Sequence[Backbone],
    images: Images,
    batches: Iterable[Sequence[int]],
    *,
    seed: int,
    epoch: int,
    n_views: int = 2,
    blur: bool = True,
    precision: Precision = "float32",
) -> Iterator[list[Tensor]]:
    """Features of views that no earlier epoch has seen, one batch at a time and without a cache.

    The next batch is augmented while the caller works on this one. Epoch 0 has the views that
    `view_features` caches for the same seed and number of views.

    Args:
        backbones: frozen models, each with its own size.
        images: the dataset; its labels are not touched.
        batches: row numbers of each batch, B of them.
        seed: of the views.
        epoch: at least 0; a row's views depend on it, the epoch and the seed alone.
        n_views: views of each picture.
        blur: see `augment.draw_view`.
        precision: of the forward pass.

    Yields:
        (B, n_views, dim) float32 on the backbone's device, for each backbone.
    """
    views = _random_views(n_views, seed, blur, epoch)
    sizes = [backbone.image_size for backbone in backbones]
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = None
        for rows in batches:
            following = pool.submit(_pixels, images, rows, views, sizes)
            if pending is not None:
                yield _forward(backbones, pending.result(), precision)
            pending = following
        if pending is not None:
            yield _forward(backbones, pending.result(), precision)


def _random_views(n_views: int, seed: int, blur: bool, epoch: int) -> _Views:
    if n_views < 1:
        raise DistillError(f"n_views: expected at least 1, got {n_views}")

    def views(image: Image.Image, row: int, sizes: Sequence[int]) -> list[list[Pixels]]:
        numbers = range(epoch * n_views, (epoch + 1) * n_views)
        return [
            augment(image, sizes, view_generator(seed, row, number), blur=blur)
            for number in numbers
        ]

    return views


def _features(
    backbones: Sequence[Backbone],
    images: Images,
    rows: Sequence[int],
    recipe: _Recipe,
    cache: Path | None,
) -> list[Tensor]:
    """(n, n_views, dim) float32 per backbone, chunk by chunk."""
    rows = [int(row) for row in rows]
    if not rows:
        raise DistillError("rows: expected at least one picture to encode, got none")
    parts: list[list[Tensor]] = [[] for _ in backbones]
    with progress_bar(f"{recipe.kind} features", len(rows), unit="images") as advance:
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            content = _content(images, chunk)
            files = [
                (cache or default_cache()) / f"{_key(backbone, recipe, content)}.safetensors"
                for backbone in backbones
            ]
            found = [read_features(file, len(chunk)) for file in files]
            missing = [k for k, features in enumerate(found) if features is None]
            wanted = [backbones[k] for k in missing]
            computed = _compute(wanted, images, chunk, recipe, advance)
            for k, features in zip(missing, computed, strict=True):
                write_features(files[k], features)
                found[k] = features
            for part, whole in zip(parts, found, strict=True):
                assert whole is not None
                part.append(whole)
    return [torch.cat(part).float() for part in parts]


def _compute(
    backbones: Sequence[Backbone],
    images: Images,
    rows: Sequence[int],
    recipe: _Recipe,
    advance: Advance,
) -> list[Tensor]:
    """(n, n_views, dim) float16 per backbone."""
    if not backbones:
        advance(len(rows))
        return []
    parts: list[list[Tensor]] = [[] for _ in backbones]
    step = max(1, _FORWARD // recipe.n_views)
    batches = [rows[start : start + step] for start in range(0, len(rows), step)]
    sizes = [backbone.image_size for backbone in backbones]

    def work(batch: Sequence[int]) -> list[Tensor]:
        pixels = _pixels(images, batch, recipe.views, sizes)
        return [features.half().cpu() for features in _forward(backbones, pixels, recipe.precision)]

    with _workers() as pool:
        for batch, found in zip(batches, pool.map(work, batches), strict=True):
            for part, features in zip(parts, found, strict=True):
                part.append(features)
            advance(len(batch))
    whole = [torch.cat(part) for part in parts]
    for backbone, features in zip(backbones, whole, strict=True):
        if not features.isfinite().all():
            raise DistillError(
                f"{backbone.name}: expected finite features below 65,504, got others; check its "
                "weights"
            )
    return whole


@contextlib.contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch uses, each with a batch of its own and torch's kernels on it alone.

    Threads that share a kernel wait for the slowest at every layer: where other programs use a core
    too, that was 7 x slower. And so the features do not depend on the number of threads.
    """
    n_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    torch.set_num_threads(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(n_threads)


def _pixels(
    images: Images, rows: Sequence[int], views: _Views, sizes: Sequence[int]
) -> list[Tensor]:
    """(B, n_views, 3, S, S) uint8 for each size."""
    per_item = [views(images.image(int(row)), int(row), sizes) for row in rows]
    return [
        torch.from_numpy(np.stack([[view[k] for view in item] for item in per_item]))
        for k in range(len(sizes))
    ]


def _forward(
    backbones: Sequence[Backbone], pixels: Sequence[Tensor], precision: Precision
) -> list[Tensor]:
    return [
        backbone.features(batch.flatten(0, 1), precision=precision).view(*batch.shape[:2], -1)
        for backbone, batch in zip(backbones, pixels, strict=True)
    ]


def _content(images: Images, rows: Sequence[int]) -> bytes:
    found = hashlib.sha256()
    for row in rows:
        found.update(f"{row}:".encode())  # a row's views are seeded by its number
        found.update(hashlib.sha256(images.image_bytes(row)).digest())
    return found.digest()


def _key(backbone: Backbone, recipe: _Recipe, content: bytes) -> str:
    text = f"{backbone.identity}\n{recipe.kind} {recipe.text}\n".encode()
    return f"{recipe.kind}-{hashlib.sha256(text + content).hexdigest()}"
