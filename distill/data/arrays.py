"""Arrays, strings and lines from files, checked; every message names the file and the variable."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.types import DistillError


def read_npy(path: Path) -> NDArray[Any]:
    """Read a .npy file that holds no objects.

    Raises:
        DistillError: no such file, or not like that.
    """
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except OSError as error:
        raise not_there(path, "a .npy file", error) from error
    except (ValueError, EOFError) as error:
        raise DistillError(
            f"{path}: expected a .npy file of numbers, got {error}; write it with numpy.save"
        ) from error


def read_lines(path: Path, holds: str) -> list[str]:
    """Read a text file, a line an entry.

    Args:
        path: the file, UTF-8.
        holds: what is in it, for the message.

    Raises:
        DistillError: no such file, or not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise not_there(path, holds, error) from error
    except UnicodeDecodeError as error:
        raise DistillError(
            f"{path}: expected UTF-8 text, got {error.reason}; re-encode it"
        ) from error
    return lines[:-1] if lines[-1] == "" else lines


def without_blank_end(lines: Sequence[str], n: int = 0) -> list[str]:
    """Drop blank lines at the end, as editors leave them, that are more than n lines.

    >>> without_blank_end(["a", "", "", ""], 2)
    ['a', '']
    """
    end = len(lines)
    while end > n and not lines[end - 1].strip():
        end -= 1
    return list(lines[:end])


def features(value: Any, where: str, *, missing: bool = False) -> NDArray[np.float32]:
    """Check a feature matrix.

    Args:
        value: the matrix.
        where: file and variable, for messages.
        missing: take rows of NaN alone, which stand for what an item lacks.

    Returns:
        (n, d) float32.

    Raises:
        DistillError: another shape, no numbers, or some that are not finite.
    """
    array = np.asarray(value)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise DistillError(
            f"{where}: expected numbers (n, d), a row an item, got {array.dtype} {array.shape}; "
            "store them so"
        )
    with np.errstate(over="ignore"):  # becomes inf, and is found below
        matrix = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if missing:
        finite |= np.isnan(matrix).all(axis=1)
    if not finite.all():
        remedy = ", or fill the row with NaN for what an item lacks" * missing
        raise DistillError(
            f"{where}: expected finite numbers, got NaN or infinity in row {finite.argmin()}; "
            f"compute it again{remedy}"
        )
    return matrix


def label_matrix(value: Any, where: str) -> NDArray[np.bool_]:
    """Check a matrix of labels.

    Returns:
        (n, n_labels) bool.

    Raises:
        DistillError: another shape, or an entry other than 0 and 1.
    """
    array = np.asarray(value)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise DistillError(
            f"{where}: expected labels (n, n_labels), each 0 or 1, got {array.dtype} "
            f"{array.shape}; store them so"
        )
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        raise DistillError(
            f"{where}: expected labels 0 or 1, got {array[row, column]} in row {row}; correct it"
        )
    return array == 1


def check_counts(counts: Mapping[str, int]) -> None:
    """Refuse parts that do not have as many rows as the first.

    Args:
        counts: part -> its rows.

    Raises:
        DistillError: naming both.
    """
    (first, n), *rest = counts.items()
    for part, other in rest:
        if other != n:
            raise DistillError(
                f"{part}: expected {n:,} rows, as in {first}, got {other:,}; take files that "
                "belong together"
            )


def class_names(path: Path, n: int | None = None) -> tuple[str, ...] | None:
    """Read names of labels, one a line, where there is such a file.

    Args:
        path: the file.
        n: number of labels; None: any.

    Raises:
        DistillError: another number of names, or one that is empty or there twice.
    """
    if not path.exists():
        return None
    lines = [line.strip() for line in read_lines(path, "names of labels")]
    names = tuple(lines if n is None else without_blank_end(lines, n))
    different = len(set(names) - {""})
    if different != len(names) or len(names) != (n or different):
        raise DistillError(
            f"{path}: expected {n or len(names)} different names, one a line, got {different} in "
            f"{len(names)} lines; correct it"
        )
    return names


def numbered(numbers: Sequence[int]) -> tuple[str, ...]:
    """Names of labels that have none.

    >>> numbered([0, 10])
    ('label 00', 'label 10')
    """
    digits = len(str(max(numbers)))
    return tuple(f"label {number:0{digits}d}" for number in numbers)


def not_there(path: Path, holds: str, error: OSError) -> DistillError:
    """The sentence about a file that cannot be opened."""
    reason = " ".join((error.strerror or str(error)).lower().split())
    return DistillError(f"{path}: expected {holds}, got {reason}; check the path")
