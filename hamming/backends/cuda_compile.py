"""Kernels from csrc/cuda as cubins: compiled by NVRTC when first needed, kept in CuPy's cache.

A cubin is loaded from a file, because CuPy compiles for sm_90 where wgmma needs sm_90a, and has no
documented way to say so.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path

from .cuda_plan import Kernel

FOLDER = "cuda"  # of the package, where the build installs csrc/cuda
OPTIONS = ("--std=c++17",)
OLDEST = (7, 5)


@functools.cache
def source(file: str) -> str:
    """A file of csrc/cuda with its own headers in place of their includes."""
    text = (resources.files("hamming") / FOLDER / file).read_text()
    seen: set[str] = set()

    def expand(text: str) -> str:
        return re.sub(r'^#include "(\w+\.cuh)"$', lambda m: header(m[1]), text, flags=re.M)

    def header(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        body = (resources.files("hamming") / FOLDER / name).read_text()
        return expand(body.replace("#pragma once\n", ""))

    return expand(text)


def architecture(capability: tuple[int, int]) -> str:
    """What NVRTC calls a device; Hopper's own instructions need the "a".

    Raises:
        RuntimeError: the device is too old for the kernels.
    """
    major, minor = capability
    if capability < OLDEST:
        raise RuntimeError(
            f"device: expected compute capability {OLDEST[0]}.{OLDEST[1]} or later, got "
            f"{major}.{minor}; search on the CPU"
        )
    return f"sm_{major}{minor}{'a' if capability == (9, 0) else ''}"


def compile_cubin(kernel: Kernel, arch: str) -> bytes:
    """Machine code of one kernel's file for one architecture; see `compiled`."""
    return compiled(kernel, arch)[0]


def compiled(kernel: Kernel, arch: str) -> tuple[bytes, str]:
    """Machine code of a kernel's file for an architecture, and what NVRTC said; needs no GPU.

    Raises:
        RuntimeError: NVRTC is missing, does not know the architecture, or refuses the source.
    """
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except Exception as error:  # CuPy looks for the library when it is first called
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuntimeError(
            f"NVRTC: expected the library that compiles kernels, got none ({words}); "
            "install hamming-kd[cuda12] or hamming-kd[cuda13], or the CUDA toolkit"
        ) from None
    number = int(re.sub(r"\D", "", arch))
    if number not in nvrtc.getSupportedArchs():
        raise RuntimeError(
            f"device: expected an architecture that NVRTC {_version()} knows, got {arch}; "
            "install the CuPy of a later CUDA release"
        )
    defines = [f"-D{name}={value}" for name, value in kernel.defines]
    options = (f"--gpu-architecture={arch}", *OPTIONS, *defines)
    program = nvrtc.createProgram(source(kernel.file), kernel.file, (), ())
    try:
        nvrtc.compileProgram(program, options)
        cubin: bytes = nvrtc.getCUBIN(program)
        log: str = nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise RuntimeError(
            f"{kernel.file}: expected NVRTC {_version()} to compile it for {arch}, got {error}; "
            f"report this with its log:\n{log}"
        ) from None
    finally:
        nvrtc.destroyProgram(program)
    return cubin + b"\0", log  # CuPy takes the last byte for the end of a string


def cubin_path(kernel: Kernel, arch: str) -> Path:
    """The compiled file of a kernel, compiled now if no process has done so before."""
    import cupy  # its version stands for its NVRTC's, which would have to be loaded to be asked

    parts = (source(kernel.file), *map(str, kernel.defines), arch, *OPTIONS, cupy.__version__)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache"
    path = Path(folder) / f"hamming-{Path(kernel.file).stem}-{digest}.cubin"
    if path.is_file():
        return path
    cubin = compile_cubin(kernel, arch)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, cubin)
    except OSError:  # no place for a cache: for this process alone
        path = _own_folder() / path.name
        _write(path, cubin)
    return path


@functools.cache
def _own_folder() -> Path:
    """Goes when the process ends that made it; a forked child leaves it."""
    folder, owner = Path(tempfile.mkdtemp(prefix="hamming-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _version() -> str:
    from cupy.cuda import nvrtc

    return ".".join(map(str, nvrtc.getVersion()))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, whoever else writes the same."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # mkstemp's is for one user, caches may be shared
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
