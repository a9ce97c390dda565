"""What objdump and its kin say of an object: instructions, loops, instruction sets, symbols."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path

from tests.native.programs import require, run


class Level(IntEnum):
    """The CPU an instruction needs, in the order in which the ISA files ask for more."""

    BASELINE = 0  # x86-64 as of 2003, which every file but the ISA files is compiled for
    POPCNT = 1
    SSE4 = 2  # SSSE3 and SSE4
    AVX2 = 3  # and whatever else is VEX-encoded: AVX, FMA, BMI
    AVX512 = 4


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly."""

    address: int
    function: str
    code: bytes
    mnemonic: str
    operands: str

    @cached_property
    def level(self) -> Level:
        """Read from the encoding, so that no list of mnemonics must be kept complete."""
        code = self.code.lstrip(b"\x26\x2e\x36\x3e\x64\x65\x67")  # segment and address size
        if code[:1] == b"\x62":  # the EVEX prefix
            return Level.AVX512
        if code[:1] in (b"\xc4", b"\xc5"):  # the VEX prefixes; mask registers are AVX-512's
            return Level.AVX512 if re.search(r"%k[0-7]", self.operands) else Level.AVX2
        if self.mnemonic.startswith("popcnt"):
            return Level.POPCNT
        code = code.lstrip(b"\x66\xf2\xf3")
        if code[:1] and 0x40 <= code[0] <= 0x4F:  # REX
            code = code[1:]
        return Level.SSE4 if code[:2] in (b"\x0f\x38", b"\x0f\x3a") else Level.BASELINE


LINE = re.compile(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*(?:\t(\S+)\s*(.*))?$")


def instructions(path: Path) -> list[Instruction]:
    """Every instruction of the code sections, in order."""
    listing = run(require("objdump", "binutils"), "-d", "-w", path)
    found, function = [], ""
    for line in listing.splitlines():
        if heading := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            function = heading[1]
        elif (parts := LINE.match(line)) and parts[3]:
            code = bytes.fromhex(parts[2])
            words = f"{parts[3]} {parts[4]}".split(None, 1)
            while words[0] in ("rep", "repz", "repnz", "lock", "bnd", "data16", "notrack", "cs"):
                words = words[1].split(None, 1) if len(words) > 1 else ["prefix"]
            rest = words[1] if len(words) > 1 else ""
            found.append(Instruction(int(parts[1], 16), function, code, words[0], rest))
    return found


@dataclass(frozen=True)
class Loop:
    """The instructions from a backward branch's target up to the branch."""

    body: tuple[Instruction, ...]

    @property
    def popcounts(self) -> int:
        return sum(i.mnemonic.startswith("vpopcnt") for i in self.body)


def innermost_popcount_loops(code: list[Instruction]) -> list[Loop]:
    """The loops that hold a vector popcount and no smaller loop that does."""
    place = {(i.function, i.address): n for n, i in enumerate(code)}
    ranges = set()
    for end, instruction in enumerate(code):
        if not instruction.mnemonic.startswith("j"):
            continue
        target = re.match(r"([0-9a-f]+) <", instruction.operands)
        begin = place.get((instruction.function, int(target[1], 16))) if target else None
        if begin is not None and begin <= end:
            ranges.add((begin, end))
    counting = [n for n, i in enumerate(code) if i.mnemonic.startswith("vpopcnt")]
    ranges = {r for r in ranges if any(r[0] <= n <= r[1] for n in counting)}
    inner = [
        (begin, end)
        for begin, end in sorted(ranges)
        if not any(r != (begin, end) and begin <= r[0] and r[1] <= end for r in ranges)
    ]
    return [Loop(tuple(code[begin : end + 1])) for begin, end in inner]


def inlined_into(path: Path, addresses: list[int]) -> list[list[str]]:
    """The functions an instruction was inlined into, innermost first, with template arguments."""
    # -a prints the address ahead of each answer.
    text = run(require("addr2line", "binutils"), "-aifCe", path, *map(hex, addresses))
    chains: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("0x"):
            chains.append([])
        elif not re.search(r":(\d+|\?)( \(discriminator \d+\))?$", line):
            chains[-1].append(re.sub(r"hamming::|\(anonymous namespace\)::", "", line))
    return chains


@dataclass(frozen=True)
class Symbol:
    """A line of readelf's symbol table; `file` is the source a local symbol comes from."""

    name: str
    address: int
    size: int
    kind: str
    binding: str
    section: str
    file: str


def symbols(path: Path) -> list[Symbol]:
    """Every symbol that the file defines."""
    found, file = [], ""
    for line in run(require("readelf", "binutils"), "-sW", path).splitlines():
        parts = line.split()
        if len(parts) < 7 or not re.fullmatch(r"\d+:", parts[0]):
            continue
        address, size, kind, binding, section = (parts[n] for n in (1, 2, 3, 4, 6))
        name = parts[7] if len(parts) > 7 else ""
        if kind == "FILE":
            file = name
        elif section != "UND":
            origin = file if binding == "LOCAL" else ""
            value = int(address, 16), int(size, 0)
            found.append(Symbol(name, *value, kind, binding, section, origin))
    return found
