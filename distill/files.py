"""Whole files or none: every file distill writes goes through here."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamming.io import write_whole

__all__ = ["write_array", "write_bytes", "write_text", "write_whole"]


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
