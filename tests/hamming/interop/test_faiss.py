from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hamming
from hamming.interop import faiss as files
from tests.hamming.interop.examples import (
    WIDTHS,
    K,
    assert_holds,
    assert_takes_a_path,
    assert_takes_an_index,
    example,
    random_codes,
)

faiss: Any = pytest.importorskip("faiss")


def plain(n_bits: int = 64, n_codes: int = 500) -> tuple[hamming.Index, np.ndarray]:
    codes = random_codes(np.random.default_rng(1), n_codes, n_bits)
    return hamming.Index.from_codes(codes, n_bits=n_bits), codes


def their_file(path: Path, codes: np.ndarray, ids: np.ndarray | None, kind: str = "") -> Path:
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    if ids is None:
        index.add(codes)
    else:
        index = getattr(faiss, kind)(index)
        index.add_with_ids(codes, ids)
    faiss.write_index_binary(index, str(path))
    return path


@WIDTHS
def test_faiss_reads_a_flat_file(tmp_path: Path, n_bits: int) -> None:
    index, codes = plain(n_bits)
    files.write(index, tmp_path / "codes.faiss")
    theirs = faiss.read_index_binary(str(tmp_path / "codes.faiss"))
    assert type(theirs) is faiss.IndexBinaryFlat
    np.testing.assert_array_equal(faiss.vector_to_array(theirs.xb).reshape(codes.shape), codes)
    their_file(tmp_path / "theirs", codes, None)
    assert (tmp_path / "codes.faiss").read_bytes() == (tmp_path / "theirs").read_bytes()


@WIDTHS
def test_faiss_reads_a_map_of_ids_and_finds_the_same(tmp_path: Path, n_bits: int) -> None:
    case = example(n_bits)
    files.write(case.index, tmp_path / "codes.faiss")
    theirs = faiss.read_index_binary(str(tmp_path / "codes.faiss"))
    assert type(theirs) is faiss.IndexBinaryIDMap
    distances, ids = theirs.search(case.queries, K)
    np.testing.assert_array_equal(distances, case.distances)
    # FAISS promises no order of equal distances; below the last distance the sets are the same.
    for row in range(len(ids)):
        sure = distances[row] < distances[row, -1]
        assert set(ids[row][sure]) == set(case.found[row][sure])
    their_file(tmp_path / "theirs", case.codes, case.ids, "IndexBinaryIDMap")
    assert (tmp_path / "codes.faiss").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", ["", "IndexBinaryIDMap", "IndexBinaryIDMap2"])
@WIDTHS
def test_their_files_are_read(tmp_path: Path, n_bits: int, kind: str, mmap: bool) -> None:
    case = example(n_bits)
    ids = case.ids if kind else None
    path = their_file(tmp_path / "theirs", case.codes, ids, kind)
    index = files.read(path, n_bits=n_bits, mmap=mmap)
    expected = np.arange(len(case.ids)) if ids is None else ids
    assert_holds(index, expected, case.codes, n_bits)
    found = index.topk(case.queries, K)
    np.testing.assert_array_equal(found.distances, case.distances)
    if ids is not None:
        np.testing.assert_array_equal(found.indices, case.found)
    assert files.read(path).n_bits == 8 * case.codes.shape[1]


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    files.write(example(64, n_codes=5).index, tmp_path / "codes.faiss")
    index = files.read(tmp_path / "codes.faiss", mmap=True)
    assert type(index.codes) is type(index.ids) is np.ndarray  # as of any index
    base: Any = index.codes
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_objects_both_ways() -> None:
    case = example(100)
    theirs = files.to_faiss(case.index)
    assert theirs.ntotal == len(case.ids)
    assert_holds(files.from_faiss(theirs, n_bits=100), case.ids, case.codes, 100)
    flat = files.to_faiss(plain()[0])
    assert type(flat) is faiss.IndexBinaryFlat
    np.testing.assert_array_equal(files.from_faiss(flat).codes, plain()[1])


def test_an_empty_index(tmp_path: Path) -> None:
    files.write(hamming.Index(24), tmp_path / "none")
    assert faiss.read_index_binary(str(tmp_path / "none")).ntotal == 0
    for mmap in (False, True):
        assert len(files.read(tmp_path / "none", mmap=mmap)) == 0
    assert files.read(tmp_path / "none").n_bits == 24


def test_a_cut_file_is_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for index in (plain(n_codes=3)[0], example(64, n_codes=5).index):
        files.write(index, path)
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=r"cut: expected .*, got .*; .*write"):
                files.read(path)
        path.write_bytes(whole + b"\0")
        with pytest.raises(ValueError, match=r"cut: expected \d+ bytes for \d+ codes of 8 bytes"):
            files.read(path, mmap=True)


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (4, "<i", 63, "whole bytes, got 3 codes of 63 bits in 8 bytes"),
        (8, "<i", 7, "whole bytes"),
        (12, "<q", -1, "whole bytes, got -1 codes"),
        (12, "<q", 2**62, r"\d+ bytes for \d+ codes"),
        (25, "<Q", 23, "counts that agree"),
    ],
)
def test_a_damaged_header(tmp_path: Path, place: int, form: str, value: int, message: str) -> None:
    path = tmp_path / "damaged"
    files.write(plain(n_codes=3)[0], path)
    damaged = bytearray(path.read_bytes())
    struct.pack_into(form, damaged, place, value)
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"damaged: expected .*{message}.*; .*write it again"):
        files.read(path)


def test_a_map_whose_counts_differ(tmp_path: Path) -> None:
    path = tmp_path / "map"
    files.write(example(64, n_codes=5).index, path)
    whole = path.read_bytes()
    for place in (12, len(whole) - 8 * 4 - 8):  # codes of the map, and the number of its ids
        damaged = bytearray(whole)
        damaged[place] += 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="map: expected counts that agree"):
            files.read(path)


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    inverted = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(64), 64, 1)
    inverted.train(plain()[1])
    faiss.write_index_binary(inverted, str(path))
    with pytest.raises(ValueError, match=r"foreign: expected a FAISS IndexBinaryFlat .* b'IBwF'; "):
        files.read(path)
    with pytest.raises(ValueError, match="index_binary: expected a FAISS IndexBinaryFlat"):
        files.from_faiss(inverted)
    with pytest.raises(TypeError, match=r"index_binary: expected a faiss.IndexBinary, got int; "):
        files.from_faiss(3)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="foreign: expected a FAISS file, got an empty one; "):
        files.read(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        files.read(tmp_path / "missing")


def test_arguments(tmp_path: Path) -> None:
    assert_takes_an_index(lambda index: files.write(index, tmp_path / "codes"))
    assert_takes_an_index(files.to_faiss)
    assert_takes_a_path(lambda path: files.write(plain()[0], path))
    for mmap in (False, True):
        assert_takes_a_path(lambda path, mmap=mmap: files.read(path, mmap=mmap))
    with pytest.raises(TypeError, match=r"^path: expected a string or pathlib.Path, got Index; "):
        files.write(tmp_path / "codes", plain()[0])  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_ids_that_an_index_cannot_have(tmp_path: Path) -> None:
    codes = plain(n_codes=3)[1]
    for ids, message in (([1, -1, 2], "at least 0, got -1"), ([4, 2, 4], "each once, got 4")):
        path = their_file(tmp_path / "ids", codes, np.array(ids), "IndexBinaryIDMap")
        with pytest.raises(ValueError, match=f"^ids: expected {message}"):
            files.read(path)


def test_bits_that_do_not_fit(tmp_path: Path) -> None:
    files.write(plain(13)[0], tmp_path / "codes")
    assert files.read(tmp_path / "codes").n_bits == 16
    for n_bits in (8, 17):
        with pytest.raises(ValueError, match=rf"n_bits: expected 9..16 .* got {n_bits}; "):
            files.read(tmp_path / "codes", n_bits=n_bits)
    with pytest.raises(ValueError, match="codes: expected zeros behind the 9 bits"):
        files.read(tmp_path / "codes", n_bits=9)
    with pytest.raises(TypeError, match="n_bits: expected an integer, got str"):
        files.read(tmp_path / "codes", n_bits="13")  # type: ignore[arg-type]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "codes"
    files.write(plain()[0], path)
    before = path.read_bytes()

    def torn(index: hamming.Index) -> Any:
        yield b"IBxF"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_parts", torn)
    with pytest.raises(OSError, match="No space left on device"):
        files.write(plain()[0], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
