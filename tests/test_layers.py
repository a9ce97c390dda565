"""Who may import whom: the table of the architecture, executable. Arrows never point upwards."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# module pattern -> patterns of own modules it may import. The first matching row counts.
HAMMING = {
    "hamming": ["hamming.*"],
    "hamming.layout": [],
    "hamming.checks": ["hamming.layout"],
    "hamming.arrays": ["hamming.layout", "hamming.checks"],
    "hamming.backends": [],
    "hamming.backends.cpu": [
        "hamming.layout",
        "hamming.arrays",
        "hamming.backends.base",
        "hamming._core",
    ],
    "hamming.backends.cuda": [
        "hamming.layout",
        "hamming.arrays",
        "hamming.backends.base",
        "hamming.backends.cuda_*",
    ],
    "hamming.backends.cuda_plan": [],
    "hamming.backends.cuda_launch": ["hamming.backends.cuda_plan"],
    "hamming.backends.cuda_search": ["hamming.backends.cuda_plan", "hamming.backends.cuda_launch"],
    "hamming.backends.cuda_values": ["hamming.backends.cuda_plan", "hamming.backends.cuda_launch"],
    "hamming.backends.cuda_compile": ["hamming.backends.cuda_plan"],
    "hamming.backends.cuda_device": ["hamming.backends.cuda_plan", "hamming.backends.cuda_compile"],
    "hamming.backends.*": ["hamming.layout", "hamming.arrays", "hamming.backends.base"],
    "hamming.dispatch": ["hamming.backends.*"],
    "hamming.io": ["hamming.layout", "hamming.checks"],
    "hamming.merging": ["hamming.layout", "hamming.checks", "hamming.arrays", "hamming.dispatch"],
    "hamming.index": ["hamming.index.*"],
    "hamming.index.checks": ["hamming.layout", "hamming.checks", "hamming.arrays"],
    "hamming.index.*": [
        "hamming.layout",
        "hamming.checks",
        "hamming.arrays",
        "hamming.io",
        "hamming.dispatch",
        "hamming.merging",
        "hamming.rescore",
        "hamming.index.*",
    ],
    "hamming.interop*": [
        "hamming.layout",
        "hamming.checks",
        "hamming.index.checks",
        "hamming.arrays",
        "hamming.io",
        "hamming.index",
        "hamming.interop.tables",
    ],
    "hamming.reranking": [
        "hamming.layout",
        "hamming.checks",
        "hamming.arrays",
        "hamming.index.ids",
    ],
    "hamming.two_stage": [
        "hamming.layout",
        "hamming.checks",
        "hamming.index.checks",
        "hamming.arrays",
        "hamming.packing",
        "hamming.index",
        "hamming.reranking",
    ],
    "hamming.sharded*": [
        "hamming.layout",
        "hamming.checks",
        "hamming.index.checks",
        "hamming.arrays",
        "hamming.io",
        "hamming.index",
        "hamming.merging",
        "hamming.sharded*",
    ],
    "hamming.*": ["hamming.layout", "hamming.checks", "hamming.arrays", "hamming.dispatch"],
}
LEVEL_0 = [
    f"distill.{name}"
    for name in ("types", "words", "modalities", "config", "tables", "files", "progress")
]
LEVEL_1 = [
    "distill.heads",
    "distill.binarize",
    "distill.encoders*",
    "distill.losses*",
    "distill.data*",
]
UNTIL_METHODS = [p for p in LEVEL_1 if p != "distill.data*"]
USES_RUNS = [*LEVEL_0, *LEVEL_1, "distill.checkpoint", "distill.metrics*", "hamming"]
DISTILL = {
    "distill": [],
    "distill.types": [],
    "distill.words": [],
    "distill.modalities": ["distill.types"],
    "distill.files": ["distill.types", "hamming.io"],
    "distill.progress": [],
    "distill.tables": [],
    "distill.config_*": ["distill.tables"],  # the tables of settings that config joins
    "distill.config": ["distill.types", "distill.tables", "distill.config_*"],
    "distill.heads": LEVEL_0,
    "distill.binarize": [*LEVEL_0, "hamming"],  # its users have embeddings: codes are its product
    "distill.encoders*": [*LEVEL_0, "distill.encoders*"],
    "distill.losses*": [*LEVEL_0, "distill.losses*"],
    "distill.data*": [*LEVEL_0, "distill.data*"],
    "distill.clusters": [
        *LEVEL_0,
        "distill.losses.distillation",
    ],  # its mask of bits
    "distill.triplets": LEVEL_0,
    "distill.pseudo_labels": LEVEL_0,
    "distill.parallel": ["distill.types", "distill.progress"],
    "distill.methods.base": [*LEVEL_0, *UNTIL_METHODS],
    "distill.methods": ["distill.methods*"],
    "distill.methods.views": [*LEVEL_0, *UNTIL_METHODS],  # what teachers and students share
    "distill.methods.ranking": [  # what SKDCH's teacher and student share
        *LEVEL_0,
        *UNTIL_METHODS,
        "distill.methods.base",
        "distill.triplets",
    ],
    "distill.methods.adversarial": [
        *LEVEL_0,
        *UNTIL_METHODS,
        "distill.methods.ranking",
        "distill.triplets",
    ],
    "distill.methods.skdch": [
        *LEVEL_0,
        *UNTIL_METHODS,
        "distill.methods.base",
        "distill.methods.ranking",
        "distill.methods.adversarial",
        "distill.pseudo_labels",
    ],
    "distill.methods.*": [
        *LEVEL_0,
        *UNTIL_METHODS,
        "distill.methods.base",
        "distill.methods.views",
        "distill.clusters",
        "distill.parallel",
    ],
    "distill.loop": [
        *LEVEL_0,
        "distill.methods.base",
        "distill.checkpoint",
        "distill.optimizer",
        "distill.parallel",
    ],
    "distill.optimizer": [
        *LEVEL_0,
        "distill.methods.base",
        "distill.encoders.tuned",
        "distill.parallel",
    ],
    "distill.checkpoint": [*LEVEL_0, "distill.methods.base"],
    "distill.run_folder": [*LEVEL_0, "distill.checkpoint", "distill.parallel"],
    "distill.fitting": [
        *LEVEL_0,
        "distill.methods.base",
        "distill.checkpoint",
        "distill.loop",
        "distill.parallel",
    ],
    "distill.metrics*": [*USES_RUNS],
    "distill.evaluation": USES_RUNS,
    "distill.image_encoder": USES_RUNS,
    "distill.queries": [*USES_RUNS, "distill.image_encoder"],
    "distill.retriever": [*USES_RUNS, "distill.image_encoder", "distill.queries"],
    "distill.item_files": [*LEVEL_0, "distill.data*"],
    "distill.item_encoder": [*USES_RUNS, "distill.image_encoder", "distill.item_files"],
    "distill.index_*": [*USES_RUNS, "distill.queries", "distill.item_files", "distill.index_*"],
    "distill.report*": [
        *USES_RUNS,
        "distill.evaluation",
        "distill.retriever",
        "distill.image_encoder",
        "distill.clusters",
        "distill.report*",
    ],
    "distill.serving*": [
        *USES_RUNS,
        "distill.queries",
        "distill.retriever",
        "distill.item_files",
        "distill.index_*",
        "distill.report*",
        "distill.serving*",
    ],
}
COMMANDS = [
    "train",
    "image_runs",
    "teacher_runs",
    "inputs",
    "input_checks",
    "run_evaluation",
    "repeated",
    "evaluate",
    "encode",
    "index",
    "search",
    "serve",
    "export",
    "command",
]
COMMANDS = [f"distill.{name}" for name in COMMANDS]  # train is seven files
TABLE = HAMMING | DISTILL


def modules() -> dict[str, Path]:
    found = {}
    for package in ("hamming", "distill"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> set[str]:
    """Own modules `name` imports anywhere; `from x import y` is x.y where that is one."""
    own = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                keep = len(parts) - node.level + (path.name == "__init__.py")
                base = ".".join([*parts[:keep], *([base] if base else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
            targets = [t if t in MODULES or t == "hamming._core" else base for t in targets]
        else:
            continue
        own |= {t for t in targets if t.split(".")[0] in ("hamming", "distill")}
    return own - {name}


def violations(name: str, found: set[str]) -> list[str]:
    if name in COMMANDS:
        return []
    row = next((p for p in TABLE if fnmatch(name, p)), None)
    assert row is not None, f"{name} stands in no row of the table; give it a level"
    return [t for t in found if not any(fnmatch(t, p) for p in TABLE[row])]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_follow_the_table(name: str) -> None:
    assert violations(name, imports(name, MODULES[name])) == []


def test_the_rule_can_fail() -> None:
    assert violations("hamming.layout", {"hamming.checks"})
    assert violations("distill.methods.soda", {"distill.methods.brcd"})
    assert violations("distill.losses.similarity", {"distill.data.manifest"})


def below_isa() -> set[Path]:
    """What is compiled with an instruction set's flags: its files, and all that they include."""
    found: set[Path] = set()
    left = list((ROOT / "csrc/cpu").glob("isa_*.cpp"))
    while left:
        path = left.pop().resolve()
        if path not in found:
            found.add(path)
            left += [path.parent / i for i in re.findall(r'#include "([^"]+)"', path.read_text())]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "csrc").rglob("*.[chc]*pp")), ids=lambda p: p.name)
def test_native_includes(path: Path) -> None:
    """Only bind includes Python, and no library header stands below an ISA."""
    room = path.parent.name
    includes = re.findall(r'#include [<"]([^>"]+)[>"]', path.read_text())
    if room != "bind":
        assert not [i for i in includes if "pybind11" in i or "Python.h" in i or "bind/" in i]
    if path in below_isa():
        allowed = {"cstdint", "immintrin.h", "arm_neon.h"}
        assert {i for i in includes if "." not in i or i.endswith(".h")} <= allowed


@pytest.mark.parametrize("path", sorted((ROOT / "csrc/cuda").iterdir()), ids=lambda p: p.name)
def test_device_includes(path: Path) -> None:
    """Device code includes its own headers only; the emulation's stands behind a macro."""
    includes = set(re.findall(r'#include [<"]([^>"]+)[>"]', path.read_text()))
    if path.name == "ptx.cuh":
        assert includes == {"emulated_ptx.hpp"}
    else:
        assert all(name.endswith(".cuh") for name in includes)


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    return {"torch", "cupy", "numpy", "numpy.ma"} & set(done.stdout.split())


def test_a_search_loads_neither_torch_nor_cupy() -> None:
    """Nor numpy.ma, which takes longer than a search."""
    code = "import numpy as np, hamming; x = np.zeros((2, 8), np.uint8); hamming.topk(x, x, 1)"
    assert loaded_after(code) == {"numpy"}


def test_the_subprocess_test_can_fail() -> None:
    assert "torch" in loaded_after("import hamming, torch")
