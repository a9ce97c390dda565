"""Whole files or none: every file distill writes goes through here."""

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a failure leaves the old one, or nothing, and never a part.

    Args:
        path: the file to create or replace; its folder is made when missing.
        write: writes the whole content to the path it is given, a temporary name beside `path`.

    Raises:
        OSError: whatever `write` met, naming `path`; the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """`write_whole` for bytes.

    Libraries that write files themselves report a full disk in their own ways, so their output is
    made in memory and written here.
    """
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """`write_whole` for UTF-8 text."""
    write_bytes(path, text.encode())


def write_array(path: Path, array: NDArray[Any]) -> None:
    """`write_whole` for a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def _sync_folder(folder: Path) -> None:
    """The new name itself is on the disk, before any file that relies on it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
