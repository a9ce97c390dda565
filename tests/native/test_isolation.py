"""No instruction outside an ISA file needs more than the oldest CPU, and the ISA files share no
symbol that the linker could take from the wrong one.
"""

from __future__ import annotations

import bisect
import platform
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.native import disassembly, programs
from tests.native.disassembly import Level

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the instruction sets are those of x86"
)

ALLOWED = {
    "isa_scalar.cpp": Level.POPCNT,
    "isa_avx2.cpp": Level.AVX2,
    "isa_avx512.cpp": Level.AVX512,
}
BACKENDS = {
    "isa_scalar.cpp": "_ZN7hamming14kScalarBackendE",
    "isa_avx2.cpp": "_ZN7hamming12kAvx2BackendE",
    "isa_avx512.cpp": "_ZN7hamming14kAvx512BackendE",
}


@pytest.fixture(scope="module")
def objects(release: Path) -> dict[str, Path]:
    try:
        programs.require("objdump", "binutils")
        programs.require("readelf", "binutils")
    except programs.MissingToolError as error:
        pytest.skip(str(error))
    return programs.objects(release)


def offences(source: str, code: Iterable[disassembly.Instruction]) -> list[str]:
    allowed = ALLOWED.get(source, Level.BASELINE)
    return [
        f"{source}: expected {allowed.name} at most, got {i.level.name} in {i.function}: "
        f"{i.mnemonic} {i.operands}"
        for i in code
        if i.level > allowed
    ]


def test_no_object_needs_more_than_its_instruction_set(objects: dict[str, Path]) -> None:
    assert set(BACKENDS) <= set(objects)
    for source, path in objects.items():
        code = disassembly.instructions(path)
        assert code
        assert offences(source, code)[:5] == []


@pytest.mark.parametrize("source", BACKENDS)
def test_the_only_global_symbol_of_an_isa_is_its_backend(
    objects: dict[str, Path], source: str
) -> None:
    shared = [s.name for s in disassembly.symbols(objects[source]) if s.binding != "LOCAL"]
    assert shared == [BACKENDS[source]]


def sources_of(path: Path) -> dict[str, list[disassembly.Instruction]]:
    """The instructions of a linked file by source; those of global and unnamed functions by ''."""
    functions = sorted(
        (s.address, s.size, s.file) for s in disassembly.symbols(path) if s.kind == "FUNC"
    )
    starts = [address for address, _, _ in functions]
    found = defaultdict(list)
    for instruction in disassembly.instructions(path):
        at = bisect.bisect_right(starts, instruction.address) - 1
        address, size, file = functions[at] if at >= 0 else (0, 0, "")
        found[file if instruction.address < address + size else ""].append(instruction)
    return found


def test_the_linked_program_keeps_each_instruction_set_to_its_file(release: Path) -> None:
    by_source = sources_of(release / "count")
    assert {source for source in BACKENDS if by_source[source]} == set(BACKENDS)
    for source, code in by_source.items():
        assert offences(source, code)[:5] == []


def test_the_linked_extension_keeps_each_instruction_set_to_its_file() -> None:
    # The installed copy is stripped; its twin in the build folder has the names.
    linked = sorted(
        (programs.ROOT / "build").glob("cp*/_core*.so"), key=lambda p: p.stat().st_mtime
    )
    if not linked:
        pytest.skip("no extension in build/: install with pip install -e .")
    by_source = sources_of(linked[-1])
    assert {source for source in BACKENDS if by_source[source]} == set(BACKENDS)
    for source, code in by_source.items():
        assert offences(source, code)[:5] == []


def test_each_level_of_encoding_is_told_from_the_others() -> None:
    def level(code: str, mnemonic: str, operands: str) -> Level:
        return disassembly.Instruction(0, "", bytes.fromhex(code), mnemonic, operands).level

    assert level("0f af c1", "imul", "%ecx,%eax") is Level.BASELINE
    assert level("66 0f 6f c1", "movdqa", "%xmm1,%xmm0") is Level.BASELINE
    assert level("f3 48 0f b8 c1", "popcnt", "%rcx,%rax") is Level.POPCNT
    assert level("66 0f 38 00 c1", "pshufb", "%xmm1,%xmm0") is Level.SSE4
    assert level("c5 fd ef c1", "vpxor", "%ymm1,%ymm0,%ymm0") is Level.AVX2
    assert level("c5 f9 93 c1", "kmovb", "%k1,%eax") is Level.AVX512
    assert level("62 f2 fd 48 55 c1", "vpopcntq", "%zmm1,%zmm0") is Level.AVX512
    assert offences("topk.cpp", [disassembly.Instruction(0, "f", b"\xc5\xfd", "vpxor", "")])
