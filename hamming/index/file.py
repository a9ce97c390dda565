"""The file of an index: a safetensors file whose metadata say what its tensors are.

Metadata, all strings: `format` = "hamming.index"; `version`; `n_bits`; `bit_order` = "big";
`count`, the number of codes; `ids` = "range:FIRST" (no tensor: they follow each other), "ascending"
or "any"; `next_id`; `sha256.codes`, `sha256.ids`, and `sha256.header` over the rest of the header.
docs/index-file.md describes it for other readers. Version 1 is the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from .. import arrays
from ..io import (
    CHUNK,
    Column,
    NotSafetensorsError,
    Tensors,
    digest,
    header_digest,
    read_header,
    write_tensors,
    write_whole,
)
from ..layout import MAX_BITS, bytes_for
from . import checks as index_checks
from .ids import Ids, ascends
from .segments import Segment, id_range, live_codes, live_ids

FORMAT: Final = "hamming.index"
VERSION: Final = 1
BIT_ORDER: Final = "big"


class Stored(NamedTuple):
    """What a file holds."""

    n_bits: int
    codes: np.ndarray
    ids: Ids
    next_id: int


def write(
    path: Path, n_bits: int, segments: tuple[Segment, ...], n_bytes: int, next_id: int
) -> None:
    """Write what is not removed of segments, on any device, without a copy of the whole."""
    count = sum(segment.n_alive for segment in segments)
    follow = id_range(segments)
    order = _Ascending()
    columns = {}
    if follow is None:
        ids = map(arrays.to_host, live_ids(segments, CHUNK // 8))
        columns["ids"] = Column("I64", (count,), order.watch(ids))
    codes = map(arrays.to_host, live_codes(segments, max(1, CHUNK // n_bytes)))
    columns["codes"] = Column("U8", (count, n_bytes), codes)

    def metadata(digests: Mapping[str, str]) -> dict[str, str]:
        ids = ("ascending" if order.holds else "any") if follow is None else f"range:{follow.start}"
        return {
            "format": FORMAT,
            "version": str(VERSION),
            "n_bits": str(n_bits),
            "bit_order": BIT_ORDER,
            "count": str(count),
            "ids": ids,
            "next_id": str(next_id),
            **{f"sha256.{name}": value for name, value in digests.items()},
        }

    def write_to(temporary: Path) -> None:
        with temporary.open("wb") as file:
            write_tensors(file, columns, metadata)

    write_whole(path, write_to)


def read(path: Path, *, mmap: bool, verify: bool) -> Stored:
    """What a file holds; the header is verified, the tensors where `verify` says so.

    Raises:
        ValueError: the file is no index, or a torn or newer one, or its checksums are wrong.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _read(file, mmap=mmap, verify=verify)
        except NotSafetensorsError as error:
            refused = _RefusedError(str(error))
        except _RefusedError as error:
            refused = error
    raise ValueError(
        f"{path}: expected an index that hamming saved, got {refused}; {refused.remedy}"
    )


class _RefusedError(Exception):
    def __init__(self, got: str, remedy: str = "give another file, or save the index again"):
        super().__init__(got)
        self.remedy = remedy


def _read(file: BinaryIO, *, mmap: bool, verify: bool) -> Stored:
    tensors = read_header(file)
    metadata = tensors.metadata
    if metadata.get("format") != FORMAT:
        raise _RefusedError("a safetensors file of another kind")
    version = metadata.get("version", "")
    if re.fullmatch("[1-9][0-9]{0,18}", version) and int(version) > VERSION:
        raise _RefusedError(
            f"format version {version} where this release reads up to {VERSION}",
            "install a newer hamming-kd",
        )
    if metadata.get("sha256.header") != header_digest(tensors.table, metadata):
        raise _RefusedError("a header with a wrong checksum")
    n_bits, count, next_id = _numbers(tensors)
    columns = {name: tensors.read(name, mmap=mmap) for name in tensors.table}
    if verify:
        for name, column in columns.items():
            if digest(column) != metadata[f"sha256.{name}"]:
                raise _RefusedError(f"{name} with a wrong checksum")
    kind, _, first = metadata["ids"].partition(":")
    if kind == "range":
        ids = Ids(range(int(first), int(first) + count))
    else:
        ids = Ids(columns["ids"], ascending=kind == "ascending")
    stored = Stored(n_bits, columns["codes"], ids, next_id)
    if verify:
        _check_contents(stored)
    return stored


def _check_contents(stored: Stored) -> None:
    """What another program may have written wrongly; not whether ids in any order are distinct."""
    values = stored.ids.values
    if isinstance(values, np.ndarray) and len(values):
        if values.min() < 0 or values.max() >= stored.next_id:
            raise _RefusedError(f"ids outside of 0..{stored.next_id - 1}")
        if stored.ids.ascending and not ascends(values):
            raise _RefusedError("ids that do not ascend")
    try:
        index_checks.padding(stored.codes, "codes", stored.n_bits)
    except ValueError:
        raise _RefusedError(f"ones behind the {stored.n_bits} bits of a code") from None


def _numbers(tensors: Tensors) -> tuple[int, int, int]:
    """n_bits, count and next_id, if the header says what this version says."""
    metadata = tensors.metadata
    try:
        n_bits, count, next_id = (_number(metadata[n]) for n in ("n_bits", "count", "next_id"))
        kind, _, first = metadata["ids"].partition(":")
        expected = {"codes": ("U8", [count, bytes_for(n_bits)])}
        if kind == "range":
            last = _number(first) + count
        else:
            expected["ids"] = ("I64", [count])
            last = 0
        found = {name: (entry["dtype"], entry["shape"]) for name, entry in tensors.table.items()}
        sound = (
            1 <= n_bits <= MAX_BITS
            and metadata["version"] == str(VERSION)
            and metadata["bit_order"] == BIT_ORDER
            and (kind == "range" or metadata["ids"] in ("ascending", "any"))
            and last <= next_id < 2**63
            and found == expected
            and all(f"sha256.{name}" in metadata for name in expected)
        )
    except (KeyError, ValueError):
        sound = False
    if not sound:
        raise _RefusedError("a header that contradicts itself")
    return n_bits, count, next_id


def _number(text: str) -> int:
    """As `write` writes it."""
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text):
        raise ValueError
    return int(text)


class _Ascending:
    """Whether the ids that pass by ascend."""

    def __init__(self) -> None:
        self.holds = True
        self._last = -1

    def watch(self, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for ids in chunks:
            if len(ids):
                self.holds &= int(ids[0]) > self._last and ascends(ids)
                self._last = int(ids[-1])
            yield ids
