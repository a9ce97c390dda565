"""The public functions on arrays of a (stand-in) GPU: the same kind out, never NumPy in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

import hamming
from tests.cuda import fake_cupy
from tests.cuda.device import AMPERE, SMALL, EmulatedBackend, EmulatedDevice
from tests.cuda.fake_cupy import FakeArray
from tests.hamming import oracle

RNG = np.random.default_rng(0)
DB = RNG.integers(0, 256, (300, 8), np.uint8)
QUERIES = RNG.integers(0, 256, (5, 8), np.uint8)


class FakeDevice(EmulatedDevice):
    def empty(self, count: int, dtype: type[np.generic]) -> FakeArray:
        return FakeArray(super().empty(count, dtype))

    def address(self, array: FakeArray | None) -> int:
        assert not isinstance(array, np.ndarray), "a host array on its way to a GPU"
        return super().address(array)

    def launch(self, kernel, grid, args) -> None:
        assert not any(isinstance(x, np.ndarray) for x in args), "a host array for a kernel"
        super().launch(kernel, grid, [fake_cupy.unwrapped(x) for x in args])

    def read(self, array: FakeArray) -> np.ndarray:
        return array.hidden.copy()


class FakeBackend(EmulatedBackend):
    def takes(self, device: str) -> bool:
        return device == "cuda:0"


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.module())
    device = FakeDevice(AMPERE)
    with hamming.use_backend(FakeBackend("fake", lambda: device, SMALL)):
        yield


def there(array: np.ndarray) -> FakeArray:
    return FakeArray(array.copy())


def check(found: tuple, expected: tuple) -> None:
    for got, wanted in zip(found, expected, strict=True):
        assert isinstance(got, FakeArray)
        np.testing.assert_array_equal(got.hidden, wanted)


def test_topk_with_and_without_a_mask() -> None:
    mask = RNG.random(300) < 0.5
    check(hamming.topk(there(QUERIES), there(DB), 7), oracle.topk(QUERIES, DB, 7))
    found = hamming.topk(there(QUERIES), there(DB), 7, mask=there(mask))
    check(found, oracle.topk(QUERIES, DB, 7, mask))
    single = hamming.topk(there(QUERIES[0]), there(DB), 7)
    check(single, tuple(x[0] for x in oracle.topk(QUERIES[:1], DB, 7)))


def test_strided_arrays_are_copied_where_they_are() -> None:
    wide = RNG.integers(0, 256, (300, 16), np.uint8)
    found = hamming.topk(there(QUERIES), FakeArray(wide[:, ::2]), 3)
    check(found, oracle.topk(QUERIES, np.ascontiguousarray(wide[:, ::2]), 3))


def test_radius_search_and_distance() -> None:
    found = hamming.radius_search(there(QUERIES), there(DB), 27)
    check(found, oracle.radius_search(QUERIES, DB, 27))
    check((hamming.distance(there(QUERIES), there(DB)),), (oracle.distances(QUERIES, DB),))


def test_packing_and_unpacking() -> None:
    x = RNG.standard_normal((9, 70)).astype(np.float32)
    codes = np.packbits(x > 0.5, axis=1)
    check((hamming.pack(there(x), threshold=0.5),), (codes,))
    limits = np.linspace(-1, 1, 70)
    expected = np.packbits(x.astype(np.float64) > limits, axis=1)
    check((hamming.pack(there(x), threshold=there(limits)),), (expected,))
    check((hamming.pack(there(x > 0), threshold=-1),), (np.packbits(np.ones((9, 70), bool), 1),))
    check((hamming.unpack(there(codes), 70),), (np.unpackbits(codes, axis=1, count=70),))


def test_a_chain_copies_nothing_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CuPy does while a CUDA graph is captured."""

    def refuse(array: object, *args: object) -> None:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")

    monkeypatch.setattr(sys.modules["cupy"], "asarray", refuse)
    values = RNG.standard_normal((5, 64)).astype(np.float32)
    codes = hamming.pack(there(values), threshold=0.25)
    check((codes,), (np.packbits(values > 0.25, axis=1),))
    near = hamming.topk(codes, there(DB), 20)
    assert isinstance(hamming.rescore(there(values), there(DB), near.indices, 3).scores, FakeArray)
    with pytest.raises(RuntimeError, match=r"is capturing"):  # or this test could not fail
        hamming.pack(there(values), threshold=np.linspace(-1, 1, 64))


def test_nan_is_looked_for_when_asked() -> None:
    x = np.full((4, 8), np.nan, np.float32)
    check((hamming.pack(there(x)),), (np.zeros((4, 1), np.uint8),))
    with pytest.raises(ValueError, match=r"^x: expected numbers, got NaN in row 0; "):
        hamming.pack(there(x), check_finite=True)


def test_rescore() -> None:
    queries = RNG.standard_normal((5, 60)).astype(np.float32)
    rows = RNG.integers(0, 300, (5, 20))
    found = hamming.rescore(there(queries), there(DB), there(rows), 4)
    exact = -np.sort(-oracle.scores(queries, DB, rows), axis=1)[:, :4]
    assert isinstance(found.scores, FakeArray)
    np.testing.assert_allclose(found.scores.hidden, exact, atol=1e-4)


def test_merge() -> None:
    whole = oracle.topk(QUERIES, DB, 6)
    halves = [hamming.topk(there(QUERIES), there(part), 6) for part in (DB[:150], DB[150:])]
    shifted = hamming.TopK(halves[1].distances, halves[1].indices + 150)
    check(hamming.merge_topk([halves[0], shifted], 6), whole)


def test_mixed_devices() -> None:
    with pytest.raises(ValueError, match=r"^db_codes: expected device cuda:0 like query_codes"):
        hamming.topk(there(QUERIES), DB, 1)


def test_limits_of_a_device() -> None:
    tiny = there(np.zeros((2**20 + 1, 1), np.uint8))
    with pytest.raises(ValueError, match=r"^k: expected at most 1048576 on cuda:0, got 1048577; "):
        hamming.topk(tiny[:1], tiny, 2**20 + 1)
    with pytest.raises(TypeError, match=r"^threshold: expected floats for float values on a GPU"):
        hamming.pack(there(np.ones((2, 8), np.int32)), threshold=there(np.ones(8, np.float32)))
    with pytest.raises(ValueError, match=r"^threshold: expected a number or shape \(8,\), got "):
        hamming.pack(there(np.ones((2, 8), np.float32)), threshold=there(np.ones(7, np.float32)))
