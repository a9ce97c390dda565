"""Compiles and runs the CUDA program beside this file; needs nvcc alone.

python -m bench.gpu_facts.program                  about a minute on a GPU, prints JSON
python -m bench.gpu_facts.program --compile-only   on a machine that has none
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import command

SOURCE = Path(__file__).with_name("main.cu")
# wgmma is of sm_90a alone, and "-arch=sm_90a" would compile for sm_90 as well.
OPTIONS = ("-O3", "-std=c++17", "-gencode=arch=compute_90a,code=sm_90a", "-Xptxas", "-v")


class CannotCompileError(Exception):
    """Why there is no program, in one sentence or the compiler's."""


def missing() -> str | None:
    """Why it cannot be compiled here, or None."""
    return None if shutil.which("nvcc") else "no nvcc"


def build(program: Path) -> list[str]:
    """Compiles to the file `program`; returns the kernels that spill registers, if any.

    Raises:
        CannotCompileError: nvcc is missing, or refuses the source.
    """
    if reason := missing():
        raise CannotCompileError(reason)
    words = ["nvcc", *OPTIONS, str(SOURCE), "-o", str(program)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotCompileError(done.stderr.strip())
    lines = done.stderr.splitlines()
    return [line.strip() for line in lines if "spill" in line and " 0 bytes spill st" not in line]


def run(program: Path, seconds: float = 180) -> tuple[dict[str, Any], str | None]:
    """What the program has measured, and why it ended early, or None."""
    try:
        done = subprocess.run([str(program)], capture_output=True, text=True, timeout=seconds)
        output = done.stdout
        reason = done.stderr.strip() or f"status {done.returncode}" if done.returncode else None
    except subprocess.TimeoutExpired as stopped:
        output = (stopped.stdout or b"").decode()
        reason = f"no answer for {seconds:.0f} s"
    return parse(output), reason


def parse(output: str) -> dict[str, Any]:
    """The sections that were finished, as one object."""
    found: dict[str, Any] = {}
    for line in output.splitlines():
        try:
            found |= json.loads(line)
        except ValueError:
            break  # the program ended within it
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = command.parser("bench/gpu_facts/program.py", __doc__)
    parser.add_argument("--compile-only", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "facts"
        try:
            spills = build(program)
        except CannotCompileError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"compiled, {len(spills)} kernels spill registers", file=sys.stderr)
        if options.compile_only:
            return 0
        found, reason = run(program)
    print(json.dumps(found, indent=1))
    if reason:
        print(reason, file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
