"""docs/index-file.md: its reader reads what is saved, and its numbers are those of the files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamming import layout
from tests.hamming.index_files import CONTENTS, FIXTURES, codes_of, header_of, sha256

PAGE = (Path(__file__).parent.parent / "docs/index-file.md").read_text()


@pytest.fixture(scope="module")
def read_index() -> Callable[[Path], tuple[int, np.ndarray, np.ndarray]]:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/index-file.md", "exec"), names)
    return names["read_index"]


@pytest.mark.parametrize("name", CONTENTS)
def test_the_reader_reads_every_file(name: str, read_index: Callable[..., Any]) -> None:
    contents = CONTENTS[name]
    n_bits, ids, codes = read_index(FIXTURES / f"{name}.safetensors")
    assert n_bits == contents.n_bits
    assert ids.tolist() == contents.ids
    np.testing.assert_array_equal(codes, codes_of(contents))


def test_the_reader_notices_damage(read_index: Callable[..., Any], tmp_path: Path) -> None:
    data = bytearray((FIXTURES / "v1-any.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "index").write_bytes(data)
    with pytest.raises(ValueError, match="damaged codes"):
        read_index(tmp_path / "index")
    data = (FIXTURES / "v1-any.safetensors").read_bytes()
    (tmp_path / "index").write_bytes(data.replace(b'"any"', b'"Any"'))
    with pytest.raises(ValueError, match="a damaged header"):
        read_index(tmp_path / "index")


def test_the_example_of_a_checksum() -> None:
    (text,) = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    (digest,) = re.findall(r"gives `([0-9a-f]{64})`", PAGE)
    header = header_of((FIXTURES / "v1-1-bit.safetensors").read_bytes())
    assert digest == sha256(text.encode()) == header["__metadata__"]["sha256.header"]


def test_its_table_has_the_keys_of_a_header() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    keys = {key for row in rows for key in re.findall(r"`(.*?)`", row)}
    assert keys == set(header_of((FIXTURES / "v1-any.safetensors").read_bytes())["__metadata__"])
    assert f"1 to {layout.MAX_BITS:,}" in PAGE
