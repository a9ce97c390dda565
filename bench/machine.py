"""The facts a figure needs beside it: machine, build, versions, commit, load."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hamming
import hamming._core

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = (
    "hamming-kd",
    "numpy",
    "faiss-cpu",
    "usearch",
    "torch",
    "open_clip_torch",
    "timm",
    "transformers",
)


def facts() -> dict:
    """Everything that does not change during a run."""
    return {
        "cpu": cpu_model(),
        "logical_cpus": os.cpu_count(),
        "usable_cpus": usable_cpus(),
        "caches": caches(),
        "memory_bytes": _meminfo("MemTotal"),
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "backends": list(hamming.backends()),
        "extension": extension(),
        "build": build(),
        "git": git(),
        "environment": {
            name: os.environ[name]
            for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "HAMMING_BACKEND", "HAMMING_THREADS")
            if name in os.environ
        },
    }


def load_average() -> list[float]:
    """Over the last 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()]


class Others:
    """How busy other processes keep the machine while one measures; a load average lags behind."""

    def __init__(self) -> None:
        self._begin = time.perf_counter(), _busy_seconds() - time.process_time()

    def cpus(self) -> float:
        """The CPUs that others have used, on average; stolen ones count."""
        wall, busy = time.perf_counter(), _busy_seconds() - time.process_time()
        return max(0.0, (busy - self._begin[1]) / max(wall - self._begin[0], 1e-9))


def _busy_seconds() -> float:
    """Of all CPUs together, since the start of the machine; 0 where the system does not say."""
    fields = re.match(r"cpu +(.*)", _read(Path("/proc/stat")))
    if fields is None:
        return 0.0
    user, nice, system, _idle, _iowait, *rest = (int(n) for n in fields[1].split()[:8])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The model's name; with family, model and stepping, since virtual machines hide names."""
    text = _read(Path("/proc/cpuinfo"))
    fields = dict(re.findall(r"^(model name|cpu family|model|stepping)\s*: (.*)$", text, re.M))
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [fields.get(key) for key in ("cpu family", "model", "stepping")]
    return name + (" (family {}, model {}, stepping {})".format(*numbers) if all(numbers) else "")


def caches() -> dict[str, int]:
    """Bytes of each cache that the first CPU sees: {"L1d": ..., "L2": ..., "L3": ...}."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(index / name).strip() for name in ("level", "type", "size"))
        if match := re.fullmatch(r"(\d+)([KM])", size):
            scale = {"K": 1024, "M": 1024**2}[match[2]]
            found[f"L{level}" + {"Data": "d", "Instruction": "i"}.get(kind, "")] = (
                int(match[1]) * scale
            )
    return found


def available_memory() -> int | None:
    return _meminfo("MemAvailable")


def peak_memory(call: Callable[[int], object]) -> int | None:
    """Bytes by which the process's resident memory rises during a call; None where nobody says."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what an earlier call freed would be used again unseen
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _meminfo("VmRSS", "/proc/self/status")
        call(0)
        after = _meminfo("VmHWM", "/proc/self/status")
    except OSError:
        return None
    return None if before is None or after is None else max(0, after - before)


def extension() -> dict[str, str]:
    """Which compiled file was measured: a commit does not say it, a digest does."""
    path = Path(hamming._core.__file__)
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def build() -> dict | None:
    """Compiler and flags of each kernel file, from the build folder; None without one."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    ninja = next(iter((ROOT / "build").glob(f"{tag}-*/build.ninja")), None)
    if ninja is None:
        return None
    flags = re.findall(
        r"^build \S*csrc/(\S+)\.o: .*(?:\n  .*)*?\n  FLAGS = (.*)$", _read(ninja), re.M
    )
    compiler = "".join(
        _read(path) for path in ninja.parent.glob("CMakeFiles/*/CMakeCXXCompiler.cmake")
    )
    named = dict(re.findall(r'set\(CMAKE_CXX_COMPILER_(ID|VERSION) "(.*)"\)', compiler))
    return {"compiler": " ".join(named[key] for key in ("ID", "VERSION") if key in named)} | {
        "flags": dict(flags)
    }


def git() -> dict | None:
    """The commit, and whether the tree differs from it (results aside); None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git("status", "--porcelain", "--", ".", ":!bench/results")
    return {"commit": commit, "dirty": changes != ""}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _meminfo(key: str, file: str = "/proc/meminfo") -> int | None:
    match = re.search(rf"^{key}:\s+(\d+) kB$", _read(Path(file)), re.M)
    return int(match[1]) * 1024 if match else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
