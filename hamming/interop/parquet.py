"""Parquet tables of codes, for DuckDB and whatever else reads them; needs pyarrow.

Columns: `position` and `id` (int64), `code` (binary of n_bytes), and `w0`, `w1`, ... (uint64), the
code as numbers that SQL can compare: `w0` is its first 8 bytes read as a big-endian number, and so
on, with zero bytes behind the last. So the first bit of a code is the highest of `w0`.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from .. import checks, io
from ..index import Index
from ..index import checks as index_checks
from ..layout import MAX_BITS, bytes_for
from .tables import Gathered, Rows, one_query, optional, quoted, rows_of

N_BITS: Final = b"hamming.n_bits"  # in the schema's metadata
MAX_WORDS: Final = 512  # DuckDB takes expressions of a depth of 1000
GROUP_ROWS: Final = 2**17  # DuckDB reads groups of rows in parallel, and wants about so many
GROUP_BYTES: Final = 2**26


def write(index: Index, path: str | os.PathLike[str]) -> None:
    """Writes the codes as a Parquet file, whole or not at all, a group of rows at a time.

    Args:
        index: what to write, of at most 32,768 bits; its removed codes are left out.
        path: the file to make or replace.

    Raises:
        ImportError: pyarrow is not installed.
        TypeError: `index` is no index, or `path` no path.
        ValueError: the codes have more words than tables should have columns, or `path` names no
            file.
        OSError: the file cannot be written; an old one is as it was.
    """
    pa, pq = _packages()
    file_path = index_checks.file_path(path)
    n_bytes = bytes_for(index_checks.index_only(index, Index).n_bits)
    if _n_words(n_bytes) > MAX_WORDS:
        raise ValueError(
            f"index: expected at most {64 * MAX_WORDS} bits, got {index.n_bits}; "
            "save it with Index.save"
        )
    words = [(f"w{i}", pa.uint64()) for i in range(_n_words(n_bytes))]
    columns = [("position", pa.int64()), ("id", pa.int64()), ("code", pa.binary(n_bytes)), *words]
    fields = [pa.field(name, kind, nullable=False) for name, kind in columns]
    schema = pa.schema(fields, metadata={N_BITS: str(index.n_bits)})

    def fill(temporary: Path) -> None:
        # Dictionaries would be built in vain: ids never repeat, and codes hardly.
        settings = {"use_dictionary": False, "write_page_checksum": True}
        with pq.ParquetWriter(temporary, schema, **settings) as writer:
            for rows in rows_of(index, min(GROUP_ROWS, max(1024, GROUP_BYTES // n_bytes))):
                size = len(rows.ids)
                codes = pa.Array.from_buffers(
                    pa.binary(n_bytes), size, [None, pa.py_buffer(rows.codes)]
                )
                values = [rows.positions, rows.ids, codes, *_words(rows.codes).T]
                writer.write_batch(pa.record_batch([pa.array(v) for v in values], schema=schema))

    io.write_whole(file_path, fill)


def read(path: str | os.PathLike[str], *, n_bits: int | None = None) -> Index:
    """Reads the columns `id`, `code` and, where there is one, `position` of a Parquet file.

    Ids and positions are integers of any width, codes are binary, of fixed size or not: values of
    other types are not cast.

    Args:
        path: the file, of `write` or of another program.
        n_bits: bits of a code; None = as `write` noted, which other programs do not keep.

    Returns:
        An index with the rows in the order of their positions, or of the file.

    Raises:
        ImportError: pyarrow is not installed.
        TypeError: `path` is no path, or n_bits no integer.
        ValueError: the file is no such table, n_bits is not known or does not fit, or ids are
            negative or repeat.
        OSError: the file cannot be read.
    """
    pa, pq = _packages()
    file_path = index_checks.file_path(path)
    wanted, name = None if n_bits is None else index_checks.bits(n_bits), str(file_path)
    with file_path.open("rb") as file:
        try:
            table = pq.ParquetFile(file, page_checksum_verification=True)
            noted = (table.schema_arrow.metadata or {}).get(N_BITS)
            bits = _bits(noted, wanted, name)
            rows = _rows(pa, table, bytes_for(bits), name)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{name}: expected a Parquet file, got a damaged or foreign one "
                f"({str(error).splitlines()[0]}); write it again"
            ) from None
    return rows.index(bits)


def topk_query(table: str | Path, query_code: Any, k: int) -> str:
    """DuckDB's text that finds the k nearest codes: `id` and `distance`, as `Index.topk` does.

    Args:
        table: the name of a table or view with the columns of a file, or the `Path` of one.
        query_code: `(n_bytes,) uint8`; DuckDB gives an error if the table's codes are of others.
        k: at least 1; a smaller table gives all its rows.

    Raises:
        TypeError: an argument is of a wrong type.
        ValueError: it does not fit.
    """
    count = checks.integer(k, "k", least=1, remedy="ask for at least one neighbour")
    code = one_query(query_code)
    if _n_words(len(code)) > MAX_WORDS:
        raise ValueError(
            f"query_code: expected at most {8 * MAX_WORDS} bytes, got {len(code)}; search in Python"
        )
    words = _words(code[None])[0].tolist()
    # bit_count of a UBIGINT is taken of the same number as HUGEINT: the highest bit is no sign.
    counts = [f"bit_count(xor(w{i}, {word}::UBIGINT))::INTEGER" for i, word in enumerate(words)]
    source = _source(table)
    # Shorter queries would find all columns they need. One row is looked at.
    wanted = (
        f"SELECT CASE WHEN octet_length(code) = {len(code)} THEN TRUE ELSE "
        "error('query_code: expected ' || octet_length(code) || ' bytes as in the table, got "
        f"{len(code)}; pack with the same n_bits')::BOOLEAN END FROM {source} LIMIT 1"
    )
    return (
        f"SELECT id, {' + '.join(counts)} AS distance FROM {source}\nWHERE ({wanted})\n"
        f"ORDER BY distance, position LIMIT {count}"
    )


def _source(table: Any) -> str:
    if not isinstance(table, os.PathLike):
        return quoted(table)
    text = glob.escape(str(index_checks.file_path(table, "table")))
    return "read_parquet('" + text.replace("'", "''") + "')"


def _n_words(n_bytes: int) -> int:
    return -(-n_bytes // 8)


def _words(codes: np.ndarray) -> np.ndarray:
    """`(n, n_words) uint64` of `(n, n_bytes)`."""
    n_codes, n_bytes = codes.shape
    padded = np.zeros((n_codes, 8 * _n_words(n_bytes)), np.uint8)
    padded[:, :n_bytes] = codes
    return padded.view(">u8").astype(np.uint64, order="F")


def _bits(noted: bytes | None, n_bits: int | None, name: str) -> int:
    """The bits of a code, by what a file notes and what was asked for."""
    if noted is None:
        if n_bits is None:
            raise ValueError(
                f"n_bits: expected a number where {name} does not note it, got None; give it"
            )
        return n_bits
    digits = noted.isdigit() and len(noted) <= len(str(MAX_BITS))
    if not digits or not 1 <= int(noted) <= MAX_BITS:
        raise ValueError(
            f"{name}: expected the bits of a code, 1..{MAX_BITS}, in hamming.n_bits of its "
            f"metadata, got {noted[:20]!r}; write it again"
        )
    if n_bits not in (None, int(noted)):
        raise ValueError(
            f"n_bits: expected {int(noted)} as {name} notes, got {n_bits}; leave it out"
        )
    return int(noted)


def _rows(pa: Any, table: Any, n_bytes: int, name: str) -> Gathered:
    """All rows of a file, a batch at a time."""
    wanted, rows, start = _columns(pa, table.schema_arrow, name), Gathered(), 0
    for batch in table.iter_batches(columns=wanted):
        found = {}
        for column in wanted:  # for "id" pyarrow gives "id.more", too
            kind = pa.binary(n_bytes) if column == "code" else pa.int64()
            found[column] = _cast(pa, batch.column(column), kind, column, name)
            if found[column].null_count:
                raise ValueError(
                    f"{name}: expected a value in each row, got NULL in column {column}; leave "
                    "such rows out"
                )
        codes, size = found["code"], batch.num_rows
        data = np.frombuffer(codes.buffers()[1], np.uint8)[codes.offset * n_bytes :]
        positions = np.arange(start, start := start + size, dtype=np.int64)
        if "position" in found:
            positions = found["position"].to_numpy()
        rows.add(Rows(positions, found["id"].to_numpy(), data[: size * n_bytes]))
    return rows


def _columns(pa: Any, schema: Any, name: str) -> list[str]:
    """The columns to read: one of each name, and of a type whose values are taken as they are."""
    columns = ["id", "code", *(["position"] if "position" in schema.names else [])]
    for column in columns:
        count = schema.names.count(column)
        if count != 1:
            raise ValueError(
                f"{name}: expected one column {column}, got {count or 'none'} of that name; "
                "rename the columns"
            )
        kind = schema.field(column).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        # Casts would take text, dates and whole floats as well.
        is_binary = str(plain).removeprefix("large_").startswith(("binary", "fixed_size_binary"))
        if not (is_binary if column == "code" else pa.types.is_integer(plain)):
            raise ValueError(
                f"{name}: expected {'binary' if column == 'code' else 'integers'} in column "
                f"{column}, got {kind}; cast the column where that is meant"
            )
    return columns


def _cast(pa: Any, values: Any, kind: Any, column: str, name: str) -> Any:
    if values.type == kind:
        return values
    try:
        return values.cast(kind)
    except pa.ArrowException as error:
        raise ValueError(
            f"{name}: expected {kind} in column {column}, got {values.type} "
            f"({str(error).splitlines()[0]}); correct them"
        ) from None


def _packages() -> tuple[Any, Any]:
    return optional("pyarrow", "parquet"), optional("pyarrow.parquet", "parquet")
