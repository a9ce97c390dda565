"""MIRFLICKR-25K as DCMH published it: one HDF5 file (MATLAB v7.3), `FLICKR-25K.mat`.

    images  n pictures, uint8, red, green and blue
    YAll    n vectors of 1,386 tags
    LAll    n vectors of 24 labels, each 0 or 1

MATLAB's files hold axes in reverse, and copies of this one do not agree on their order: the axis of
the n items is the one size that all three have in common, and the axis of colours the one of size
3. Of the two left the first is the height, or the width in what MATLAB itself wrote. Pictures stay
in the file and are read one by one. There are no words: the tag vectors are the text features.

    classes.txt    beside the file: a name of a label a line, in the order of LAll, where there is
                   one; without it labels have numbers

Which column of LAll is which label is not known here, and no order is assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from distill.data.arrays import class_names, features, label_matrix
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.data.matfile import by_matlab
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import SplitRule
from distill.types import DistillError

_KEYS = ("LAll", "YAll", "images")


@dataclass(frozen=True)
class HDF5Images:
    """Pictures in an HDF5 file, read when asked for and given out as PPM.

    Attributes:
        path: the file; it is opened for each picture, so that processes can share it.
        names: of the pictures.
        item: axis of the pictures in the variable `images`.
        pixels: axes of height, width and colour.
    """

    path: Path
    names: Sequence[str]
    item: int
    pixels: tuple[int, int, int]

    def read(self, i: int) -> bytes:
        """Return picture i as a PPM file: a header and the bare pixels."""
        with h5py.File(self.path) as file:
            stored = np.take(file["images"][self._where(i)], 0, self.item)
        left = [axis for axis in range(4) if axis != self.item]
        picture = stored.transpose([left.index(axis) for axis in self.pixels])
        return b"P6 %d %d 255\n" % (picture.shape[1], picture.shape[0]) + picture.tobytes()

    def _where(self, i: int) -> tuple[slice, ...]:
        return tuple(slice(i, i + 1) if axis == self.item else slice(None) for axis in range(4))


def load(path: Path, *, text: Text, bad_images: BadImages, split: SplitRule) -> ImageTextDataset:
    """Read the file; `registry.load` describes the settings.

    Raises:
        DistillError: the file or a part of it is not as it should be.
    """
    pairs, n_tags = _read(path)
    fields = (
        f"text = {n_tags:,} tags as a vector, labels = the {pairs.labels.shape[1]} columns of LAll"
    )
    return dataset_of(
        "dcmh",
        pairs,
        where=str(path),
        fields=fields,
        split=split,
        text=text,
        bad_images=bad_images,
    )


def _read(path: Path) -> tuple[Pairs, int]:
    try:
        path.open("rb").close()  # h5py has pages of words for a missing file
        with h5py.File(path) as file:
            stored = {key: file.get(key) for key in _KEYS}
            if missing := [key for key in _KEYS if not isinstance(stored[key], h5py.Dataset)]:
                raise DistillError(
                    f"{path}: expected the variables images, YAll and LAll, got no "
                    f"{' and no '.join(missing)}; take DCMH's FLICKR-25K.mat"
                )
            n = _common_size(path, [stored[key].shape for key in _KEYS])
            tags = features(_by_rows(path, stored["YAll"], n), f"{path}, YAll")
            labels = label_matrix(_by_rows(path, stored["LAll"], n), f"{path}, LAll")
            images = _images(path, stored["images"], n)
    except (OSError, RuntimeError) as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error)).lower().split())
        raise DistillError(
            f"path: expected DCMH's FLICKR-25K.mat, an HDF5 file, got {path} ({reason}); check it"
        ) from error
    names = class_names(path.parent / "classes.txt", labels.shape[1])
    return Pairs(images, labels, names, features={"text": tags}), tags.shape[1]


def _common_size(path: Path, shapes: Sequence[tuple[int, ...]]) -> int:
    common = set.intersection(*map(set, shapes))
    if len(common) != 1:
        got = ", ".join(f"{key} {shape}" for key, shape in zip(_KEYS, shapes, strict=True))
        raise DistillError(
            f"{path}: expected one size, the number of items, that LAll, YAll and images have in "
            f"common, got {got}; take another file"
        )
    return common.pop()


def _by_rows(path: Path, item: h5py.Dataset, n: int) -> NDArray[np.generic]:
    if len(item.shape) != 2:
        key = item.name.strip("/")
        raise DistillError(
            f"{path}, {key}: expected two axes, one of {n}, got {item.shape}; take another file"
        )
    return np.moveaxis(item[()], _axis(path, item, n), 0)


def _images(path: Path, item: h5py.Dataset, n: int) -> HDF5Images:
    if len(item.shape) != 4 or item.dtype != np.uint8:
        raise DistillError(
            f"{path}, images: expected uint8 and the axes items, colours, height and width in any "
            f"order, got {item.dtype} {item.shape}; take another file"
        )
    items, colours = _axis(path, item, n), _axis(path, item, 3)
    first, second = (axis for axis in range(4) if axis not in (items, colours))
    height, width = (second, first) if by_matlab(item) else (first, second)
    digits = len(str(n - 1))
    names = tuple(f"picture {i:0{digits}d}" for i in range(n))
    return HDF5Images(path, names, items, (height, width, colours))


def _axis(path: Path, item: h5py.Dataset, size: int) -> int:
    axes = [axis for axis, found in enumerate(item.shape) if found == size]
    if len(axes) != 1:
        raise DistillError(
            f"{path}, {item.name.strip('/')}: expected one axis of {size}, got {item.shape}; "
            "take another file"
        )
    return axes[0]
