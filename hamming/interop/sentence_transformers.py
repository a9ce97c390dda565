"""The int8 `binary` precision of sentence-transformers; its `ubinary` is a code array as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import arrays, checks


def from_binary(embeddings: Any) -> Any:
    """The codes of `binary` embeddings.

    Args:
        embeddings: `(..., n_bytes) int8`, each value a byte of the code minus 128.

    Returns:
        `(..., n_bytes) uint8` codes of the same kind of array, a copy.

    Raises:
        TypeError: `embeddings` is no array, or not int8.

    Example:
        >>> from_binary(np.array([[-128, 127]], np.int8))
        array([[  0, 255]], dtype=uint8)
    """
    array, kind = arrays.view(embeddings, "embeddings")
    if array.dtype != np.int8:
        raise TypeError(
            f"embeddings: expected int8 of precision 'binary', got dtype {array.dtype}; "
            "'ubinary' embeddings are codes already, and floats are packed by hamming.pack"
        )
    with arrays.placed(embeddings, "embeddings"):
        return arrays.like(kind, arrays.contiguous(array).view(np.uint8) ^ np.uint8(128))


def to_binary(codes: Any) -> Any:
    """The `binary` embeddings of codes, which `from_binary` turns back.

    Args:
        codes: `(..., n_bytes) uint8`.

    Returns:
        `(..., n_bytes) int8` of the same kind of array, a copy.

    Raises:
        TypeError: `codes` is no array, or not uint8.

    Example:
        >>> to_binary(np.array([[0, 255]], np.uint8))
        array([[-128,  127]], dtype=int8)
    """
    array, kind = arrays.view(codes, "codes")
    checks.code_dtype(array, "codes")
    with arrays.placed(codes, "codes"):
        return arrays.like(kind, (arrays.contiguous(array) ^ np.uint8(128)).view(np.int8))
