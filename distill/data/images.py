"""Where encoded pictures lie, and how they become RGB."""

import errno
import io
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from distill.types import DistillError

MAX_RATIO = 200
"""Of the sides of a picture: towers enlarge the shorter one first, and a line would fill memory."""


def regular_file(path: Path) -> BinaryIO:
    """Open a file to read; OSError of what is no file, such as a queue, which may never answer."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "No regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


class ImageSource(Protocol):
    """Encoded pictures by row number."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each picture, for people."""

    def read(self, i: int) -> bytes:
        """Return the encoded bytes of picture i; OSError when they cannot be had."""


@dataclass(frozen=True)
class MemoryImages:
    """Pictures that are all in memory, as read from an archive."""

    names: tuple[str, ...]
    blobs: tuple[bytes, ...]

    def read(self, i: int) -> bytes:
        """Return the encoded bytes of picture i."""
        return self.blobs[i]


@dataclass(frozen=True)
class FileImages:
    """Pictures in files, read when asked for; names are relative to the folder, or absolute."""

    folder: Path
    names: tuple[str, ...]

    def read(self, i: int) -> bytes:
        """Return the encoded bytes of picture i."""
        with regular_file(self.folder / self.names[i]) as file:
            return file.read()


class ChosenImages:
    """Some pictures of a source, in another order."""

    def __init__(self, images: ImageSource, rows: NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows
        self.names: Sequence[str] = tuple(images.names[i] for i in rows)

    def read(self, i: int) -> bytes:
        """Return the encoded bytes of picture i."""
        return self._images.read(int(self._rows[i]))


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a source, decoded; what cannot be had is named in one sentence."""

    source: ImageSource

    def __len__(self) -> int:
        return len(self.source.names)

    def image(self, i: int) -> Image.Image:
        """Decode picture i to RGB."""
        return decode(self.image_bytes(i), self.source.names[i])

    def image_bytes(self, i: int) -> bytes:
        """Return picture i as it is stored, encoded."""
        name = self.source.names[i]
        if not name:
            raise DistillError(f"image {i}: expected a picture, got an item without one")
        try:
            return self.source.read(i)
        except OSError as error:
            raise DistillError(f"{name}: expected a readable image, got {error}") from error


@dataclass(frozen=True)
class NoImages:
    """The names of pictures of which only features are there."""

    names: Sequence[str]

    def read(self, i: int) -> bytes:  # noqa: ARG002
        """Raise OSError: there is nothing to read."""
        raise OSError("a dataset that holds features, no pictures")


def decode(data: bytes, name: str, *, enough: int | None = None) -> Image.Image:
    """Decode a whole picture to RGB.

    Transparency is laid on white, the EXIF orientation is applied, 16-bit grey keeps its upper 8
    bits, and of an animation the first frame is taken.

    Args:
        data: encoded.
        name: for messages.
        enough: pixels of a side that will do; a JPEG is then decoded smaller, which is quicker.

    Raises:
        DistillError: the bytes are no complete picture, or one of a line, in one sentence with the
            name.
    """
    try:
        # PNG decodes without its end and with wrong checksums; verify() looks at those, load() at
        # the pixels of every format. An image cannot be used after verify().
        Image.open(io.BytesIO(data)).verify()
        with Image.open(io.BytesIO(data)) as image:
            size = image.size
            if max(size) <= MAX_RATIO * min(size):
                if enough is not None:
                    image.draft("RGB", (enough, enough))
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
    # Pillow's decoders raise almost anything on damaged bytes (OSError, SyntaxError, struct.error,
    # IndexError, ...): whatever it is, the picture cannot be used.
    except Exception as error:
        raise DistillError(
            f"{name}: expected a complete image, got {_reason(error, data)}"
        ) from error
    raise DistillError(
        f"{name}: expected sides of at most 1 to {MAX_RATIO}, got {size[0]} x {size[1]} pixels"
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an RGB image: white where it was transparent, the upper 8 bits of 16-bit grey."""
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def unreadable(source: ImageSource) -> dict[int, str]:
    """Decode every picture and return row number -> reason for those that fail.

    A picture without a name is one that an item does not have.
    """

    def problem(i: int) -> str | None:
        if not source.names[i]:
            return None
        try:
            decode(source.read(i), source.names[i])
        except OSError as error:
            return (error.strerror or str(error)).lower()
        except DistillError as error:
            return str(error).rpartition("got ")[2]
        return None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        problems = list(pool.map(problem, range(len(source.names))))
    return {i: reason for i, reason in enumerate(problems) if reason is not None}


def _reason(error: Exception, data: bytes) -> str:
    if not data:
        return "an empty file"
    if isinstance(error, UnidentifiedImageError):
        return "no format that Pillow knows"
    return str(error) or type(error).__name__
