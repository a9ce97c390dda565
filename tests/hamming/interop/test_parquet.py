from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hamming
from hamming.interop import parquet
from tests.hamming.interop.examples import (
    WIDTHS,
    Example,
    K,
    assert_holds,
    assert_takes_a_path,
    assert_takes_an_index,
    example,
    random_codes,
)

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")
duckdb: Any = pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    with duckdb.connect() as connection:
        yield connection


def assert_finds(db: Any, table: str | Path, case: Example) -> None:
    for query, distances, ids in zip(case.queries, case.distances, case.found, strict=True):
        rows = db.execute(parquet.topk_query(table, query, K)).fetchall()
        assert rows == list(zip(ids.tolist(), distances.tolist(), strict=True))


@WIDTHS
def test_duckdb_finds_what_the_index_finds(tmp_path: Path, db: Any, n_bits: int) -> None:
    case = example(n_bits)
    found = case.index.topk(case.queries, K)
    np.testing.assert_array_equal(found.indices, case.found)
    path = tmp_path / "it's codes*.parquet"
    parquet.write(case.index, path)
    parquet.write(case.index, tmp_path / "it's codes of others.parquet")
    assert_finds(db, path, case)
    (tmp_path / "it's codes of others.parquet").unlink()
    # A table whose rows lie in another order.
    db.execute(
        """CREATE OR REPLACE TABLE "its ""own"" codes" AS
        FROM read_parquet($1) ORDER BY hash(id)""",
        [str(tmp_path / "*.parquet")],
    )
    assert_finds(db, 'its "own" codes', case)


@WIDTHS
def test_a_file_comes_back(tmp_path: Path, n_bits: int) -> None:
    case = example(n_bits)
    parquet.write(case.index, tmp_path / "codes.parquet")
    assert_holds(parquet.read(tmp_path / "codes.parquet"), case.ids, case.codes, n_bits)


def test_the_columns_are_those_described(tmp_path: Path) -> None:
    codes = np.array([[0x80, 0, 0, 0, 0, 0, 0, 1, 0xFF, 2, 0x30], [0] * 10 + [0xF0]], np.uint8)
    parquet.write(hamming.Index.from_codes(codes, 84, ids=[9, 4]), tmp_path / "codes.parquet")
    table = pq.read_table(tmp_path / "codes.parquet")
    assert table.to_pydict() == {
        "position": [0, 1],
        "id": [9, 4],
        "code": [bytes(codes[0]), bytes(codes[1])],
        "w0": [2**63 + 1, 0],
        "w1": [0xFF02_3000_0000_0000, 0x0000_F000_0000_0000],
    }
    assert table.schema.field("code").type == pa.binary(11)
    assert table.schema.field("w1").type == pa.uint64()
    assert not any(field.nullable for field in table.schema)


def test_groups_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = example(100)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 64)
    parquet.write(case.index, tmp_path / "codes.parquet")
    metadata = pq.read_metadata(tmp_path / "codes.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == len(case.ids)
    assert 0 < min(sizes) <= max(sizes) <= 64
    assert_holds(parquet.read(tmp_path / "codes.parquet"), case.ids, case.codes, 100)


def test_what_duckdb_writes_is_read(tmp_path: Path, db: Any) -> None:
    case = example(100)
    parquet.write(case.index, tmp_path / "ours.parquet")
    db.execute(
        f"""COPY (SELECT id, code, position FROM '{tmp_path}/ours.parquet' ORDER BY hash(id))
        TO '{tmp_path}/theirs.parquet'"""
    )
    theirs = tmp_path / "theirs.parquet"
    assert_holds(parquet.read(theirs, n_bits=100), case.ids, case.codes, 100)
    with pytest.raises(ValueError, match=r"^n_bits: expected a number where .*theirs.parquet does"):
        parquet.read(theirs)
    with pytest.raises(ValueError, match=r"theirs.parquet: expected fixed.* in column code, got"):
        parquet.read(theirs, n_bits=96)


def test_without_positions_rows_keep_their_order(tmp_path: Path) -> None:
    case = example(64)
    columns = {
        "id.more": case.ids.astype(str),
        "code": pa.array([bytes(code) for code in case.codes]),
        "id": case.ids,
    }
    write_columns(tmp_path / "few.parquet", **columns)
    assert_holds(parquet.read(tmp_path / "few.parquet", n_bits=64), case.ids, case.codes, 64)


def test_an_empty_index(tmp_path: Path, db: Any) -> None:
    parquet.write(hamming.Index(24), tmp_path / "none.parquet")
    index = parquet.read(tmp_path / "none.parquet")
    assert (len(index), index.n_bits) == (0, 24)
    query = parquet.topk_query(tmp_path / "none.parquet", np.zeros(3, np.uint8), 1)
    assert db.execute(query).fetchall() == []


def test_the_widest_codes(tmp_path: Path, db: Any) -> None:
    n_bits = 64 * parquet.MAX_WORDS
    codes = random_codes(np.random.default_rng(0), 3, n_bits)
    codes[1] = ~codes[0]
    parquet.write(hamming.Index.from_codes(codes), tmp_path / "wide.parquet")
    query = parquet.topk_query(tmp_path / "wide.parquet", codes[0], 3)
    found = hamming.topk(codes[0], codes, 3)
    expected = list(zip(found.indices.tolist(), found.distances.tolist(), strict=True))
    assert db.execute(query).fetchall() == expected
    assert expected[-1] == (1, n_bits)
    with pytest.raises(ValueError, match="index: expected at most 32768 bits, got 32769; "):
        parquet.write(hamming.Index(n_bits + 1), tmp_path / "wider.parquet")
    with pytest.raises(ValueError, match="query_code: expected at most 4096 bytes, got 4097; "):
        parquet.topk_query("codes", np.zeros(4097, np.uint8), 1)
    assert not (tmp_path / "wider.parquet").exists()


def test_other_widths_are_an_error_in_duckdb(tmp_path: Path, db: Any) -> None:
    path = tmp_path / "codes.parquet"
    parquet.write(example(100).index, path)
    with pytest.raises(duckdb.Error, match=r"query_code: expected 13 bytes .*, got 8; pack"):
        db.execute(parquet.topk_query(path, np.zeros(8, np.uint8), 1))
    with pytest.raises(duckdb.Error, match="w2"):
        db.execute(parquet.topk_query(path, np.zeros(17, np.uint8), 1))


def test_arguments_of_a_query() -> None:
    code = np.zeros(8, np.uint8)
    with pytest.raises(ValueError, match=r"^k: expected at least 1, got 0; "):
        parquet.topk_query("codes", code, 0)
    with pytest.raises(ValueError, match=r"^query_code: expected shape \(n_bytes,\), got \(2, 8\)"):
        parquet.topk_query("codes", np.stack([code, code]), 1)
    with pytest.raises(TypeError, match=r"^query_code: expected packed uint8 .*got dtype int8"):
        parquet.topk_query("codes", code.view(np.int8), 1)
    with pytest.raises(ValueError, match=r"^table: expected a name, got ''; name the table"):
        parquet.topk_query("", code, 1)
    for path in (Path(), Path("/"), Path("a\0b")):
        with pytest.raises(ValueError, match=r"^table: expected the path of a file, got .*; "):
            parquet.topk_query(path, code, 1)
    with pytest.raises(TypeError, match=r"^table: expected a name as a string, got int; "):
        parquet.topk_query(3, code, 1)  # type: ignore[arg-type]


def test_arguments_of_files(tmp_path: Path) -> None:
    index = example(64).index
    assert_takes_an_index(lambda other: parquet.write(other, tmp_path / "codes"))
    assert_takes_a_path(lambda path: parquet.write(index, path))
    assert_takes_a_path(parquet.read)
    assert list(tmp_path.iterdir()) == []
    parquet.write(index, tmp_path / "codes")
    for n_bits in ("64", 64.0, True):
        with pytest.raises(TypeError, match=r"^n_bits: expected an integer, got "):
            parquet.read(tmp_path / "codes", n_bits=n_bits)  # type: ignore[arg-type]


def write_columns(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_foreign_tables(tmp_path: Path) -> None:
    path, code = tmp_path / "foreign.parquet", pa.array([b"12345678", b"abcdefgh"])
    for columns, message in (
        ({"id": [1, 2]}, "expected one column code, got none of that name; rename the columns"),
        ({"code": code}, "expected one column id, got none of that name; rename the columns"),
        ({"id": [1, None], "code": code}, "expected a value in each row, got NULL in .* id; "),
        ({"id": pa.array([1, 2**63], pa.uint64()), "code": code}, "in column id, got uint64 .*; "),
        ({"id": [1, 2], "code": [b"12345678", b"1"]}, "in column code, got binary .*; correct"),
    ):
        with pytest.raises(ValueError, match=rf"foreign.parquet: .*{message}"):
            parquet.read(write_columns(path, **columns), n_bits=64)
    with pytest.raises(ValueError, match=r"^ids: expected each once, got 4 a second time"):
        parquet.read(write_columns(path, id=[4, 4], code=code), n_bits=64)


INTEGERS = pa.array([7, 3])
CODES = pa.array([b"12345678", b"abcdefgh"])
TEXT = pa.array(["7", "3"])


@pytest.mark.parametrize("column", ["id", "position"])
@pytest.mark.parametrize(
    "values",
    [TEXT, TEXT.dictionary_encode(), pa.array([7.0, 3.0]), pa.array([True, False])]
    + [INTEGERS.cast(kind) for kind in (pa.timestamp("us"), pa.decimal128(20), pa.time64("us"))]
    + [pa.nulls(2), CODES, pa.array([[7], [3]])],
    ids=lambda values: str(values.type),
)
def test_numbers_of_other_types_are_not_cast(tmp_path: Path, column: str, values: Any) -> None:
    columns = {"position": INTEGERS, "id": INTEGERS, "code": CODES} | {column: values}
    path = write_columns(tmp_path / "foreign.parquet", **columns)
    kind = re.escape(str(pq.read_schema(path).field(column).type))
    message = rf"foreign.parquet: expected integers in column {column}, got {kind}; cast"
    with pytest.raises(ValueError, match=message):
        parquet.read(path, n_bits=64)


@pytest.mark.parametrize(
    "values",
    [
        CODES.cast(pa.string()),
        CODES.cast(pa.large_string()),
        INTEGERS,
        pa.array([list(b"12345678")] * 2),
        CODES.cast(pa.string()).dictionary_encode(),
        pa.nulls(2),
    ],
    ids=lambda values: str(values.type),
)
def test_codes_of_other_types_are_not_cast(tmp_path: Path, values: Any) -> None:
    path = write_columns(tmp_path / "foreign.parquet", id=INTEGERS, code=values)
    kind = re.escape(str(pq.read_schema(path).field("code").type))
    message = rf"foreign.parquet: expected binary in column code, got {kind}; cast"
    with pytest.raises(ValueError, match=message):
        parquet.read(path, n_bits=64)


@pytest.mark.parametrize("number", [pa.int8(), pa.uint32(), pa.uint64(), None], ids=str)
@pytest.mark.parametrize("binary", [pa.large_binary(), pa.binary(8), None], ids=str)
def test_types_that_are_taken(tmp_path: Path, number: Any, binary: Any) -> None:
    ids = INTEGERS.cast(number) if number else INTEGERS.dictionary_encode()
    codes = CODES.cast(binary) if binary else CODES.dictionary_encode()
    path = write_columns(tmp_path / "types.parquet", position=ids, id=ids, code=codes)
    expected = np.frombuffer(b"abcdefgh12345678", np.uint8).reshape(2, 8)
    assert_holds(parquet.read(path, n_bits=64), np.array([3, 7]), expected, 64)


def test_two_columns_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.table([INTEGERS, INTEGERS, CODES], ["id", "id", "code"]), path)
    with pytest.raises(ValueError, match=r"twice.parquet: expected one column id, got 2 of that"):
        parquet.read(path, n_bits=64)


@pytest.mark.parametrize("noted", ["abc", "", "0", "-64", "64.0", "9" * 5000, "16777209", "\xb2"])
def test_bits_that_are_noted_wrongly(tmp_path: Path, noted: str) -> None:
    table = pa.table({"id": INTEGERS, "code": CODES}, metadata={"hamming.n_bits": noted})
    pq.write_table(table, tmp_path / "noted.parquet")
    message = r"noted.parquet: expected the bits of a code, 1..16777208, in .*, got b'.{0,50}; "
    for n_bits in (None, 64):
        with pytest.raises(ValueError, match=message):
            parquet.read(tmp_path / "noted.parquet", n_bits=n_bits)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    codes = random_codes(np.random.default_rng(0), 500, 64)  # which do not get smaller
    parquet.write(hamming.Index.from_codes(codes), path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(codes[-1].tobytes()) + 3] ^= 1  # a bit of a code: its page's checksum tells
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-1], whole[4:], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"codes.parquet: expected a Parquet file, .*write it"):
            parquet.read(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        parquet.read(tmp_path / "missing")


def test_bits_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    parquet.write(example(13).index, path)
    assert parquet.read(path, n_bits=13).n_bits == 13
    with pytest.raises(ValueError, match=r"^n_bits: expected 13 as .*parquet notes, got 16; "):
        parquet.read(path, n_bits=16)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"^pyarrow: .*pip install hamming-kd\[parquet\]$"):
        parquet.read(tmp_path / "codes.parquet")
