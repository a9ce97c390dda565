"""Kernels of csrc/cuda on the CPU: compiled unmodified by g++, and run thread by thread.

The C++ beside this file is the GPU: `cuda_keywords.hpp` and `emulated_ptx.hpp` are what kernels see
of it, the .cpp files run them.

Not modelled: speed; races between blocks, which run one after the other; weak memory order, as a
thread runs undisturbed from one meeting or atomic to the next, so one that spins on memory spins
forever; the async proxy's view of plain stores, which no fence_async_proxy needs here (of copies
it does).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import mmap
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.native import programs

HERE = Path(__file__).parent
KERNELS = programs.ROOT / "csrc" / "cuda"
BUILD = programs.ROOT / "build" / "emulation"

FLAGS = (
    *("-std=c++20", "-g0", "-fPIC", "-fvisibility=hidden"),
    "-fno-strict-aliasing",  # kernels read bytes as words; so does nvcc let them
    "-ffp-contract=off",
    *(["-mpopcnt"] if platform.machine() == "x86_64" else []),
)
KERNEL_FLAGS = (
    *("-O1", "-w", "-DHAMMING_EMULATED"),
    # Objects of other defines have variables of the same names: they must not become one.
    "-fno-gnu-unique",
    # Registers that an asynchronous multiply still reads may be out of the source's scope.
    "-fstack-reuse=none",
)
SANITIZERS = {
    False: "-fsanitize=alignment",  # a vector load that CUDA does not forgive
    True: "-fsanitize=undefined",
}

KERNEL = re.compile(
    r"__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\("
)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)


class Emulator:
    """Launches kernels as a GPU would, one block after the other.

    Args:
        build_dir: where compiled kernels are kept.
        seed: 0 runs warps and blocks in turn; any other shuffles threads and blocks, and varies
            when asynchronous work happens, differently in every launch.
        source_dir: the folder of the kernel files; they may include csrc/cuda's headers.
        sanitize: undefined behaviour of any kind fails the launch, not misaligned access alone.
        options: further compiler flags.
    """

    def __init__(
        self,
        build_dir: Path | None = None,
        *,
        seed: int = 0,
        source_dir: Path = KERNELS,
        sanitize: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self._build_dir = build_dir or BUILD
        self._seed = seed
        self._source_dir = source_dir
        self._sanitize = sanitize
        self._options = tuple(options)
        self._n_launches = 0

    def launch(
        self,
        file: str,
        kernel: str,
        defines: Mapping[str, int],
        grid: tuple[int, int, int],
        block: int,
        shared: int,
        args: Sequence[Any],
    ) -> None:
        """Runs a kernel to its end.

        Args:
            file: its file in the source folder.
            kernel: its name; it is declared extern "C".
            defines: macros of the file.
            grid: blocks in x, y and z.
            block: threads of a block.
            shared: bytes of dynamic shared memory.
            args: an array for a pointer, None for a null pointer, and NumPy scalars or records of
                the parameter's size for values.

        Raises:
            TypeError: an argument is not what the kernel's parameter takes.
            RuntimeError: the file does not compile, or the kernel does what no kernel may.
        """
        library = self._library(file, defines)
        try:
            run = library[f"emulated_launch_{kernel}"]
        except AttributeError:
            raise RuntimeError(f"{file}: no kernel named {kernel}") from None
        values = [
            _value(kernel, index, parameter, argument)
            for index, (parameter, argument) in enumerate(
                _matched(kernel, _parameters(library, kernel), args)
            )
        ]
        addresses = (ctypes.c_void_p * max(1, len(values)))(*map(ctypes.addressof, values))
        run.restype = ctypes.c_char_p
        message = run(
            (ctypes.c_uint * 3)(*grid),
            ctypes.c_uint(block),
            ctypes.c_ulonglong(shared),
            addresses,
            ctypes.c_ulonglong(self._next_seed()),
        )
        if message is not None:
            raise RuntimeError(f"{kernel}: {message.decode(errors='replace')}")

    def _next_seed(self) -> int:
        self._n_launches += 1
        if self._seed == 0:
            return 0
        digest = hashlib.sha256(f"{self._seed} {self._n_launches}".encode()).digest()
        return int.from_bytes(digest[:8], "little") | 1

    def _library(self, file: str, defines: Mapping[str, int]) -> ctypes.PyDLL:
        words = (f"-D{name}={int(value)}" for name, value in sorted(defines.items()))
        flags = (*words, SANITIZERS[self._sanitize], "-fno-sanitize-recover=all", *self._options)
        return _load(_compiled(self._build_dir, self._source_dir / file, flags, self._options))


def guarded_empty(count: int, dtype: np.dtype | type[np.generic]) -> np.ndarray:
    """Memory of poison that ends, to the next 16 bytes, where none may be used.

    A kernel that reads or writes past its end fails.
    """
    dtype = np.dtype(dtype)
    page = mmap.PAGESIZE
    n_bytes = -(-count * dtype.itemsize // 16) * 16
    size = max(1, -(-n_bytes // page)) * page
    memory = np.frombuffer(mmap.mmap(-1, size + page), np.uint8)
    if ctypes.CDLL(None).mprotect(ctypes.c_void_p(memory.ctypes.data + size), page, 0) != 0:
        raise MemoryError("mprotect")
    memory[:size] = 0xA5
    return memory[size - n_bytes :][: count * dtype.itemsize].view(dtype)


class _Parameter(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("is_pointer", ctypes.c_uint)]


def _parameters(library: ctypes.PyDLL, kernel: str) -> list[_Parameter]:
    first = ctypes.POINTER(_Parameter)()
    count = library[f"emulated_describe_{kernel}"](ctypes.byref(first))
    return first[:count]


def _matched(
    kernel: str, parameters: list[_Parameter], args: Sequence[Any]
) -> list[tuple[_Parameter, Any]]:
    if len(parameters) != len(args):
        raise TypeError(f"{kernel}: expected {len(parameters)} arguments, got {len(args)}")
    return list(zip(parameters, args, strict=True))


def _value(kernel: str, index: int, parameter: _Parameter, argument: Any) -> Any:
    """The parameter's bytes, in memory that ctypes owns."""
    name = f"{kernel}: parameter {index}"
    if argument is None or isinstance(argument, np.ndarray):
        if not parameter.is_pointer:
            raise TypeError(f"{name}: expected a value of {parameter.bytes} bytes, got an array")
        if argument is not None and not argument.flags.c_contiguous:
            raise TypeError(f"{name}: expected a C-contiguous array")
        return ctypes.c_void_p(None if argument is None else argument.ctypes.data)
    if not isinstance(argument, np.generic):
        raise TypeError(
            f"{name}: expected an array, a NumPy scalar or None, got {type(argument).__name__}"
        )
    if parameter.is_pointer:
        raise TypeError(f"{name}: expected an array or None, got {argument.dtype}")
    if argument.itemsize != parameter.bytes:
        raise TypeError(
            f"{name}: expected {parameter.bytes} bytes, got {argument.dtype} of {argument.itemsize}"
        )
    return ctypes.create_string_buffer(argument.tobytes(), argument.itemsize)


@functools.cache
def _load(path: Path) -> ctypes.PyDLL:
    # PyDLL keeps the interpreter's lock: there is one emulated GPU, and it runs one launch.
    return ctypes.PyDLL(str(path))


@functools.cache
def _compiler() -> tuple[str, str]:
    path = programs.require("g++", "GCC 12 or later")
    return path, programs.run(path, "--version")


@functools.cache
def _emulation_text() -> str:
    return "".join(path.read_text() for path in sorted(HERE.glob("*.[ch]pp")))


def _key(*parts: object) -> str:
    words = (*parts, _emulation_text(), _compiler(), FLAGS, KERNEL_FLAGS)
    return hashlib.sha256(repr(words).encode()).hexdigest()[:20]


def _source_text(file: Path) -> str:
    """The file and its own headers, which are beside it or in csrc/cuda."""
    paths, texts = [file], []
    for path in paths:
        text = path.read_text()
        texts.append(text)
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
            found = [p for p in (path.parent / name, KERNELS / name) if p.exists()]
            paths += [p for p in found[:1] if p not in paths]
    return "".join(texts)


def _build(target: Path, *words: str | Path) -> Path:
    """Compiles into `target` by way of another name: whoever finds it finds all of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    os.close(descriptor)
    command = [_compiler()[0], *FLAGS, "-shared", *map(str, words), "-o", temporary]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        Path(temporary).unlink()
        raise RuntimeError(f"{target.stem}: does not compile\n{done.stderr}")
    return Path(temporary).replace(target)


@functools.cache
def _runtime(build_dir: Path, options: tuple[str, ...]) -> Path:
    target = build_dir / f"runtime-{_key(options)}.so"
    if target.exists():
        return target
    name = f"-Wl,-soname,{target.name}"
    return _build(target, "-O2", "-Wall", "-Wextra", *options, *sorted(HERE.glob("*.cpp")), name)


@functools.cache
def _compiled(
    build_dir: Path, file: Path, flags: tuple[str, ...], options: tuple[str, ...]
) -> Path:
    text = _source_text(file)
    target = build_dir / f"{file.stem}-{_key(text, flags)}.so"
    if target.exists():
        return target
    runtime = _runtime(build_dir, options)
    names = dict.fromkeys(KERNEL.findall(COMMENT.sub("", file.read_text())))
    unit = [f'#include "{file}"', '#include "launch.hpp"']
    unit += [f"EMULATED_KERNEL({name})" for name in names]
    with tempfile.NamedTemporaryFile("w", suffix=".cpp", dir=build_dir) as page:
        page.write("\n".join(unit) + "\n")
        page.flush()
        headers = ["-include", "cuda_keywords.hpp", f"-I{HERE}", f"-I{KERNELS}"]
        # The runtime handles what the sanitizers find: their own library stays out.
        libraries = ["-nodefaultlibs", str(runtime), "-lm", "-lc", "-lgcc"]
        return _build(
            target, *KERNEL_FLAGS, *flags, *headers, page.name, "-Wl,-rpath,$ORIGIN", *libraries
        )
