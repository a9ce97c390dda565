"""What an installed copy must have; `make wheel` runs this on the wheel, in another folder."""

from __future__ import annotations

import importlib.metadata
import importlib.resources

import hamming


def test_the_stub_and_the_marker_are_installed() -> None:
    files = {entry.name for entry in importlib.resources.files("hamming").iterdir()}
    assert {"py.typed", "_core.pyi"} <= files


def test_the_embedded_data_and_the_presets_are_installed() -> None:
    data = importlib.resources.files("distill.data").joinpath("embedded")
    assert any(True for _ in data.iterdir())
    presets = importlib.resources.files("distill").joinpath("configs")
    assert any(entry.name.endswith(".toml") for entry in presets.iterdir())


def test_the_distribution_name() -> None:
    assert importlib.metadata.version("hamming-kd")


def test_it_computes_with_the_native_kernels() -> None:
    assert hamming.backends()[0] != "reference"
