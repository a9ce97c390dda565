"""Step 1: which card and software this is, and what the card can do at most."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gpu_facts import program
from bench.rivals import CannotRunError

from .card import Card
from .frame import Case, Step

PACKAGES = (
    *("hamming-kd", "numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "triton"),
    *("faiss-gpu", "faiss-gpu-cu12", "faiss-cpu", "nvidia-cuda-nvrtc"),
)
_QUERY = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,power.limit,pstate"


def versions() -> dict[str, str]:
    """Of the packages that are installed, and Python's own."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(card: Card) -> dict[str, Any]:
    """The card, its driver and the software around it."""
    found: dict[str, Any] = {
        "host_cpus": os.cpu_count(),
        "host_kernel": platform.release(),
        "versions": versions(),
        "capability": list(card.facts.capability),
        "multiprocessors": card.facts.n_sms,
        "nvcc": _output("nvcc", "--version"),
    }
    if card.dry:
        return found | {"card": "emulated"}
    cuda = card.xp.cuda
    properties = cuda.runtime.getDeviceProperties(0)
    return found | {
        "card": properties["name"].decode(),
        "memory_bytes": int(properties["totalGlobalMem"]),
        "l2_bytes": int(properties["l2CacheSize"]),
        "cuda_driver": cuda.runtime.driverGetVersion(),
        "cuda_runtime": cuda.runtime.runtimeGetVersion(),
        "nvrtc": list(cuda.nvrtc.getVersion()),
        "nvidia_smi": _output("nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv"),
    }


def _output(*command: str) -> str | None:
    """What a command prints; None where there is none or it fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def ceilings(card: Card) -> dict[str, Any]:
    """Bandwidth and issue rates; a dry run only compiles."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "facts"
        if reason := program.missing():
            raise CannotRunError(reason)
        spills = program.build(binary)
        if card.dry:
            return {"compiled_bytes": binary.stat().st_size, "spills": spills}
        card.forget()
        found, reason = program.run(binary)
    right = found.get("wgmma_products_right_of_4096", {})
    wrong = [f"wgmma, {name}: {n} of 4096 right" for name, n in right.items() if n != 4096]
    if not found:
        raise RuntimeError(reason)
    return found | {"spills": spills, "ended_early": reason, "wrong": wrong}


def cases(dry: bool) -> Sequence[Case]:
    return (Case("card", describe, 5), Case("ceilings", ceilings, 8 if dry else 45))


STEP = Step("facts", "The card, the software, and the ceilings", cases)
