"""Arrays, strings and lines from files, checked; every message names the file and the variable."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from distill.types import DistillError

_SHOWN = 10
_CLASS, _EMPTY = "MATLAB_class", "MATLAB_empty"
"""Attributes of MATLAB's HDF5 files: the type of a variable, and that it has no elements."""


def mat_variables(path: Path) -> frozenset[str]:
    """Names of the variables of a .mat file, v5 or HDF5 (v7.3).

    Raises:
        DistillError: no such file, or not a .mat file.
    """
    with _readable(path):
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                return frozenset(file)
        return frozenset(name for name, *_ in scipy.io.whosmat(path, appendmat=False))


def read_mat(path: Path, *keys: str) -> Any:
    """Read a variable of a .mat file, v5 or HDF5 (v7.3), with the axes that MATLAB shows.

    Args:
        path: the file.
        keys: names of the variable, of which the first that the file has is read.

    Returns:
        Numbers, strings (a char array gives one a row), or objects, one a cell.

    Raises:
        DistillError: no such file, no such variable, or not a .mat file.
    """
    there = mat_variables(path)
    key = next((key for key in keys if key in there), None)
    if key is None:
        raise DistillError(
            f"{path}: expected the variable {' or '.join(keys)}, got "
            f"{', '.join(sorted(there)[:_SHOWN]) or 'none'}; name it so"
        )
    with _readable(path):
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                return _value(file[key], file)
        return scipy.io.loadmat(path, variable_names=[key], appendmat=False)[key]


def read_npy(path: Path) -> NDArray[Any]:
    """Read a .npy file that holds no objects.

    Raises:
        DistillError: no such file, or not like that.
    """
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except OSError as error:
        raise _not_there(path, "a .npy file", error) from error
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
        raise _not_there(path, holds, error) from error
    except UnicodeDecodeError as error:
        raise DistillError(
            f"{path}: expected UTF-8 text, got {error.reason}; re-encode it"
        ) from error
    return lines[:-1] if lines[-1] == "" else lines


def strings(value: Any, where: str) -> list[str]:
    """Strings of a char array or cell array, without the blanks they are padded with.

    Args:
        value: what `read_mat` gives; of a row of several strings the first counts.
        where: file and variable, for the message.

    Raises:
        DistillError: something in it is no string.
    """
    rows = np.atleast_1d(value)
    rows = rows.ravel() if rows.shape[0] == 1 else rows  # a cell array that lies on its side
    found = [_first(row) for row in rows]
    if (bad := next((i for i, text in enumerate(found) if text is None), None)) is not None:
        raise DistillError(f"{where}: expected strings, got something else in row {bad}")
    return [str(text).strip(" \0\t\r\n") for text in found]


def features(value: Any, where: str) -> NDArray[np.float32]:
    """Check a feature matrix.

    Returns:
        (n, d) float32.

    Raises:
        DistillError: another shape, no numbers, or some that are not finite.
    """
    array = np.asarray(value)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise DistillError(
            f"{where}: expected numbers (n, d), a row an item, got {array.dtype} {array.shape}"
        )
    with np.errstate(over="ignore"):  # becomes inf, and is found below
        matrix = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise DistillError(
            f"{where}: expected finite numbers, got NaN or infinity in row {finite.argmin()}; "
            "compute it again"
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
            f"{where}: expected labels (n, n_labels), each 0 or 1, got {array.dtype} {array.shape}"
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
    names = tuple(line.strip() for line in read_lines(path, "names of labels"))
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


def by_matlab(item: h5py.Dataset) -> bool:
    """Whether MATLAB wrote a variable of an HDF5 file: its axes then lie there in reverse."""
    return _CLASS in item.attrs


def _not_there(path: Path, holds: str, error: OSError) -> DistillError:
    reason = (error.strerror or str(error)).lower()
    return DistillError(f"{path}: expected {holds}, got {reason}; check the path")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a .mat file is read into one sentence."""
    try:
        path.open("rb").close()  # SciPy has words of its own for a missing file
        yield
    except OSError as error:
        raise _not_there(path, "a .mat file", error) from error
    # A damaged file raises anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DistillError(
            f"{path}: expected a .mat file, got {reason}; take another file"
        ) from error


def _value(item: h5py.Dataset, file: h5py.File) -> Any:
    kind = item.attrs.get(_CLASS)
    if _EMPTY in item.attrs:
        return np.array("" if kind == b"char" else [])
    if h5py.check_string_dtype(item.dtype):
        return item.asstr()[()]
    data = item[()]
    if h5py.check_ref_dtype(item.dtype):
        cells = np.empty(data.size, object)
        for i, reference in enumerate(data.T.ravel()):
            cells[i] = _value(file[reference], file)
        return cells
    data = data.T if by_matlab(item) else data
    if kind == b"char":
        return np.array(["".join(map(chr, row)) for row in np.atleast_2d(data)])
    return data


def _first(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, np.ndarray):
        return None
    if value.size == 0:
        return ""
    return _first(value.ravel()[0] if value.ndim else value.item())
