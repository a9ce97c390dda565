"""The files CIFAR-10 comes in: the binary and the Python version, and a subset as JPEG.

Each reader gives (pictures, labels, n_train): the training images first, then the test images.
"""

import io
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.images import ImageSource, MemoryImages
from distill.types import DistillError

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = "test_batch"
_RECORDS = 10_000  # a file
_PIXELS = 3 * 32 * 32

Contents = tuple[ImageSource, NDArray[np.int64], int]


@dataclass(frozen=True)
class PixelImages:
    """Pictures as colour planes, given out as PPM: a header and the bare pixels."""

    names: Sequence[str]
    planes: NDArray[np.uint8]

    def read(self, i: int) -> bytes:
        """Return picture i as a PPM file."""
        pixels = self.planes[i].reshape(3, 32, 32).transpose(1, 2, 0)
        return b"P6 32 32 255\n" + bytes(pixels.tobytes())


def find_folder(root: Path) -> Path:
    """The folder of the batches: `root`, or its folder of one of the two usual names.

    Raises:
        DistillError: it holds no batch.
    """
    for folder in (root, root / "cifar-10-batches-py", root / "cifar-10-batches-bin"):
        if any((folder / f"{_BATCHES[0]}{ending}").is_file() for ending in ("", ".bin")):
            return folder
    raise DistillError(
        f"root: expected a folder with {_BATCHES[0]} or {_BATCHES[0]}.bin of CIFAR-10, got {root}; "
        "unpack cifar-10-python.tar.gz or cifar-10-binary.tar.gz"
    )


def read_folder(folder: Path) -> Contents:
    """Read the five training batches and the test batch of either version.

    Raises:
        DistillError: one is missing or not as it should be.
    """
    binary = (folder / f"{_BATCHES[0]}.bin").is_file()
    ending, read = (".bin", _read_binary) if binary else ("", _read_python)
    labels, planes, names = [], [], []
    for batch in (*_BATCHES, _TEST):
        file = folder / f"{batch}{ending}"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DistillError(
                f"{file}: expected a batch of CIFAR-10, got {(error.strerror or '').lower()}; "
                "unpack the archive again"
            ) from error
        label, plane = read(content, file)
        if len(label) and label.max() >= len(CLASSES):
            raise DistillError(f"{file}: expected labels 0..9, got {label.max()}")
        labels.append(label.astype(np.int64))
        planes.append(plane)
        names += [f"{batch}/{i}" for i in range(len(label))]
    images = PixelImages(tuple(names), np.concatenate(planes))
    return images, np.concatenate(labels), _RECORDS * len(_BATCHES)


def read_subset(path: Path) -> Contents:
    """Read a subset from an .npz file.

    It holds `data` (uint8, the JPEG files one after another), `offset` (n + 1: where each begins),
    `label` and `split` (n; 0 is a training image, 1 a test image).

    Raises:
        DistillError: it is missing or not like that.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            data, offset, label, split = (file[k] for k in ("data", "offset", "label", "split"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DistillError(
            f"path: expected an .npz file with data, offset, label and split, got {path} "
            f"({error}); check the path"
        ) from error
    n = len(label)
    if not (len(offset) == n + 1 == len(split) + 1 and offset[0] == 0 and offset[-1] == len(data)):
        raise DistillError(
            f"{path}: expected one offset, label and split for each image and one offset more, got "
            f"{len(offset)}, {n} and {len(split)} for {len(data)} bytes; take another file"
        )
    if n and (label.max() >= len(CLASSES) or split.max() > 1):
        raise DistillError(
            f"{path}: expected labels 0..9 and splits 0 or 1, got up to {label.max()} and "
            f"{split.max()}; take another file"
        )
    order = np.argsort(split, kind="stable")  # training images first
    content = data.tobytes()
    names = tuple(f"{('train', 'test')[split[i]]}/{i}.jpg" for i in order)
    blobs = tuple(content[offset[i] : offset[i + 1]] for i in order)
    return MemoryImages(names, blobs), label[order].astype(np.int64), int((split == 0).sum())


def _read_binary(content: bytes, file: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    size = _RECORDS * (1 + _PIXELS)
    if len(content) != size:
        raise DistillError(
            f"{file}: expected {size:,} bytes, {_RECORDS:,} records of 1 + {_PIXELS}, got "
            f"{len(content):,}; unpack the archive again"
        )
    records = np.frombuffer(content, np.uint8).reshape(_RECORDS, 1 + _PIXELS)
    return records[:, 0], records[:, 1:]


def _read_python(content: bytes, file: Path) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        labels, planes = (_entry(batch, key) for key in ("labels", "data"))
        labels = np.asarray(labels, np.int64)
    # A damaged pickle raises anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DistillError(
            f"{file}: expected a pickled batch with data and labels, got: {reason}; "
            "unpack the archive again"
        ) from error
    wanted = (_RECORDS, _PIXELS)
    if not isinstance(planes, np.ndarray) or (planes.shape, planes.dtype) != (wanted, np.uint8):
        got = f"{getattr(planes, 'dtype', type(planes).__name__)} {getattr(planes, 'shape', '')}"
        raise DistillError(f"{file}: expected data uint8 {wanted}, got {got}; unpack it again")
    if labels.shape != (_RECORDS,) or labels.min() < 0:
        raise DistillError(
            f"{file}: expected {_RECORDS:,} labels 0..9, got {labels.shape}; unpack it again"
        )
    return labels, planes


def _entry(batch: Any, key: str) -> Any:
    # Python 2 wrote the batches: their strings arrive as bytes.
    return batch[key.encode()] if key.encode() in batch else batch[key]


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, lists, numbers and strings; a pickle that names anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up one of the three names that an array is made of."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"a call of {module}.{name}, which no batch of CIFAR-10 makes")


def _reconstruct(_kind: type, shape: tuple[int, ...], _code: bytes) -> NDArray[Any]:
    """What NumPy does under that name: an empty array, whose state follows."""
    return np.ndarray(shape, np.uint8)
