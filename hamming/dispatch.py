"""Which backend runs: the ordered list, the one in force, and how to force another."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .backends.base import Backend
from .backends.cpu import CPU_BACKENDS
from .backends.cuda import CUDA
from .backends.reference import REFERENCE

BACKENDS: tuple[Backend, ...] = (CUDA, *CPU_BACKENDS, REFERENCE)

_forced: ContextVar[Backend | None] = ContextVar("hamming_backend", default=None)


def backends() -> tuple[str, ...]:
    """The names of the backends this machine can use, best first.

    Looks for a GPU, which imports CuPy where it is installed.
    """
    return tuple(backend.name for backend in BACKENDS if backend.missing is None)


@contextmanager
def use_backend(name: str | Backend) -> Iterator[None]:
    """Forces a backend inside a `with` block, for this thread and the asyncio tasks it starts.

    Args:
        name: one of `backends()`; tests may pass a backend value with sizes of their own.

    Raises:
        TypeError: `name` is neither a name nor a backend.
        ValueError: no such backend, or this machine cannot use it.

    Example:
        >>> import numpy as np, hamming
        >>> with hamming.use_backend("reference"):
        ...     hamming.distance(*[np.array([[255]], np.uint8)] * 2)
        array([[0]], dtype=int32)
    """
    if not isinstance(name, str) and not hasattr(name, "radius_search"):
        raise TypeError(
            f"name: expected one of {', '.join(backends())}, got {name!r}; choose one of them"
        )
    token = _forced.set(_find(name, "name") if isinstance(name, str) else name)
    try:
        yield
    finally:
        _forced.reset(token)


def choose(device: str, remedy: str = "move the arrays with .cpu()") -> Backend:
    """The backend for arrays on `device`: the forced one, else the best that takes them.

    Raises:
        ValueError: nothing here searches there; `remedy` ends the sentence.
    """
    forced = _forced.get()
    if forced is None and os.environ.get("HAMMING_BACKEND"):
        forced = _find(os.environ["HAMMING_BACKEND"], "HAMMING_BACKEND")
    if forced is not None:
        if not forced.takes(device):
            raise ValueError(
                f"backend: expected one that takes {device} arrays, got {forced.name}; "
                "choose another backend or move the arrays"
            )
        return forced
    # What takes the arrays first: a search on the CPU must not look for a GPU.
    fitting = [backend for backend in BACKENDS if backend.takes(device)]
    for backend in fitting:
        if backend.missing is None:
            return backend
    reasons = "; ".join(f"{backend.name}: {backend.missing}" for backend in fitting)
    raise ValueError(
        f"device: expected one that this machine can search on, got {device} "
        f"({reasons or 'no such backend'}); {remedy}"
    )


def _find(name: str, argument: str) -> Backend:
    for backend in BACKENDS:
        if backend.name == name:
            if backend.missing is not None:
                raise ValueError(
                    f"{argument}: expected one of {', '.join(backends())}, got {name!r} "
                    f"({backend.missing}); choose an available one"
                )
            return backend
    near = difflib.get_close_matches(name, backends(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of them"
    raise ValueError(f"{argument}: expected one of {', '.join(backends())}, got {name!r}; {hint}")
