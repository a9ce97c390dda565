"""Step 2: everything that later steps launch, compiled beforehand and on all cores.

Compiled one after the other as they are met, a hundred kernels would cost minutes of a card's time.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench import machine
from bench.rivals import CannotRunError
from hamming.backends import cuda_compile
from hamming.backends.cuda_plan import Kernel

from .card import Card, missing_compiler
from .frame import Case, Step
from .searches import Search, kernels

# A dry run compiles the least of those that a card needs: the emulation compiles its own.
_DRY_FILES = ("scan_wgmma.cu",)


def compiled(job: tuple[Kernel, str]) -> float:
    """Seconds that a kernel takes; it stays in the cache of CuPy."""
    begin = time.perf_counter()
    cuda_compile.cubin_path(*job)
    return time.perf_counter() - begin


def compiling(searches: Callable[[], Sequence[Search]]) -> Callable[[Card], dict[str, Any]]:
    """A case that compiles what the searches need."""

    def run(card: Card) -> dict[str, Any]:
        if reason := missing_compiler():
            raise CannotRunError(reason)
        arch = cuda_compile.architecture(card.facts.capability)
        wanted = kernels(searches(), card.facts)
        if card.dry:
            by_file = {kernel.file: kernel for kernel in wanted}
            chosen = [by_file[file] for file in _DRY_FILES if file in by_file]
            sizes = [len(cuda_compile.compile_cubin(kernel, arch)) for kernel in chosen]
            return {"kernels": len(wanted), "compiled_bytes": sizes}
        begin = time.perf_counter()
        workers = max(1, min(machine.usable_cpus() - 1, len(wanted)))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            seconds = list(pool.map(compiled, [(kernel, arch) for kernel in wanted]))
        return {
            "kernels": len(wanted),
            "workers": workers,
            "compile_seconds": round(sum(seconds), 2),
            "wall_seconds": round(time.perf_counter() - begin, 2),
        }

    return run


def step(others: Sequence[Step]) -> Step:
    """The step that compiles for the others."""

    def cases(dry: bool) -> Sequence[Case]:
        def searches() -> list[Search]:
            every = [case for other in others for case in other.cases(dry)]
            return [search for case in every for search in case.searches]

        return (Case("compile", compiling(searches), 5 if dry else 30),)

    return Step("kernels", "The kernels of all steps, compiled", cases)
