"""How the tests of the emulation launch the kernels beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda.emulation.emulation import Emulator

SEEDS = range(12)


def launch(
    file: str,
    kernel: str,
    *args: Any,
    grid: tuple[int, int, int] = (1, 1, 1),
    block: int = 32,
    shared: int = 0,
    seed: int = 0,
    defines: Mapping[str, int] | None = None,
    **options: Any,
) -> None:
    emulator = Emulator(seed=seed, source_dir=Path(__file__).parent / "kernels", **options)
    emulator.launch(file, kernel, defines or {}, grid, block, shared, args)


def words(n_rows: int, n_words: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (n_rows, n_words), dtype=np.uint32)
