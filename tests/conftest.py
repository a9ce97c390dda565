"""The `backend` fixture: every kernel test runs on every backend, and with shrunken tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import hypothesis
import pytest

import hamming
from hamming.backends.base import Backend
from hamming.backends.cpu import CpuBackend
from hamming.dispatch import BACKENDS

hypothesis.settings.register_profile(
    "ci",
    deadline=None,  # speed belongs in benchmarks
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        # The `backend` fixture only chooses a backend; it holds nothing an example could change.
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("ci")


def shrunken(backend: CpuBackend) -> CpuBackend:
    """One block a tile, a buffer that is compacted all the time, threads for any amount of work."""
    tuning = type(backend.tuning)(
        tile_bytes=1, buffer_extra=1, block_bytes=1, in_place_queries=0, work_per_thread=1
    )
    return dataclasses.replace(backend, tuning=tuning)


VARIANTS: dict[str, Backend] = {backend.name: backend for backend in BACKENDS}
VARIANTS |= {f"{b.name}-small": shrunken(b) for b in BACKENDS if isinstance(b, CpuBackend)}


@pytest.fixture(params=list(VARIANTS))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    variant = VARIANTS[request.param]
    if variant.missing is not None:
        pytest.skip(variant.missing)
    with hamming.use_backend(variant):
        yield request.param
