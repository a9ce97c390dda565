from __future__ import annotations

import numpy as np
import pytest

from bench import shapes
from bench.shapes import Shape


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("64,1000,1,10", Shape(64, 1000, 1, 10)),
        ("1024,1e6,100,10", Shape(1024, 1_000_000, 100, 10)),
        ("64,2000,3,2000,descending", Shape(64, 2000, 3, 2000, "descending")),
    ],
)
def test_parse(text: str, shape: Shape) -> None:
    assert shapes.parse(text) == shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64,1000,1", "expected BITS,CODES,QUERIES,K"),
        ("64,1000,1,10,sideways", "for example 64,1e6,100,10, got '64,1000,1,10,sideways'"),
        ("64,-5,1,1", "expected BITS,CODES,QUERIES,K"),
        ("63,1000,1,10", "expected a multiple of 8 bits"),
        ("0,1000,1,10", "expected a multiple of 8 bits"),
        ("64,10,1,11", "expected k in 1..CODES"),
        ("64,10,1,0", "expected k in 1..CODES"),
        ("64,10,0,1", "at least one query"),
    ],
)
def test_parse_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        shapes.parse(text)
    assert message in str(error.value)


def test_the_same_shape_has_the_same_codes() -> None:
    shape = Shape(72, 500, 3, 5)
    one, two = shapes.make(shape), shapes.make(shape)
    assert one.batches.shape == (10, 3, 9)
    assert one.db.shape == (500, 9)
    assert one.db.dtype == one.batches.dtype == np.uint8
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert shapes.make(Shape(72, 500, 1, 1)).db is one.db  # and what rivals built of it
    assert not np.array_equal(shapes.make(Shape(72, 501, 3, 5)).db[:500], one.db)


def test_a_large_database_has_few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(shapes.make(Shape(64, 1000, 1, 1)).batches) == 32
    assert len(shapes.make(Shape(64, 1000, 1, 1), pool=2).batches) == 2
    monkeypatch.setattr(shapes, "_POOL_BYTES", 40_000)
    assert len(shapes.make(Shape(64, 1000, 1, 1)).batches) == 5
    assert len(shapes.make(Shape(64, 10_000, 1, 1)).batches) == 4
    assert len(shapes.make(Shape(64, 10_000, 100, 1)).batches) == 1


def test_descending_codes_come_nearer_and_nearer() -> None:
    batches, db = shapes.make(Shape(16, 1000, 2, 5, "descending"))
    distances = np.bitwise_count(db ^ batches[0, 0]).sum(axis=1)
    assert (np.diff(distances.astype(int)) <= 0).all()
    assert set(distances) == set(range(17))


def test_equal_codes_are_equal() -> None:
    db = shapes.make(Shape(16, 100, 2, 5, "equal")).db
    assert (db == db[0]).all()


def test_names() -> None:
    assert str(Shape(64, 1_000_000, 1, 10)) == "64 bits, N=1e6, Q=1, k=10"
    forced = Shape(64, 25_000, 1, 10, "equal", backend="avx2")
    assert str(forced) == "64 bits, N=25e3, Q=1, k=10, equal, avx2"
    assert [shapes.short(n) for n in (10, 100, 1000, 1234)] == ["10", "100", "1e3", "1234"]
