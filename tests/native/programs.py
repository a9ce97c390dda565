"""Builds the native programs (CMakeLists.txt beside this file) into build/native/NAME."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class MissingToolError(Exception):
    """A tool that this machine lacks; the message says which and what offers it."""


def require(tool: str, package: str) -> str:
    """The path of a program; one installed beside this Python comes first."""
    places = [str(Path(sys.executable).parent)]
    for module in ("cmake", "ninja"):  # their wheels hold the programs
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            places.append(str(Path(spec.origin).parent / "data" / "bin"))
    places.append(os.environ.get("PATH", os.defpath))
    found = shutil.which(tool, path=os.pathsep.join(places))
    if found is None:
        raise MissingToolError(f"{tool}: not found; install {package}")
    return found


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The standard output; a failure carries both outputs."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, errors="replace"
    )
    if done.returncode != 0:
        words = " ".join(str(part) for part in command)
        raise RuntimeError(f"{words}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(name: str, *settings: str, targets: tuple[str, ...] = ()) -> Path:
    """Configures and builds; returns the folder of the programs."""
    folder = ROOT / "build" / "native" / name
    cmake = require("cmake", "the Python package cmake")
    ninja = require("ninja", "the Python package ninja")
    defines = [f"-D{setting}" for setting in (*settings, f"CMAKE_MAKE_PROGRAM={ninja}")]
    run(cmake, "-G", "Ninja", "-S", HERE, "-B", folder, *defines)
    chosen = [word for target in targets for word in ("--target", target)]
    run(cmake, "--build", folder, *chosen)
    return folder


def release() -> Path:
    """The programs and objects with the extension's own flags."""
    require("c++", "a C++ compiler")
    return build("release", "HAMMING_WERROR=ON")


def objects(folder: Path) -> dict[str, Path]:
    """The kernels' object files by the name of their source: {"topk.cpp": ...}."""
    return {path.stem: path for path in (folder / "CMakeFiles" / "kernels.dir").rglob("*.o")}


def compiler(folder: Path) -> str:
    """Compiler, major version and machine: instruction counts hold for one of them only."""
    files = list(folder.glob("CMakeFiles/*/CMakeCXXCompiler.cmake"))
    text = files[0].read_text()
    facts = {
        key: text.split(f'set({key} "')[1].split('"')[0]
        for key in ("CMAKE_CXX_COMPILER_ID", "CMAKE_CXX_COMPILER_VERSION")
    }
    major = facts["CMAKE_CXX_COMPILER_VERSION"].split(".")[0]
    return f"{facts['CMAKE_CXX_COMPILER_ID']} {major} {platform.machine()}"
