"""What is no index, or no longer one, is refused in one sentence that says what it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hamming
from hamming.index import file as index_file
from tests.hamming.index_files import (
    CONTENTS,
    FIXTURES,
    header_of,
    put,
    refused,
    refused_at_all,
    sha256,
    signed,
    tensors_of,
    unsigned,
)

ANY = (FIXTURES / "v1-any.safetensors").read_bytes()
RANGE = (FIXTURES / "v1-range.safetensors").read_bytes()
ASCENDING = (FIXTURES / "v1-ascending.safetensors").read_bytes()
ODD = (FIXTURES / "v1-12-bits.safetensors").read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "an index.safetensors"


def test_no_file(file: Path) -> None:
    for mmap in False, True:
        with pytest.raises(FileNotFoundError, match=re.escape(str(file))):
            hamming.Index.load(file, mmap=mmap)
        with pytest.raises(IsADirectoryError, match=re.escape(str(file.parent))):
            hamming.Index.load(file.parent, mmap=mmap)


def npy(file: Path) -> bytes:
    np.save(file.with_suffix(".npy"), np.zeros((100, 8), np.uint8))
    return file.with_suffix(".npy").read_bytes()


FOREIGN = {
    "empty": (b"", "0 bytes without a safetensors header"),
    "short": (b"\x02\0\0\0\0\0\0", "7 bytes without a safetensors header"),
    "text": (b"a,b,c\n1,2,3\n" * 50, "600 bytes without a safetensors header"),
    "zeros": (bytes(4096), "4096 bytes without a safetensors header"),
    "ones": (b"\xff" * 64, "64 bytes without a safetensors header"),
    "long header": (
        (2**40).to_bytes(8, "little") + b"{}",
        "10 bytes without a safetensors header",
    ),
    "larger header than any": (
        (2**20 + 1).to_bytes(8, "little") + b"{}".ljust(2**20 + 1),
        "1048585 bytes without a safetensors header",
    ),
    "no JSON": (b"\x04\0\0\0\0\0\0\0{{}}", "a header that is no safetensors header"),
    "no UTF-8": (b"\x04\0\0\0\0\0\0\0{\xff}\xff", "a header that is no safetensors header"),
    "no tensors": (unsigned({}, b""), "a safetensors file of another kind"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_bytes(case: str, file: Path) -> None:
    refused_at_all(file, *FOREIGN[case])


def test_foreign_files(file: Path) -> None:
    refused_at_all(file, npy(file), r"\d+ bytes without a safetensors header")
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    other = unsigned({"weight": entry}, bytes(24))
    refused_at_all(file, other, "a safetensors file of another kind")
    other = unsigned({"__metadata__": {"format": "pt"}, "weight": entry}, bytes(24))
    refused_at_all(file, other, "a safetensors file of another kind")


@pytest.mark.parametrize("name", CONTENTS)
def test_every_torn_file(name: str, file: Path) -> None:
    data = (FIXTURES / f"{name}.safetensors").read_bytes()
    start = len(data) - len(tensors_of(data))
    for size in range(len(data)):
        put(file, data[:size])
        got = f"{size} bytes without a safetensors header"
        if size >= start:
            got = f"{size} bytes where its header announces {len(data)}"
        refused(file, got, mmap=bool(size % 2), verify=False)
    for more in b"\0", b"\n", data:
        got = f"{len(data) + len(more)} bytes where its header announces {len(data)}"
        refused_at_all(file, data + more, got)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_that_is_cut_off_meanwhile(
    mmap: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*arguments: Any) -> Any:
        os.truncate(file, len(RANGE) - 1)
        return numbers(*arguments)

    numbers = index_file._numbers
    monkeypatch.setattr(index_file, "_numbers", cut_off)
    put(file, RANGE)
    refused(file, "a file that was cut off while it was read", mmap=mmap, verify=False)


@pytest.mark.parametrize("data", [RANGE, ANY], ids=["range", "any"])
def test_every_byte_counts(data: bytes, file: Path) -> None:
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x11
        put(file, changed)
        refused(file, ".*", ".*", mmap=bool(place % 2), verify=True)


def test_checksums(file: Path) -> None:
    changed = header_of(ANY)
    changed["__metadata__"]["next_id"] = "5"
    refused_at_all(file, unsigned(changed, tensors_of(ANY)), "a header with a wrong checksum")
    del changed["__metadata__"]["sha256.header"]
    refused_at_all(file, unsigned(changed, tensors_of(ANY)), "a header with a wrong checksum")
    for place, name in (-1, "codes"), (-24, "codes"), (-25, "ids"), (-48, "ids"):
        data = bytearray(ANY)
        data[place] ^= 4
        put(file, data)
        refused(file, f"{name} with a wrong checksum")
        refused(file, f"{name} with a wrong checksum", mmap=True, verify=True)
        assert len(hamming.Index.load(file, mmap=True)) == 3


@pytest.mark.parametrize("version", ["2", "3", "10", "4000000000", "9" * 19])
def test_newer_versions(version: str, file: Path) -> None:
    """Before anything else is looked at, which a newer version may write differently."""
    header = header_of(RANGE)
    header["__metadata__"] = {"format": "hamming.index", "version": version}
    got = f"format version {version} where this release reads up to 1"
    data = unsigned(header, tensors_of(RANGE))
    refused_at_all(file, data, got, "install a newer hamming-kd")


def forged(data: bytes, ids: list[int] | None = None, codes: bytes | None = None) -> bytes:
    """Other contents with the checksums that belong to them."""
    header, tensors = header_of(data), tensors_of(data)
    begin, end = header["codes"]["data_offsets"]
    parts = {"ids": tensors[:begin], "codes": tensors[begin:end] if codes is None else codes}
    if ids is not None:
        parts["ids"] = np.array(ids, "<i8").tobytes()
    header["__metadata__"].update({f"sha256.{name}": sha256(part) for name, part in parts.items()})
    return signed(header, parts["ids"] + parts["codes"])


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (forged(ASCENDING, ids=[2, 0, 3]), "ids that do not ascend"),
        (forged(ASCENDING, ids=[2, 2, 3]), "ids that do not ascend"),
        (forged(ASCENDING, ids=[-1, 2, 3]), r"ids outside of 0\.\.5"),
        (forged(ASCENDING, ids=[0, 2, 6]), r"ids outside of 0\.\.5"),
        (forged(ANY, ids=[5, -(2**63), 2]), r"ids outside of 0\.\.9223372036854775806"),
        (forged(ODD, codes=b"\xff\xf0\0\x11\0\0\0\0"), "ones behind the 12 bits of a code"),
    ],
)
def test_contents_of_faulty_writers(data: bytes, got: str, file: Path) -> None:
    """Checksums are right, contents are not: a verified load says so, and none crashes."""
    file.write_bytes(data)
    refused(file, got)
    refused(file, got, mmap=True, verify=True)
    index = hamming.Index.load(file, mmap=True)
    ids = index.ids
    assert index.topk(index.codes & 0xF0, len(index)).indices.shape == (len(index),) * 2
    index.topk(index.codes[0] & 0xF0, 1, filter=ids[ids >= 0])
    index.add(index.codes[:1] & 0xF0, ids=[11])


def test_ids_that_come_twice_are_the_one_thing_not_looked_for(file: Path) -> None:
    """It would take a sort of all ids; a search finds both, a removal the earlier."""
    file.write_bytes(forged(ODD, ids=[7, 8, 7, 5]))
    index = hamming.Index.load(file)
    assert sorted(index.topk(index.codes[0], 4).indices) == [5, 7, 7, 8]
    index.remove([7])
    assert index.ids.tolist() == [8, 7, 5]
