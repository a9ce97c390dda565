"""Packed codes of embeddings that people already have: nothing is trained, only fitted.

    binarizer = Itq(64).fit(embeddings)
    codes = binarizer.codes(embeddings)
    binarizer.save("itq.safetensors")

Embeddings are (n, d) NumPy arrays or torch tensors of finite numbers, seen as float64 block by
block; results are NumPy. Whoever compares by cosine normalises the rows before.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

import hamming
from distill.files import write_bytes
from distill.types import DistillError

_ROWS, _COLUMNS = 8192, 64
_METADATA = "binarizer"
Embeddings = Tensor | ArrayLike
Floats = NDArray[np.float64]


@dataclass(eq=False)
class Binarizer(ABC):
    """What the binarisers share: values = (embeddings - offset) @ projection, bit = value > 0.

    Attributes:
        offset: (d,) float64, once fitted.
        projection: (d, n_bits) float64, once fitted; None keeps the values as they are.
    """

    offset: Floats | None = field(default=None, init=False, repr=False)
    projection: Floats | None = field(default=None, init=False, repr=False)

    def fit(self, embeddings: Embeddings) -> Self:
        """Fit to embeddings (n, d) and return the binariser.

        Raises:
            DistillError: not a matrix of finite numbers, or one that does not fit the settings.
        """
        rows = _matrix(embeddings)
        if not len(rows):
            raise DistillError(
                "embeddings: expected at least one row to fit to, got none; pass a sample"
            )
        for _ in _blocks(rows):  # a median would not stumble over infinity
            pass
        self.offset, self.projection = self._fitted(rows)
        return self

    def values(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """Float values (n, n_bits) of embeddings (n, d), whose sign the codes are.

        Raises:
            DistillError: not fitted, or embeddings of another width or not finite.
        """
        blocks = self._values(embeddings)
        return np.concatenate([np.empty((0, self._width()), np.float32), *blocks])

    def codes(self, embeddings: Embeddings) -> NDArray[np.uint8]:
        """Codes (n, ceil(n_bits / 8)) uint8 of embeddings (n, d), packed by `hamming.pack`.

        Raises:
            DistillError: as `values`.
        """
        blocks = (hamming.pack(block) for block in self._values(embeddings))
        return np.concatenate([np.empty((0, (self._width() + 7) // 8), np.uint8), *blocks])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings and fit to a safetensors file, whole or not at all."""
        tensors = {"offset": self._offset()}
        if self.projection is not None:
            tensors["projection"] = np.ascontiguousarray(self.projection)
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        described = json.dumps({"class": type(self).__name__, **settings})
        write_bytes(Path(path), save(tensors, metadata={_METADATA: described}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; `Binarizer.load` takes any kind, a kind only its own.

        Raises:
            DistillError: no file of a binariser, or another kind's.
            FileNotFoundError: there is no such file.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                settings = json.loads((file.metadata() or {})[_METADATA])
                kind = settings.pop("class")
                binarizer = _CLASSES[kind](**settings)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            binarizer.offset = tensors["offset"]
            binarizer.projection = tensors.get("projection")
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DistillError(
                f"path: expected a file of Binarizer.save, got {path}; fit and save it anew"
            ) from error
        if not isinstance(binarizer, cls):
            raise DistillError(
                f"path: expected {cls.__name__}, got {kind} in {path}; use {kind}.load"
            )
        return binarizer

    @abstractmethod
    def _fitted(self, rows: NDArray[Any]) -> tuple[Floats, Floats | None]:
        """Offset and projection for rows (n, d)."""

    def _offset(self) -> Floats:
        if self.offset is None:
            raise DistillError(
                f"{type(self).__name__}: expected a fitted binariser, got one without a fit; "
                "call fit(embeddings), or load one"
            )
        return self.offset

    def _width(self) -> int:
        offset = self._offset()
        return len(offset) if self.projection is None else self.projection.shape[1]

    def _values(self, embeddings: Embeddings) -> Iterator[NDArray[np.float32]]:
        rows, offset = _matrix(embeddings), self._offset()
        if rows.shape[1] != len(offset):
            raise DistillError(
                f"embeddings: expected width {len(offset)} as fitted, got {rows.shape[1]}; "
                "pass embeddings of the same model"
            )
        for block in _blocks(rows):
            centred = block - offset
            values = centred if self.projection is None else centred @ self.projection
            yield values.astype(np.float32)


@dataclass(eq=False)
class MedianThreshold(Binarizer):
    """One bit per dimension: whether the value is above the dimension's median, so half of them."""

    def _fitted(self, rows: NDArray[Any]) -> tuple[Floats, None]:
        parts = np.split(rows, range(_COLUMNS, rows.shape[1], _COLUMNS), axis=1)
        medians = [np.median(part.astype(np.float64), axis=0) for part in parts]
        return np.concatenate(medians), None


@dataclass(eq=False)
class RandomRotation(Binarizer):
    """Centred embeddings, projected on random orthonormal directions.

    Beyond d bits, blocks of d such directions stand side by side, each drawn anew (the super-bits
    of Ji et al., "Super-Bit Locality-Sensitive Hashing", NIPS 2012).

    Args:
        n_bits: length of a code.
        seed: of the directions.
    """

    n_bits: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_bits(self.n_bits)

    def _fitted(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        width, random = rows.shape[1], np.random.default_rng(self.seed)
        blocks = [
            _orthonormal(width, min(width, self.n_bits - start), random)
            for start in range(0, self.n_bits, width)
        ]
        return _mean(rows), np.concatenate(blocks, axis=1)


@dataclass(eq=False)
class Itq(Binarizer):
    """Iterative quantisation: principal axes V, rotated towards the nearest corners of a cube.

    Alternates B = sign(V R) and R = argmin ||B - V R||_F over rotations, which is U W^T of the
    singular value decomposition V^T B = U S W^T; neither step raises ||B - V R||_F. Gong &
    Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes", CVPR 2011.

    Args:
        n_bits: length of a code, at most the width and the number of the embeddings.
        seed: of the rotation it starts from.
        n_iterations: of the alternation; 0 leaves the random rotation.
    """

    n_bits: int
    seed: int = 0
    n_iterations: int = 50

    def __post_init__(self) -> None:
        _check_bits(self.n_bits)
        if self.n_iterations < 0:
            raise DistillError(
                f"n_iterations: expected 0 or more, got {self.n_iterations}; 50 is usual"
            )

    def _fitted(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        if self.n_bits > min(rows.shape):
            raise DistillError(
                f"n_bits: expected at most {min(rows.shape)} for {rows.shape[0]} embeddings of "
                f"width {rows.shape[1]}, got {self.n_bits}; take fewer bits, or RandomRotation"
            )
        mean = _mean(rows)
        axes = _principal_axes(rows, mean, self.n_bits)
        projected = np.concatenate([(block - mean) @ axes for block in _blocks(rows)])
        rotation = _orthonormal(self.n_bits, self.n_bits, np.random.default_rng(self.seed))
        for _ in range(self.n_iterations):
            corners = np.where(projected @ rotation > 0, 1.0, -1.0)
            left, _, right = np.linalg.svd(projected.T @ corners)
            rotation = left @ right
        return mean, axes @ rotation


_CLASSES: dict[str, type[Binarizer]] = {
    kind.__name__: kind for kind in (MedianThreshold, RandomRotation, Itq)
}


def _matrix(embeddings: Embeddings) -> NDArray[Any]:
    """Embeddings as an (n, d) NumPy array of numbers, copied only from where NumPy cannot see."""
    if isinstance(embeddings, Tensor):
        embeddings = embeddings.detach().cpu()
        half = embeddings.dtype in (torch.bfloat16, torch.float16)  # NumPy has no bfloat16
        rows = (embeddings.float() if half else embeddings).numpy()
    else:
        rows = np.asarray(embeddings)
    if rows.ndim != 2 or not rows.shape[1] or rows.dtype.kind not in "fiu":
        raise DistillError(
            f"embeddings: expected numbers of shape (n, width), got {rows.dtype} of shape "
            f"{rows.shape}; pass one embedding a row"
        )
    return rows


def _blocks(rows: NDArray[Any]) -> Iterator[Floats]:
    """Rows as float64, some thousand at a time.

    Raises:
        DistillError: one holds NaN or infinity.
    """
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS].astype(np.float64)
        wrong = ~np.isfinite(block).all(axis=1)
        if wrong.any():
            raise DistillError(
                f"embeddings: expected finite numbers, got NaN or infinity in row "
                f"{start + int(wrong.argmax())}; remove it"
            )
        yield block


def _mean(rows: NDArray[Any]) -> Floats:
    total = np.zeros(rows.shape[1])
    for block in _blocks(rows):
        total += block.sum(axis=0)
    return total / len(rows)


def _principal_axes(rows: NDArray[Any], mean: Floats, n_axes: int) -> Floats:
    """(d, n_axes) orthonormal directions of most variance, most first, of fixed signs."""
    scatter = np.zeros((len(mean), len(mean)))
    for block in _blocks(rows):
        scatter += (block - mean).T @ (block - mean)
    axes = np.linalg.eigh(scatter).eigenvectors[:, ::-1][:, :n_axes]
    # Which of an axis' two signs comes out is up to the linear algebra library.
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)]
    oriented: Floats = axes * np.sign(largest)
    return oriented


def _orthonormal(dim: int, n_columns: int, random: np.random.Generator) -> Floats:
    """(dim, n_columns <= dim) orthonormal columns, uniform over all such (Haar)."""
    basis, triangle = np.linalg.qr(random.standard_normal((dim, n_columns)))
    return basis * np.sign(np.diag(triangle))


def _check_bits(n_bits: int) -> None:
    if n_bits < 1:
        raise DistillError(f"n_bits: expected at least 1, got {n_bits}; 64 is usual")
