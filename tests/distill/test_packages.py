"""Where the packages of the extra are missing, commands say so in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKING = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == {name!r} else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""
COMMANDS = ["train", "search", "encode", "evaluate", "index", "export", "serve"]


@pytest.fixture(params=["torch", "tyro"])
def missing(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "sitecustomize.py").write_text(BLOCKING.format(name=request.param))
    return request.param


def python(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": f"{path}:{ROOT}"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_package_is_one_sentence(command: str, missing: str, tmp_path: Path) -> None:
    done = python("-m", f"distill.{command}", "--help", path=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "error: distill: expected the packages that its commands need, got no "
        f'{missing}; pip install "hamming-kd[distill]"\n'
    )


def test_what_needs_no_package_is_imported_without(missing: str, tmp_path: Path) -> None:
    done = python("-c", "import distill.words, distill.metrics.arguments", path=tmp_path)
    assert done.returncode == 0, done.stderr
