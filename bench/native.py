"""ceilings.c, compiled for one instruction set by the C compiler of the machine itself."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("ceilings.c")

# What the compiler may use, as the backend of that name may: without these an AVX2 or scalar loop
# would be compiled to AVX-512.
_X86 = {
    "avx512": [],
    "avx2": ["-mno-avx512f"],
    "scalar": ["-mno-avx512f", "-mno-avx", "-mpopcnt", "-fno-tree-vectorize", "-DPLAIN"],
}
_OTHER = {"neon": [], "scalar": ["-fno-tree-vectorize", "-DPLAIN"]}


@functools.cache
def library(backend: str) -> ctypes.CDLL | str:
    """The loops with the instructions of a backend of `hamming`, or why there are none."""
    flags = (_X86 if platform.machine() in ("x86_64", "AMD64") else _OTHER).get(backend)
    if flags is None:
        return f"not measured: no loop like the backend {backend}"
    compiler = next(
        filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), ""
    )
    if not compiler:
        return "not measured: no C compiler"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ceilings.so"
        command = [compiler, "-std=gnu11", "-O3", "-march=native", *flags, "-shared", "-fPIC"]
        try:
            done = subprocess.run(
                [*command, "-o", str(out), str(SOURCE)], capture_output=True, text=True, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"not measured: {compiler}: {error}"
        if done.returncode:
            return f"not measured: {compiler}: {(done.stderr.splitlines() or ['failed'])[0]}"
        loaded = ctypes.CDLL(str(out))  # the mapping outlives the file
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    loaded.instructions.restype = ctypes.c_char_p
    loaded.vector_bytes.restype = integer
    loaded.scan.restype = integer
    loaded.scan.argtypes = [pointer, integer, ctypes.c_int, pointer, integer, ctypes.c_uint64]
    loaded.read_all.restype = ctypes.c_uint64
    loaded.read_all.argtypes = [pointer, integer, integer]
    return loaded
