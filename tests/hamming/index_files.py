"""Index files taken apart and put together, as docs/index-file.md says.

`python -m tests.hamming.index_files` writes the files of tests/hamming/fixtures that are missing.
Those of a version that was released are never written again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import hamming

FIXTURES = Path(__file__).parent / "fixtures"
FIRST, LAST = 0, 2**63 - 2  # ids


class Contents(NamedTuple):
    n_bits: int
    codes: list[str]  # hexadecimal
    ids: list[int]
    kind: str  # `ids` of the metadata
    next_id: int  # the id of the next code that is added without one


CONTENTS = {
    "v1-range": Contents(
        16, ["0000", "0001", "8000", "ff00", "abcd"], [0, 1, 2, 3, 4], "range:0", 5
    ),
    "v1-range-from-70": Contents(8, ["ff", "0f", "00"], [70, 71, 72], "range:70", 73),
    # Numbers that were given once are not given again: next_id may be larger than all ids.
    "v1-ascending": Contents(24, ["000000", "123456", "fedcba"], [0, 2, 3], "ascending", 6),
    "v1-any": Contents(
        64, ["0123456789abcdef", "00" * 8, "ff" * 8], [LAST, FIRST, 41], "any", LAST + 1
    ),
    "v1-12-bits": Contents(12, ["fff0", "0010", "8000", "0ab0"], [9, 8, 3, 5], "any", 10),
    "v1-1-bit": Contents(1, ["80", "00"], [0, 1], "range:0", 2),
    "v1-empty": Contents(128, [], [], "range:0", 0),
    "v1-emptied": Contents(9, [], [], "range:0", 3),
}


def codes_of(contents: Contents) -> np.ndarray:
    n_bytes = (contents.n_bits + 7) // 8
    rows = [list(bytes.fromhex(code)) for code in contents.codes]
    return np.array(rows, np.uint8).reshape(-1, n_bytes)


def index_of(name: str) -> hamming.Index:
    """The index that a fixture was saved from, made by adding and removing."""
    contents = CONTENTS[name]
    codes, index = codes_of(contents), hamming.Index(contents.n_bits)
    removed = {"v1-range-from-70": 70, "v1-ascending": 6, "v1-emptied": 3}.get(name, 0)
    index.add(np.zeros((removed, codes.shape[1]), np.uint8))
    index.remove(np.arange(removed))
    index.add(codes, ids=None if contents.kind.startswith("range") else contents.ids)
    return index


def header_of(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def tensors_of(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signed(header: Mapping[str, Any], tensors: bytes, *, pad: int = 64) -> bytes:
    """A file whose header has the checksum that belongs to it, whatever else it says."""
    table = {name: entry for name, entry in header.items() if name != "__metadata__"}
    metadata = {n: v for n, v in header["__metadata__"].items() if n != "sha256.header"}
    text = json.dumps([metadata, table], sort_keys=True, separators=(",", ":"))
    metadata["sha256.header"] = sha256(text.encode())
    return unsigned({"__metadata__": metadata, **table}, tensors, pad=pad)


def unsigned(header: Any, tensors: bytes, *, pad: int = 64) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % pad)
    return len(text).to_bytes(8, "little") + text + tensors


def rows_of(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Ids and codes as they stand in a file."""
    header, tensors = header_of(data), tensors_of(data)
    metadata = header["__metadata__"]
    count = int(metadata["count"])
    if metadata["ids"].startswith("range"):
        first = int(metadata["ids"].removeprefix("range:"))
        ids = np.arange(first, first + count)
    else:
        begin, end = header["ids"]["data_offsets"]
        ids = np.frombuffer(tensors[begin:end], "<i8")
    begin, end = header["codes"]["data_offsets"]
    codes = np.frombuffer(tensors[begin:end], np.uint8)
    return ids, codes.reshape(count, (int(metadata["n_bits"]) + 7) // 8)


def put(file: Path, data: bytes) -> None:
    """A new file: an old one may be mapped still, and is slow to write over."""
    file.unlink(missing_ok=True)
    file.write_bytes(data)


def refused(file: Path, got: str, remedy: str = "", **way: Any) -> None:
    """`got` and `remedy` are texts or patterns."""
    remedy = remedy or "give another file, or save the index again"
    begin = f"{file}: expected an index that hamming saved, got "
    with pytest.raises(ValueError) as caught:
        hamming.Index.load(file, **way)
    message = str(caught.value)
    assert type(caught.value) is ValueError
    assert message.startswith(begin), message
    end = message.removeprefix(begin)
    assert end == f"{got}; {remedy}" or re.fullmatch(f"{got}; {remedy}", end), message
    assert "\n" not in message


def refused_at_all(file: Path, data: bytes, got: str, remedy: str = "") -> None:
    """However it is loaded."""
    put(file, data)
    for mmap in False, True:
        for verify in None, True, False:
            refused(file, got, remedy, mmap=mmap, verify=verify)


if __name__ == "__main__":
    for fixture in CONTENTS:
        file = FIXTURES / f"{fixture}.safetensors"
        if not file.exists():
            index_of(fixture).save(file)
