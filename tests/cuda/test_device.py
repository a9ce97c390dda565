"""A machine without a GPU: one clear sentence, and nothing imported that nobody asked for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import hamming
from hamming.backends import cuda_device, cuda_launch, cuda_search
from hamming.backends.cuda import CUDA

DB = np.zeros((4, 8), np.uint8)


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch):
    cuda_device.missing.cache_clear()
    yield
    cuda_device.missing.cache_clear()


def fake_runtime(status: int | None, count: int = 0) -> SimpleNamespace:
    class CUDARuntimeError(RuntimeError):
        def __init__(self, status: int) -> None:
            super().__init__(f"cudaError {status}: words of CUDA")
            self.status = status

    def device_count() -> int:
        if status is not None:
            raise CUDARuntimeError(status)
        return count

    runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=device_count)
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(
    ("status", "count", "reason"),
    [
        (35, 0, "no NVIDIA driver, or one older than this CuPy's CUDA"),
        (100, 0, "no NVIDIA GPU"),
        (None, 0, "no NVIDIA GPU"),
        (999, 0, "cudaError 999: words of CUDA"),
        (None, 1, None),
    ],
)
def test_why_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, status: int | None, count: int, reason: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_runtime(status, count))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert cuda_device.missing() == reason
    if reason is not None:
        assert "cuda" not in hamming.backends()
        with pytest.raises(ValueError, match=r"^name: expected one of .*; choose an available one"):
            hamming.use_backend("cuda").__enter__()


@pytest.mark.usefixtures("_fresh")
def test_a_folder_named_cupy_is_not_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert str(cuda_device.missing()).startswith("CuPy does not load (")


@pytest.mark.usefixtures("_fresh")
def test_without_cupy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"CuPy is not installed; install hamming-kd\[cuda12\] or"):
        hamming.use_backend("cuda").__enter__()


def test_a_cpu_search_and_its_errors_do_not_import_cupy() -> None:
    code = (
        "import sys, numpy as np, hamming\n"
        "x = np.zeros((4, 8), np.uint8)\n"
        "hamming.topk(x, x, 1), hamming.pack(np.ones((2, 8))), hamming.radius_search(x, x, 1)\n"
        "try: hamming.topk(x, x, 5)\n"
        "except ValueError: pass\n"
        "print('cupy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_cupy_takes_structs_by_value() -> None:
    """Kernels get their records so; without a driver a launch fails after its arguments passed."""
    pytest.importorskip("cupy")
    if CUDA.missing is None:
        pytest.skip("there is a GPU: every other test shows it")
    from cupy.cuda.function import Function
    from cupy.cuda.runtime import CUDARuntimeError

    function = Function.__new__(Function)
    stream = SimpleNamespace(ptr=0)
    record = cuda_launch.record_of(cuda_search.SEARCH, n_bytes=8)
    with pytest.raises(CUDARuntimeError):
        function((1,), (1,), (record, np.int64(1)), stream=stream)
    with pytest.raises(TypeError):
        function((1,), (1,), (object(),), stream=stream)
