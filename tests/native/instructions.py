"""Counts the instructions of the hot loops and compares them with the figures on record.

Wall time on a shared machine moves by more than most regressions; instruction counts do not move
at all. `python -m tests.native.instructions` prints a table and fails where a loop grew or shrank;
`--update` takes the counts of this build as the record.

scan: instructions per code comparison of whole searches of the scalar and AVX2 backends, counted by
valgrind's callgrind: what a search of the larger of two databases adds, so that set-up cancels.
loops: valgrind knows no VPOPCNTDQ, so the loops of the AVX-512 backend are read from its object
file: instructions and vector popcounts of each innermost loop that counts bits.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from hamming.backends.cpu import TUNING
from tests.native import disassembly, programs

RECORD = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.03  # minor versions of a compiler and of libc
ACCEPT = "if this is meant, accept it with make instructions UPDATE=--update"


@dataclass(frozen=True)
class Counts:
    """What one compiler makes of the kernels."""

    compiler: str
    scan: dict[str, float]  # "avx2, 64 bits, batch" -> instructions per comparison
    loops: dict[str, list[list[int]]]  # where -> [instructions, vector popcounts] of its loops

    @staticmethod
    def read(path: Path) -> Counts:
        return Counts(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        rows = [
            f'  "{name}": {{\n'
            + ",\n".join(
                f"    {json.dumps(key)}: {json.dumps(table[key])}" for key in sorted(table)
            )
            + "\n  }"
            for name, table in (("scan", self.scan), ("loops", self.loops))
        ]
        path.write_text(
            f'{{\n  "compiler": {json.dumps(self.compiler)},\n' + ",\n".join(rows) + "\n}\n"
        )


def count_scans(folder: Path) -> dict[str, float]:
    """Runs the searches of count.cpp under callgrind."""
    valgrind = programs.require("valgrind", "valgrind")
    dumps = folder / "callgrind"
    shutil.rmtree(dumps, ignore_errors=True)
    dumps.mkdir()
    sizes = (TUNING.tile_bytes, TUNING.block_bytes, TUNING.rows_queries)
    tool = ("--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={dumps}/out")
    programs.run(valgrind, "-q", *tool, folder / "count", *map(str, sizes))
    totals: dict[tuple[str, int], dict[int, int]] = {}
    for path in dumps.glob("out.*"):
        text = path.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.M)
        total = re.search(r"^totals: (\d+)$", text, re.M)
        if name is None or total is None:
            continue  # the dump at exit
        function, backend, n_bytes, n_codes, n_queries = name[1].split()
        key = (f"{backend}, {8 * int(n_bytes)} bits, {function}", int(n_queries))
        totals.setdefault(key, {})[int(n_codes)] = int(total[1])
    counts = {}
    for (name, n_queries), by_size in totals.items():
        small, large = sorted(by_size)
        added = (by_size[large] - by_size[small]) / (n_queries * (large - small))
        counts[name] = round(added, 3)
    return counts


def where(chain: list[str]) -> str:
    """The innermost function of an inlining chain that is a template over a Lanes or an Isa."""
    named = [function for function in chain if "Avx512" in function.split("(")[0]]
    function = named[0] if named else chain[-1]
    # The parameters say nothing the template arguments do not.
    return re.sub(r"\(.*", "", re.sub(r"^void ", "", function))


def count_loops(path: Path) -> dict[str, list[list[int]]]:
    """The innermost loops of an object file that count bits, by the function they belong to."""
    loops = disassembly.innermost_popcount_loops(disassembly.instructions(path))
    firsts = [
        next(i.address for i in loop.body if i.mnemonic.startswith("vpopcnt")) for loop in loops
    ]
    found: dict[str, list[list[int]]] = {}
    for loop, chain in zip(loops, disassembly.inlined_into(path, firsts), strict=True):
        found.setdefault(where(chain), []).append([len(loop.body), loop.popcounts])
    return {name: sorted(pairs) for name, pairs in found.items()}


def measure() -> Counts:
    """Builds the kernels with the extension's flags and counts."""
    folder = programs.release()
    loops = count_loops(programs.objects(folder)["isa_avx512.cpp"])
    return Counts(programs.compiler(folder), count_scans(folder), loops)


def changed(got: float, expected: float) -> bool:
    return abs(got - expected) > TOLERANCE * expected


def scan_differences(expected: dict[str, float], got: dict[str, float]) -> list[str]:
    """One sentence for each search whose count has changed."""
    found = []
    for name in sorted(expected.keys() | got.keys()):
        if name not in got or name not in expected:
            have = got.get(name, "none"), expected.get(name, "none")
            found.append(
                f"{name}: expected {have[1]} instructions a comparison, got {have[0]}; {ACCEPT}"
            )
        elif changed(got[name], expected[name]):
            verb = "costs more" if got[name] > expected[name] else "costs less than on record"
            found.append(
                f"{name}: expected {expected[name]} instructions a comparison, got {got[name]}; "
                f"it {verb}: {ACCEPT}"
            )
    return found


def loop_differences(
    expected: dict[str, list[list[int]]], got: dict[str, list[list[int]]]
) -> list[str]:
    """One sentence for each function whose loops have changed."""
    found = []
    for name in sorted(expected.keys() | got.keys()):
        before, after = expected.get(name, []), got.get(name, [])
        same = len(before) == len(after) and not any(
            a[1] != b[1] or changed(a[0], b[0]) for a, b in zip(after, before, strict=True)
        )
        if not same:
            found.append(
                f"avx512 {name}: expected loops of {spelled(before)}, got {spelled(after)} "
                f"(instructions/vector popcounts); {ACCEPT}"
            )
    return found


def spelled(loops: list[list[int]]) -> str:
    return ", ".join(f"{size}/{popcounts}" for size, popcounts in loops) or "none"


def table(counts: Counts) -> str:
    lines = [f"{counts.compiler}: instructions a code comparison"]
    lines += [f"  {name:36}{value:9.3f}" for name, value in sorted(counts.scan.items())]
    lines += ["AVX-512 loops: instructions/vector popcounts"]
    lines += [f"  {name:64} {spelled(loops)}" for name, loops in sorted(counts.loops.items())]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="take these counts as the record")
    arguments = parser.parse_args()
    try:
        got = measure()
    except programs.MissingToolError as error:
        print(f"skipped: {error}")
        return 0
    print(table(got))
    if arguments.update:
        got.write(RECORD)
        print(f"recorded in {RECORD.relative_to(programs.ROOT)}")
        return 0
    expected = Counts.read(RECORD)
    if got.compiler != expected.compiler:
        print(f"skipped: the record is of {expected.compiler}, this build of {got.compiler}")
        return 0
    found = scan_differences(expected.scan, got.scan)
    found += loop_differences(expected.loops, got.loops)
    print("\n".join(found) or "no loop has changed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
