"""Headers that have the right checksum and say what cannot be are refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hamming.index_files import FIXTURES, header_of, refused_at_all, signed, tensors_of

ANY = (FIXTURES / "v1-any.safetensors").read_bytes()
RANGE = (FIXTURES / "v1-range.safetensors").read_bytes()
EMPTY = (FIXTURES / "v1-empty.safetensors").read_bytes()
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "an index.safetensors"


def of_metadata(name: str, value: str) -> Change:
    return lambda header: header["__metadata__"].update({name: value})


def of_tensor(tensor: str, name: str, value: Any) -> Change:
    return lambda header: header[tensor].update({name: value})


CONTRADICTIONS: dict[str, Change] = {
    **{f"version {v[:9]}": of_metadata("version", v) for v in ("0", "-1", "", "1.0", "9" * 5000)},
    **{f"version {v!r}": of_metadata("version", v) for v in ("٣", "01", " 1", "1\n")},
    **{f"n_bits {v[:9]}": of_metadata("n_bits", v) for v in ("0", "-64", "56", "65", "8" * 5000)},
    **{f"n_bits {v!r}": of_metadata("n_bits", v) for v in ("064", "6_4", " 64", "64.0", "٦٤")},
    **{f"count {v}": of_metadata("count", v) for v in ("2", "4", "-3", "three", str(2**62))},
    **{
        f"ids {v}": of_metadata("ids", v)
        for v in ("", "range", "range:0", "descending", "any:0", "ascending:", "Any")
    },
    **{f"next_id {v}": of_metadata("next_id", v) for v in ("-1", str(2**63), str(2**64), "")},
    "bit_order": of_metadata("bit_order", "little"),
    **{
        f"without {name}": lambda header, name=name: header["__metadata__"].pop(name)
        for name in ("version", "n_bits", "count", "ids", "next_id", "bit_order", "sha256.codes")
    },
    "one dimension": of_tensor("codes", "shape", [24]),
    "transposed": of_tensor("codes", "shape", [8, 3]),
    "ids by dtype": of_tensor("ids", "dtype", "F64"),
    "codes by dtype": of_tensor("codes", "dtype", "I8"),
    "unknown dtype": of_tensor("codes", "dtype", "U1"),
    "another name": lambda header: header.update(rows=header.pop("codes")),
    "an empty one more": lambda header: header.update(
        more={"dtype": "U8", "shape": [0], "data_offsets": [48, 48]}
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_headers_that_contradict_themselves(case: str, file: Path) -> None:
    header = header_of(ANY)
    CONTRADICTIONS[case](header)
    data = signed(header, tensors_of(ANY))
    refused_at_all(file, data, "a header that contradicts itself")


@pytest.mark.parametrize(
    "kind", ["range:1", "range:-1", "range:-9", f"range:{2**63 - 5}", "range:"]
)
def test_ranges_that_contradict_their_header(kind: str, file: Path) -> None:
    header = header_of(RANGE)
    header["__metadata__"]["ids"] = kind
    refused_at_all(file, signed(header, tensors_of(RANGE)), "a header that contradicts itself")


def test_the_bits_of_an_empty_index(file: Path) -> None:
    """No size stands against any number there."""
    header = header_of(EMPTY)
    for n_bits in 2**24 - 7, 2**70:
        header["__metadata__"]["n_bits"] = str(n_bits)
        header["codes"]["shape"] = [0, -(-n_bits // 8)]
        got = "a header that (contradicts itself|is no safetensors header)"
        refused_at_all(file, signed(header, b""), got)


NO_HEADERS: dict[str, Change] = {
    "negative offsets": of_tensor("codes", "data_offsets", [-24, 0]),
    "backwards": of_tensor("codes", "data_offsets", [48, 24]),
    "one offset": of_tensor("codes", "data_offsets", [24]),
    "no offsets": lambda header: header["codes"].pop("data_offsets"),
    "no shape": lambda header: header["codes"].pop("shape"),
    "no dtype": lambda header: header["codes"].pop("dtype"),
    "a list as dtype": of_tensor("codes", "dtype", ["U8"]),
    "offsets of text": of_tensor("codes", "data_offsets", ["24", "48"]),
    "offsets of floats": of_tensor("codes", "data_offsets", [24.0, 48.0]),
    "a shape of bools": of_tensor("ids", "shape", [3, True]),
    "a shape of text": of_tensor("ids", "shape", "3"),
    "no list as shape": of_tensor("ids", "shape", 3),
    "a shape too large": of_tensor("codes", "shape", [2**62, 2**62]),
    "a shape past int64": of_tensor("codes", "shape", [2**63, 0]),
    "more in an entry": of_tensor("codes", "more", 1),
    "deep nesting in an entry": of_tensor("codes", "more", json.loads("[" * 900 + "]" * 900)),
    "no entry": lambda header: header.update(codes=None),
    "a list as entry": lambda header: header.update(codes=["U8", [3, 8], [24, 48]]),
    "metadata of numbers": lambda header: header["__metadata__"].update(count=3),
    "nested metadata": lambda header: header["__metadata__"].update(count={"3": "3"}),
}


@pytest.mark.parametrize("case", NO_HEADERS)
def test_headers_that_are_none(case: str, file: Path) -> None:
    header = header_of(ANY)
    NO_HEADERS[case](header)
    data = signed(header, tensors_of(ANY))
    refused_at_all(file, data, "a header that is no safetensors header")


JSON = json.dumps(header_of(ANY)).encode()
NO_JSON = {
    "null": b"null",
    "list": b"[1, 2]",
    "text": b'"hamming.index"',
    "list as metadata": b'{"__metadata__": ["format"]}',
    "null as metadata": b'{"__metadata__": null}',
    "NaN": JSON.replace(b"[24, 48]", b"[NaN, 48]"),
    "deep": b"[" * 500_000,
    "deep objects": b'{"a":' * 150_000,
    "a long number": JSON.replace(b"[24, 48]", b"[24, " + b"4" * 10_000 + b"]"),
    "a key twice": JSON.replace(b'"count"', b'"n_bits": "64", "count"'),
    "a tensor twice": JSON[:-1]
    + b', "codes": '
    + json.dumps(header_of(ANY)["codes"]).encode()
    + b"}",
    "half": JSON[:-1],
    "two": JSON + JSON,
}


@pytest.mark.parametrize("case", NO_JSON)
def test_headers_of_other_json(case: str, file: Path) -> None:
    text = NO_JSON[case]
    data = len(text).to_bytes(8, "little") + text + tensors_of(ANY)
    refused_at_all(file, data, "a header that is no safetensors header")


@pytest.mark.parametrize(
    ("ids", "codes"), [([0, 24], [0, 24]), ([0, 24], [23, 47]), ([0, 24], [25, 49])], ids=str
)
def test_tensors_that_overlap_or_leave_holes(ids: list[int], codes: list[int], file: Path) -> None:
    header = header_of(ANY)
    header["ids"]["data_offsets"], header["codes"]["data_offsets"] = ids, codes
    data = signed(header, bytes(max(codes)))
    refused_at_all(file, data, "tensors that overlap or leave holes")
