"""The program that measures a card's ceilings: that it compiles, and to what. Nothing runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from bench.gpu_facts import program

INSTRUCTIONS = {
    "Popc": "POPC",
    "Lop3": "LOP3",
    "Iadd3AndLop3": "IADD3",
    "Imad": "IMAD",
    "Vimnmx3": "VIMNMX3",
    "Viaddmnmx": "VIADDMNMX",
}


def cuobjdump() -> Path | None:
    beside = Path(pytest.importorskip("nvidia").__path__[0])
    found = next(beside.glob("*/bin/cuobjdump"), None)
    return found or (Path(path) if (path := shutil.which("cuobjdump")) else None)


def opcodes(binary: Path) -> dict[str, Counter[str]]:
    tool = cuobjdump()
    if tool is None:
        pytest.skip("no cuobjdump")
    text = subprocess.run(
        [tool, "--dump-sass", binary],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tool.parent}:/usr/bin:/bin"},
    ).stdout
    pattern = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)", re.M)
    parts = text.split("Function : ")[1:]
    return {part.split()[0]: Counter(pattern.findall(part)) for part in parts}


def test_it_compiles_to_the_instructions_it_names(tmp_path: Path) -> None:
    if reason := program.missing():
        pytest.skip(reason)
    assert program.build(tmp_path / "facts") == []
    found = opcodes(tmp_path / "facts")
    for kernel, opcode in INSTRUCTIONS.items():
        mangled = f"_Z3aluI{len(kernel)}{kernel}"
        counts = next(c for name, c in found.items() if name.startswith(mangled))
        assert counts[opcode] >= 64, kernel
        others = sum(counts.values()) - counts[opcode] - counts["NOP"]
        assert others < 140, (kernel, counts)
    assert all(c["BMMA"] >= 8 for name, c in found.items() if name.startswith("_Z4bmma"))
    assert all(c["BGMMA"] >= 8 for name, c in found.items() if name.startswith("_Z5bgmma"))
    assert sum(name.startswith("_Z5bgmma") for name in found) == 6


def test_what_was_finished_is_kept() -> None:
    assert program.parse('{"a": {"b": 1}}\n{"c": {"d": 2}}\n{"e": {"f"') == {
        "a": {"b": 1},
        "c": {"d": 2},
    }
    found, reason = program.run(Path("/bin/false"))
    assert (found, reason) == ({}, "status 1")


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(program.CannotCompileError, match="no nvcc"):
        program.build(tmp_path / "facts")
