"""The `backend` fixture: every kernel test runs on every backend, and with shrunken tiles.

Where there is a GPU, `pytest -m gpu` runs them all on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import hypothesis
import pytest

import hamming
from hamming.backends.base import Backend
from hamming.backends.cpu import CpuBackend
from hamming.dispatch import BACKENDS
from tests.hamming.hosted import HostedCuda

hypothesis.settings.register_profile(
    "ci",
    deadline=None,  # speed belongs in benchmarks
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        # Half floats are drawn by rejection: two draws of three.
        hypothesis.HealthCheck.filter_too_much,
        # The `backend` fixture only chooses a backend; it holds nothing an example could change.
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.register_profile(
    "emulated", hypothesis.settings.get_profile("ci"), max_examples=25
)
hypothesis.settings.load_profile("ci")


def shrunken(backend: CpuBackend, *, rows: bool) -> CpuBackend:
    """One block a tile, or rows read in place whenever they can be, a buffer that is compacted all
    the time, and threads for any amount of work.
    """
    tuning = type(backend.tuning)(
        tile_bytes=1,
        buffer_extra=1,
        block_bytes=1,
        rows_queries=2**31 if rows else 0,
        work_per_thread=1,
        sampled_k=1,
    )
    return dataclasses.replace(backend, tuning=tuning)


NATIVE = [backend for backend in BACKENDS if isinstance(backend, CpuBackend)]
HOST = [backend for backend in BACKENDS if backend.takes("cpu")]
VARIANTS: dict[str, Backend] = {backend.name: backend for backend in HOST}
VARIANTS |= {f"{backend.name}-tiles": shrunken(backend, rows=False) for backend in NATIVE}
VARIANTS |= {f"{backend.name}-rows": shrunken(backend, rows=True) for backend in NATIVE}


CUDA: Backend = HostedCuda()
VARIANTS["cuda"] = CUDA
PARAMS = [pytest.param(n, marks=pytest.mark.gpu if n == "cuda" else ()) for n in VARIANTS]


@pytest.fixture(params=PARAMS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    variant = VARIANTS[request.param]
    if variant.missing is not None:
        pytest.skip(variant.missing)
    with hamming.use_backend(variant):
        yield request.param
