"""MATLAB's .mat files, v5 and HDF5 (v7.3): numbers, strings and cells, with MATLAB's axes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import scipy.sparse

from distill.data.arrays import not_there
from distill.data.text import is_unicode
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
        Numbers (sparse ones in full), strings (a char array gives one a row), or objects, one a
        cell.

    Raises:
        DistillError: no such file, no such variable, no array, or not a .mat file.
    """
    there = mat_variables(path)
    key = next((key for key in keys if key in there), None)
    if key is None:
        raise DistillError(
            f"{path}: expected the variable {' or '.join(keys)}, got "
            f"{', '.join(sorted(there)[:_SHOWN]) or 'none'}; name it so"
        )
    with _readable(path):
        if not h5py.is_hdf5(path):
            # MATLAB itself writes UTF-16, which SciPy takes for UTF-8 unless told.
            value = scipy.io.loadmat(
                path, variable_names=[key], appendmat=False, uint16_codec="utf-16-le"
            )[key]
            return value.toarray() if scipy.sparse.issparse(value) else value
        with h5py.File(path) as file:
            value = _value(file[key], file)
    if value is None:
        raise DistillError(
            f"{path}, {key}: expected an array, got a group, as of a struct or a sparse matrix; "
            "store it as a full array"
        )
    return value


def strings(value: Any, where: str) -> list[str]:
    """Strings of a char array or cell array, without the blanks they are padded with.

    Args:
        value: what `read_mat` gives; of a row of several strings the first counts.
        where: file and variable, for the message.

    Raises:
        DistillError: something in it is no string, or none that can be written as Unicode.
    """
    rows = np.atleast_1d(value)
    rows = rows.ravel() if rows.shape[0] == 1 else rows  # a cell array that lies on its side
    found = []
    for i, row in enumerate(rows):
        text = _first(row)
        if text is None:
            raise DistillError(
                f"{where}: expected strings, got something else in row {i}; store a char or cell "
                "array"
            )
        if not is_unicode(text):
            raise DistillError(
                f"{where}: expected Unicode text, got half a surrogate pair or a broken character "
                f"in row {i}; correct it"
            )
        found.append(text.strip(" \0\t\r\n"))
    return found


def by_matlab(item: h5py.Dataset) -> bool:
    """Whether MATLAB wrote a variable of an HDF5 file: its axes then lie there in reverse."""
    return _CLASS in item.attrs


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a .mat file is read into one sentence."""
    try:
        path.open("rb").close()  # SciPy has words of its own for a missing file
        yield
    except OSError as error:
        raise not_there(path, "a .mat file", error) from error
    # A damaged file raises anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DistillError(
            f"{path}: expected a .mat file, got {reason}; take another file"
        ) from error


def _value(item: h5py.Dataset | h5py.Group, file: h5py.File) -> Any:
    """A variable, or None where it is no array."""
    if not isinstance(item, h5py.Dataset):
        return None
    kind = item.attrs.get(_CLASS)
    if _EMPTY in item.attrs:
        return np.array("" if kind == b"char" else [])
    if h5py.check_string_dtype(item.dtype):
        return item.asstr(errors="surrogateescape")[()]  # `strings` knows the row
    data = item[()]
    data = data.T if by_matlab(item) else data
    if h5py.check_ref_dtype(item.dtype):
        cells = np.empty(data.shape, object)
        for i, reference in np.ndenumerate(data):
            cells[i] = _value(file[reference], file)
        return cells
    if kind == b"char":
        return np.array([_decoded(row) for row in np.atleast_2d(data)])
    return data


def _decoded(units: np.ndarray) -> str:
    """The string of UTF-16 code units, in which half a surrogate pair stays what it is."""
    text = "".join(map(chr, units.ravel()))
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _first(value: Any) -> str | None:
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, np.ndarray):
        return None
    if value.size == 0:
        return ""
    return _first(value.ravel()[0] if value.ndim else value.item())
