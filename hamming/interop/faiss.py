"""FAISS files of binary codes: `IndexBinaryFlat`, alone or under an `IndexBinaryIDMap`.

A flat index names codes by their place, 0, 1, 2, ...; ids of any other kind need the map. Reading
and writing files needs no package; `to_faiss` and `from_faiss` need faiss.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from .. import arrays, checks, io
from ..index import Index
from ..index import checks as index_checks
from ..layout import MAX_BITS, bytes_for
from .tables import optional, rows_of

FLAT: Final = b"IBxF"
MAPS: Final = (b"IBMp", b"IBM2")  # they differ in what FAISS builds when it reads them
HEADER: Final = struct.Struct("<4siiqBi")  # kind, n_bits, n_bytes, n_codes, trained, metric
COUNT: Final = struct.Struct("<Q")
METRIC_L2: Final = 1  # what FAISS writes for binary indexes too


def write(index: Index, path: str | os.PathLike[str]) -> None:
    """Writes a file that `faiss.read_index_binary` reads, whole or not at all.

    It is an `IndexBinaryFlat` where the ids are 0, 1, 2, ... in order, else an `IndexBinaryIDMap`
    of one. FAISS knows whole bytes only: padding bits, which are zero, become bits of the codes.

    Args:
        index: what to write; its removed codes are left out.
        path: the file to make or replace.

    Raises:
        TypeError: `index` is no index, or `path` no path.
        ValueError: `path` names no file.
        OSError: the file cannot be written; an old one is as it was.
    """
    file_path, parts = index_checks.file_path(path), _parts(index_checks.index_only(index, Index))

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)

    io.write_whole(file_path, fill)


def read(path: str | os.PathLike[str], *, n_bits: int | None = None, mmap: bool = False) -> Index:
    """Reads a FAISS file of an `IndexBinaryFlat`, or of a map of ids over one.

    Args:
        path: the file.
        n_bits: the bits of a code where FAISS's whole bytes end in padding; None = all bits.
        mmap: map the codes instead of reading them: nothing is copied, and the file must stay.

    Returns:
        An index with the file's ids, or 0, 1, 2, ... for a flat file.

    Raises:
        TypeError: `path` is no path, or n_bits no integer.
        ValueError: the file is of another kind, damaged or cut off, its ids are negative or repeat,
            or n_bits does not fit.
        OSError: the file cannot be read.
    """
    file = index_checks.file_path(path)
    if file.stat().st_size == 0:
        raise ValueError(f"{file}: expected a FAISS file, got an empty one; write it again")
    buffer = np.memmap(file, np.uint8, "r") if mmap else np.fromfile(file, np.uint8)
    return _index(buffer, str(file), n_bits)


def to_faiss(index: Index) -> Any:
    """The `faiss.IndexBinaryFlat`, or `IndexBinaryIDMap` of one, with a copy of the codes."""
    faiss = optional("faiss", "faiss")
    whole = np.frombuffer(b"".join(_parts(index_checks.index_only(index, Index))), np.uint8)
    return faiss.deserialize_index_binary(whole)


def from_faiss(index_binary: Any, *, n_bits: int | None = None) -> Index:
    """The index with a copy of the codes of a FAISS index; `read` says which, and of `n_bits`."""
    faiss = optional("faiss", "faiss")
    if not isinstance(index_binary, faiss.IndexBinary):
        raise TypeError(
            f"index_binary: expected a faiss.IndexBinary, got {type(index_binary).__name__}; "
            "pass an IndexBinaryFlat"
        )
    return _index(faiss.serialize_index_binary(index_binary), "index_binary", n_bits)


def _parts(index: Index) -> Iterator[bytes]:
    """The file, piece by piece."""
    index = index.snapshot()  # which stays as it is while others add to theirs
    n_codes, n_bytes = len(index), bytes_for(index.n_bits)
    shape = (8 * n_bytes, n_bytes, n_codes, 1, METRIC_L2)
    ids = arrays.to_host(index.ids)
    mapped = not bool((ids == np.arange(n_codes)).all())
    if mapped:
        yield HEADER.pack(MAPS[0], *shape)
    yield HEADER.pack(FLAT, *shape) + COUNT.pack(n_codes * n_bytes)
    for rows in rows_of(index):
        yield rows.codes.tobytes()
    if mapped:
        yield COUNT.pack(n_codes) + np.asarray(ids, "<i8").tobytes()


class _Header(NamedTuple):
    n_bits: int
    n_bytes: int
    n_codes: int


def _index(buffer: np.ndarray, name: str, n_bits: int | None) -> Index:
    start = HEADER.size if buffer[:4].tobytes() in MAPS else 0
    outer = _header(buffer, 0, name, (FLAT, *MAPS))
    header = _header(buffer, start, name, (FLAT,))
    start += HEADER.size + COUNT.size
    end = start + header.n_codes * header.n_bytes
    mapped = buffer[:4].tobytes() in MAPS
    size = end + (COUNT.size + 8 * header.n_codes if mapped else 0)
    if len(buffer) != size:
        raise ValueError(
            f"{name}: expected {size} bytes for {header.n_codes} codes of {header.n_bytes} bytes, "
            f"got {len(buffer)}; the file is cut off or damaged: write it again"
        )
    counts = [(start - COUNT.size, end - start), *([(end, header.n_codes)] if mapped else [])]
    if outer != header or any(COUNT.unpack_from(buffer.data, at)[0] != n for at, n in counts):
        raise ValueError(
            f"{name}: expected counts that agree, got others than {header.n_codes} codes of "
            f"{header.n_bytes} bytes; the file is damaged: write it again"
        )
    codes = buffer[start:end].reshape(header.n_codes, header.n_bytes)
    ids = buffer[end + COUNT.size :].view("<i8").astype(np.int64) if mapped else None
    return Index.from_codes(codes, n_bits=_bits(n_bits, header.n_bytes), ids=ids)


def _header(buffer: np.ndarray, start: int, name: str, kinds: tuple[bytes, ...]) -> _Header:
    """The header at `start`, if it is one of a flat index or a map."""
    kind = buffer[start : start + 4].tobytes()
    if kind not in kinds:
        raise ValueError(
            f"{name}: expected a FAISS IndexBinaryFlat ('IBxF'), or a map of ids over one, got "
            f"{kind!r}; write such an index with faiss.write_index_binary"
        )
    if len(buffer) < start + HEADER.size + COUNT.size:
        raise ValueError(
            f"{name}: expected a header of {HEADER.size + COUNT.size} bytes, got "
            f"{len(buffer) - start}; the file is cut off: write it again"
        )
    _, n_bits, n_bytes, n_codes, _, _ = HEADER.unpack_from(buffer.data, start)
    if n_bits != 8 * n_bytes or not 0 < n_bits <= MAX_BITS + 7 or n_codes < 0:
        raise ValueError(
            f"{name}: expected codes of whole bytes, got {n_codes} codes of {n_bits} bits in "
            f"{n_bytes} bytes; the file is damaged: write it again"
        )
    return _Header(n_bits, n_bytes, n_codes)


def _bits(n_bits: int | None, n_bytes: int) -> int:
    if n_bits is None:
        return 8 * n_bytes
    number = checks.integer(n_bits, "n_bits", least=1, remedy="name the bits of one code")
    if bytes_for(number) != n_bytes:
        raise ValueError(
            f"n_bits: expected {8 * n_bytes - 7}..{8 * n_bytes} for codes of {n_bytes} bytes, "
            f"got {number}; give the n_bits they were packed with"
        )
    return number
