"""PostgreSQL, with pgvector or without: codes as `bit(n_bits)`, by binary COPY.

Nothing here connects: functions give the text of statements and the bytes that COPY takes, for any
driver. Names are quoted, and queries stand in the text as bit strings.
"""

from __future__ import annotations

import io as streams
import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import numpy as np

from .. import checks
from ..index import Index
from ..index import checks as index_checks
from ..layout import bytes_for
from .tables import CHUNK_BYTES, Gathered, Rows, one_query, quoted, rows_of

Bytes = bytes | bytearray | memoryview

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
HEADER: Final = struct.Struct(">11sii")  # signature, flags, bytes of an extension of the header
END: Final = b"\xff\xff"
PREFIX: Final = 34  # bytes of a row before its code
MAX_NAME_BYTES: Final = 63  # PostgreSQL cuts longer names and says nothing


def create_table(table: str | tuple[str, str], n_bits: int) -> str:
    """The text that makes a table for codes: `position`, `id` and `code bit(n_bits)`.

    Args:
        table: its name, or schema and name; any characters.
        n_bits: bits of a code.

    Example:
        >>> print(create_table("codes", 64))
        CREATE TABLE "codes"
        (position bigint PRIMARY KEY, id bigint NOT NULL UNIQUE, code bit(64) NOT NULL)
    """
    columns = "position bigint PRIMARY KEY, id bigint NOT NULL UNIQUE, code bit({}) NOT NULL"
    return f"CREATE TABLE {_name(table)}\n({columns.format(index_checks.bits(n_bits))})"


def copy_in(table: str | tuple[str, str]) -> str:
    """The text of the COPY that takes what `to_copy` gives.

    Example:
        >>> copy_in("codes")
        'COPY "codes" (position, id, code) FROM STDIN (FORMAT binary)'
    """
    return f"COPY {_name(table)} (position, id, code) FROM STDIN (FORMAT binary)"


def copy_out(table: str | tuple[str, str]) -> str:
    """The text of the COPY that gives what `from_copy` takes.

    Example:
        >>> copy_out(("public", "codes"))
        'COPY "public"."codes" (position, id, code) TO STDOUT (FORMAT binary)'
    """
    return f"COPY {_name(table)} (position, id, code) TO STDOUT (FORMAT binary)"


def topk_query(
    table: str | tuple[str, str], query_code: Any, k: int, *, n_bits: int, extension: bool = True
) -> str:
    """The text that finds the k nearest codes: rows of `id` and `distance`, as `Index.topk` does.

    It is exact and reads the whole table, also beside an approximate index of pgvector (HNSW,
    IVFFlat), which serves an order by `code <~> ...` itself but not by this query's whole numbers.

    Args:
        table: its name, or schema and name.
        query_code: `(n_bytes,) uint8`.
        k: at least 1; a smaller table gives all its rows.
        n_bits: bits of a code, those of the table; PostgreSQL refuses others.
        extension: compare with pgvector's `<~>`; False = with PostgreSQL's own `bit_count` (14 or
            newer).

    Raises:
        TypeError: an argument is of a wrong type.
        ValueError: it does not fit.

    Example:
        >>> print(topk_query("codes", np.array([0b10100000], np.uint8), 5, n_bits=3))
        SELECT id, (code <~> B'101')::int AS distance FROM "codes"
        ORDER BY distance, position LIMIT 5
    """
    count = checks.integer(k, "k", least=1, remedy="ask for at least one neighbour")
    bits = bit_string(query_code, n_bits)
    distance = f"code <~> B'{bits}'" if extension else f"bit_count(code # B'{bits}')"
    text = f"SELECT id, ({distance})::int AS distance FROM {_name(table)}"
    return f"{text}\nORDER BY distance, position LIMIT {count}"


def bit_string(query_code: Any, n_bits: int) -> str:
    """One code as PostgreSQL reads `bit(n_bits)`, for a statement with parameters.

    Example:
        >>> bit_string(np.array([0b10100000], np.uint8), 3)
        '101'
    """
    row, n_bytes = one_query(query_code), bytes_for(index_checks.bits(n_bits))
    if len(row) != n_bytes:
        raise ValueError(
            f"query_code: expected {n_bytes} bytes for {n_bits} bits, got {len(row)}; "
            "pack with the same n_bits"
        )
    index_checks.padding(row, "query_code", n_bits)
    return "".join(map(str, np.unpackbits(row)[:n_bits]))


def to_copy(index: Index) -> Iterator[bytes]:
    r"""The bytes that `copy_in` takes, in chunks of about 1 MiB.

    They are a file too, for `\copy codes FROM 'codes.bin' (FORMAT binary)` of psql.

    Args:
        index: what to write, as it is at the call; its removed codes are left out. A code has at
            most 2**24 - 8 bits.

    Raises:
        TypeError: `index` is no index.
    """
    return _copied(index_checks.index_only(index, Index).snapshot())


def _copied(index: Index) -> Iterator[bytes]:
    yield HEADER.pack(SIGNATURE, 0, 0)
    for rows in rows_of(index):
        filled = np.empty(len(rows.ids), _record(index.n_bits))
        for name, value in _constants(index.n_bits).items():
            filled[name] = value
        filled["position"], filled["id"], filled["code"] = rows
        yield filled.tobytes()
    yield END


def from_copy(chunks: Iterable[Bytes], n_bits: int | None = None) -> Index:
    """The index of what `copy_out` gives.

    Args:
        chunks: the bytes in pieces of any size: what a driver gives, or `[path.read_bytes()]`.
        n_bits: bits of a code, needed only if there may be no row; None = those of the first row.

    Returns:
        An index with the rows in the order of their positions.

    Raises:
        TypeError: `chunks` are no bytes, or n_bits no integer.
        ValueError: the stream is cut off or of other columns, codes have other lengths, or ids are
            negative or repeat.
    """
    wanted = None if n_bits is None else index_checks.bits(n_bits)
    stream: BinaryIO = streams.BufferedReader(_Chunks(chunks), CHUNK_BYTES)
    signature, flags, more = HEADER.unpack(stream.read(HEADER.size).ljust(HEADER.size, b"\0"))
    if signature != SIGNATURE or flags != 0 or more < 0:
        raise _no_rows("another header", "use FORMAT binary")
    stream.read(more)
    first = stream.read(PREFIX)
    if first[: len(END)] == END:
        if wanted is None:
            raise ValueError(
                "n_bits: expected a number for a table without rows, got None; give it"
            )
        return Index(wanted)
    if len(first) < PREFIX:
        raise _no_rows("the end of a row too early", "the stream is cut off: copy again")
    found = int.from_bytes(first[-4:], "big")
    _check_rows(np.frombuffer(first + b"\0", _record(1)), found, 0)
    if wanted not in (None, found):
        raise ValueError(
            f"n_bits: expected {found} as in the table, got {wanted}; leave it out or correct it"
        )
    index_checks.bits(found)
    rows = Gathered()
    for some in _filled(stream, first, found):
        rows.add(some)
    return rows.index(found)


def _filled(stream: BinaryIO, start: bytes, n_bits: int) -> Iterator[Rows]:
    """The rows of a stream, `start` being its first bytes after the header."""
    record = _record(n_bits)
    step = record.itemsize * max(1, CHUNK_BYTES // record.itemsize)
    n_rows = 0
    while True:
        block = start + stream.read(step - len(start))
        whole = len(block) // record.itemsize
        rows = np.frombuffer(block, record, whole)
        _check_rows(rows, n_bits, n_rows)
        n_rows += whole
        yield Rows(*(rows[name].astype(kind) for name, kind in COLUMNS.items()))
        if len(block) < step:
            if block[whole * record.itemsize :] != END:
                raise _no_rows(f"another end after row {n_rows}", "copy again")
            return
        start = b""


COLUMNS: Final = {"position": np.int64, "id": np.int64, "code": np.uint8}


def _check_rows(rows: np.ndarray, n_bits: int, first: int) -> None:
    wrong = np.zeros(len(rows), bool)
    for name, value in _constants(n_bits).items():
        wrong |= rows[name] != value
    if wrong.any():
        row = first + int(wrong.argmax())
        raise _no_rows(f"others in row {row}", "select position, id and code, without NULLs")


def _record(n_bits: int) -> np.dtype:
    """A row of a binary COPY: the number of its fields, and each behind its length in bytes."""
    fields = [("fields", ">i2"), ("position_bytes", ">i4"), ("position", ">i8")]
    fields += [("id_bytes", ">i4"), ("id", ">i8"), ("code_bytes", ">i4"), ("bits", ">i4")]
    return np.dtype([*fields, ("code", np.uint8, (bytes_for(n_bits),))])


def _constants(n_bits: int) -> dict[str, int]:
    """What is the same in each row."""
    sizes = {"position_bytes": 8, "id_bytes": 8, "code_bytes": 4 + bytes_for(n_bits)}
    return {"fields": 3, **sizes, "bits": n_bits}


def _no_rows(found: str, remedy: str) -> ValueError:
    return ValueError(
        "chunks: expected a binary COPY of bigint position, bigint id and bit(n) code, got "
        f"{found}; {remedy}"
    )


class _Chunks(streams.RawIOBase):
    """Chunks of bytes as a file to read from."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        if isinstance(chunks, str) or _bytes_of(chunks) is not None:
            raise TypeError(
                f"chunks: expected pieces of bytes, got {type(chunks).__name__}; put it in a list"
            )
        if not isinstance(chunks, Iterable):
            raise TypeError(
                f"chunks: expected pieces of bytes, got {type(chunks).__name__}; give what a "
                "driver's COPY gives"
            )
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, target: Any) -> int:
        """The next bytes, as many as there are at once; 0 at the end."""
        for chunk in () if self._left else self._chunks:
            found = _bytes_of(chunk)
            if found is None:
                raise TypeError(
                    f"chunks: expected pieces of bytes, got {type(chunk).__name__}; copy with "
                    "FORMAT binary"
                )
            if found:
                self._left = found
                break
        n = min(len(target), len(self._left))  # 0 where no chunk is left
        target[:n], self._left = self._left[:n], self._left[n:]
        return n


def _bytes_of(chunk: Any) -> memoryview | None:
    """The bytes that an object holds in memory, or None if it does not, or holds other items."""
    try:
        view = memoryview(chunk)
    except TypeError:
        return None
    return view if view.format == "B" and view.ndim == 1 else None


def _name(table: Any) -> str:
    """A table's name, or schema and name, quoted."""
    parts = table if isinstance(table, tuple) else (table,)
    names = [quoted(part) for part in parts]
    if len(parts) not in (1, 2) or any(len(str(p).encode()) > MAX_NAME_BYTES for p in parts):
        raise ValueError(
            f"table: expected a name of at most {MAX_NAME_BYTES} bytes, or (schema, name), got "
            f"{table!r}; shorten it"
        )
    return ".".join(names)
