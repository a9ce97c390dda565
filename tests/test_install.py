"""What an installed copy must have; `make wheel` runs this on the wheel, in another folder."""

from __future__ import annotations

import importlib.metadata
import importlib.resources

import hamming
from hamming.backends import cuda_compile


def test_the_stub_and_the_marker_are_installed() -> None:
    files = {entry.name for entry in importlib.resources.files("hamming").iterdir()}
    assert {"py.typed", "_core.pyi"} <= files


def test_the_device_code_is_installed() -> None:
    """Where the package looks for it, whether it was installed from a wheel or in place."""
    files = {
        entry.name for entry in importlib.resources.files("hamming").joinpath("cuda").iterdir()
    }
    assert {"ptx.cuh", "scan_popc.cu", "scan_mma.cu", "scan_wgmma.cu", "select.cu"} <= files
    assert "scan_wgmma(" in cuda_compile.source("scan_wgmma.cu")


def test_the_embedded_data_and_the_presets_are_installed() -> None:
    data = importlib.resources.files("distill.data").joinpath("embedded")
    assert any(True for _ in data.iterdir())
    presets = importlib.resources.files("distill").joinpath("configs")
    assert any(entry.name.endswith(".toml") for entry in presets.iterdir())


def test_the_distribution_name() -> None:
    assert importlib.metadata.version("hamming-kd")


def test_it_computes_with_the_native_kernels() -> None:
    assert hamming.backends()[0] != "reference"
