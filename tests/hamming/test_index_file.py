"""Files of every released version are read with the contents they were saved with; see fixtures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hamming
from tests.hamming import oracle
from tests.hamming.index_files import (
    CONTENTS,
    FIXTURES,
    codes_of,
    header_of,
    index_of,
    sha256,
    signed,
    tensors_of,
)

WAYS = [{"mmap": mmap, "verify": v} for mmap in (False, True) for v in (None, True, False)]
FILES = [pytest.param(FIXTURES / f"{name}.safetensors", id=name) for name in CONTENTS]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("file", FILES)
def test_a_file_is_read_as_it_was_saved(file: Path, way: dict[str, Any]) -> None:
    contents = CONTENTS[file.stem]
    index = hamming.Index.load(file, **way)
    assert (len(index), index.n_bits) == (len(contents.ids), contents.n_bits)
    assert index.ids.dtype == np.int64
    assert index.ids.tolist() == contents.ids
    assert index.codes.tobytes() == bytes.fromhex("".join(contents.codes))
    assert index.codes.shape == codes_of(contents).shape
    new = codes_of(contents)[:1] if contents.ids else np.zeros((1, index.codes.shape[1]), np.uint8)
    if contents.next_id == 2**63 - 1:
        with pytest.raises(ValueError, match="no larger ones are left"):
            index.add(new)
    else:
        index.add(new)
        assert index.ids.tolist() == [*contents.ids, contents.next_id]


@pytest.mark.parametrize("file", FILES)
def test_it_is_searched_as_it_was(file: Path) -> None:
    contents = CONTENTS[file.stem]
    codes, ids = codes_of(contents), np.array(contents.ids, np.int64)
    queries = np.unique(codes, axis=0)
    for mmap in False, True:
        index = hamming.Index.load(file, mmap=mmap)
        distances, rows = oracle.topk(queries, codes, len(codes))
        if len(ids):
            found = index.topk(queries, len(ids))
            assert found.distances.tolist() == distances.tolist()
            assert found.indices.tolist() == ids[rows].tolist()
        _, _, rows = oracle.radius_search(queries, codes, 3)
        assert index.radius_search(queries, 3).indices.tolist() == ids[rows].tolist()


@pytest.mark.parametrize("file", FILES)
def test_what_is_written_has_not_changed(file: Path, tmp_path: Path) -> None:
    """Byte for byte: an index gives one file, on every machine."""
    index_of(file.stem).save(tmp_path / "index")
    assert (tmp_path / "index").read_bytes() == file.read_bytes()
    hamming.Index.load(file, mmap=True).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("file", FILES)
def test_the_header_says_what_the_file_has(file: Path) -> None:
    contents, data = CONTENTS[file.stem], file.read_bytes()
    header, tensors = header_of(data), tensors_of(data)
    metadata = header.pop("__metadata__")
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert metadata.pop(f"sha256.{name}") == sha256(tensors[begin:end])
    assert len(metadata.pop("sha256.header")) == 64
    assert metadata == {
        "format": "hamming.index",
        "version": "1",
        "n_bits": str(contents.n_bits),
        "bit_order": "big",
        "count": str(len(contents.ids)),
        "ids": contents.kind,
        "next_id": str(contents.next_id),
    }
    assert list(header) == (["codes"] if contents.kind.startswith("range") else ["ids", "codes"])
    assert (len(data) - len(tensors)) % 64 == 0


@pytest.mark.parametrize("file", FILES)
def test_the_safetensors_package_reads_it(file: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    contents = CONTENTS[file.stem]
    with safetensors.safe_open(file, "numpy") as opened:
        assert opened.metadata() == header_of(file.read_bytes())["__metadata__"]
        codes = opened.get_tensor("codes")
        assert codes.dtype == np.uint8
        np.testing.assert_array_equal(codes, codes_of(contents))
        if "ids" in opened.keys():  # noqa: SIM118
            assert opened.get_tensor("ids").dtype == np.int64
            assert opened.get_tensor("ids").tolist() == contents.ids
        else:
            assert contents.kind.startswith("range:")


def test_the_safetensors_package_reads_a_larger_one(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    codes, ids = rng.integers(0, 256, (20_000, 12), dtype=np.uint8), rng.permutation(20_000)
    index = hamming.Index.from_codes(codes, ids=ids)
    index.remove(ids[5_000:9_000])
    index.save(tmp_path / "index")
    tensors = numpy.load_file(tmp_path / "index")
    rows = np.r_[0:5_000, 9_000:20_000]
    np.testing.assert_array_equal(tensors["ids"], ids[rows])
    np.testing.assert_array_equal(tensors["codes"], codes[rows])


@pytest.mark.parametrize("shift", range(8))
def test_tensors_may_begin_anywhere(shift: int, tmp_path: Path) -> None:
    """Other writers of safetensors need not align them."""
    rng = np.random.default_rng(shift)
    codes, ids = rng.integers(0, 256, (300, 9), dtype=np.uint8), rng.permutation(300)
    hamming.Index.from_codes(codes, ids=ids).save(tmp_path / "index")
    data = (tmp_path / "index").read_bytes()
    header = header_of(data)
    header["__metadata__"]["made_by"] = "x" * shift  # keys of others are kept out of the way
    (tmp_path / "moved").write_bytes(signed(header, tensors_of(data), pad=1))
    for mmap in False, True:
        index = hamming.Index.load(tmp_path / "moved", mmap=mmap, verify=True)
        distances, rows = oracle.topk(codes[:5], codes, 20)
        found = index.topk(codes[:5], 20)
        assert found.distances.tolist() == distances.tolist()
        assert found.indices.tolist() == ids[rows].tolist()
        distances, rows = oracle.topk(codes[:5], codes, 20, mask=ids < 100)
        found = index.topk(codes[:5], 20, filter=np.arange(100))
        assert found.indices.tolist() == ids[rows].tolist()


def test_a_mapped_index_outlives_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (50_000, 8), dtype=np.uint8)
    file = tmp_path / "index"
    hamming.Index.from_codes(codes).save(file)
    index = hamming.Index.load(file, mmap=True)
    expected = index.topk(codes[:3], 10)
    index.remove([7])
    index.save(file)  # over what it is mapped from
    again = hamming.Index.load(file, mmap=True)
    assert (len(index), len(again)) == (49_999, 49_999)
    file.unlink()
    other = hamming.Index.from_codes(codes[::-1].copy())
    other.save(file)
    for mapped in index, again:
        found = mapped.topk(codes[:3], 10, filter=np.arange(50_000))
        np.testing.assert_array_equal(found.indices, expected.indices)
        assert mapped.topk(codes[7], 1).indices[0] != 7
    with pytest.raises(ValueError, match="read-only"):
        again.codes[0, 0] = 1


def test_a_new_file_is_as_the_process_makes_files(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    hamming.Index(8).save(tmp_path / "a folder/of its own/index")
    file = tmp_path / "a folder/of its own/index"
    assert [other.name for other in file.parent.iterdir()] == ["index"]
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode
