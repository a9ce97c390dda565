"""The hot loops take the instructions that are on record, no more and no fewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native import instructions, programs

RECORD = instructions.Counts.read(instructions.RECORD)


@pytest.fixture
def same_compiler(release: Path) -> Path:
    compiler = programs.compiler(release)
    if compiler != RECORD.compiler:
        pytest.skip(f"the record is of {RECORD.compiler}, this build of {compiler}")
    return release


def test_scans(same_compiler: Path) -> None:
    try:
        got = instructions.count_scans(same_compiler)
    except programs.MissingToolError as error:
        pytest.skip(str(error))
    found = instructions.scan_differences(RECORD.scan, got)
    assert not found, "\n".join(found)


def test_avx512_loops(same_compiler: Path) -> None:
    try:
        got = instructions.count_loops(programs.objects(same_compiler)["isa_avx512.cpp"])
    except programs.MissingToolError as error:
        pytest.skip(str(error))
    found = instructions.loop_differences(RECORD.loops, got)
    assert not found, "\n".join(found)


def test_a_changed_scan_says_what_to_do() -> None:
    found = instructions.scan_differences(
        {"avx2, 64 bits, batch": 5.0}, {"avx2, 64 bits, batch": 6.0}
    )
    assert found == [
        "avx2, 64 bits, batch: expected 5.0 instructions a comparison, got 6.0; it costs more: "
        "if this is meant, accept it with make instructions UPDATE=--update"
    ]
    assert instructions.scan_differences({"a": 5.0}, {"a": 5.1}) == []
    assert "costs less" in instructions.scan_differences({"a": 5.0}, {"a": 4.0})[0]
    assert "got none" in instructions.scan_differences({"a": 5.0}, {})[0]
    assert "expected none" in instructions.scan_differences({}, {"a": 5.0})[0]


def test_a_changed_loop_says_what_to_do() -> None:
    assert instructions.loop_differences({"sweep": [[40, 8]]}, {"sweep": [[41, 8]]}) == []
    for got in ({"sweep": [[48, 8]]}, {"sweep": [[40, 7]]}, {"sweep": [[40, 8], [9, 1]]}, {}):
        (found,) = instructions.loop_differences({"sweep": [[40, 8]]}, got)
        assert "avx512 sweep: expected loops of 40/8, got" in found
        assert "UPDATE" in found
