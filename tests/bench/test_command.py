"""What the commands share: where a record goes, and that a page's own is not replaced by less."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from bench import (
    command,
    evaluation,
    gpu,
    index,
    latency,
    recall,
    retrieval,
    semisupervised,
    sharded,
    training,
)

MODULES = {
    module.__name__.removeprefix("bench."): module
    for module in (
        evaluation,
        gpu,
        index,
        latency,
        recall,
        retrieval,
        semisupervised,
        sharded,
        training,
    )
}


@pytest.fixture(autouse=True)
def _other_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What goes wrong here replaces no record."""
    for module in MODULES.values():
        monkeypatch.setattr(module, "RESULTS", tmp_path / module.RESULTS.name)


def refused(capsys: pytest.CaptureFixture[str], name: str, words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        MODULES[name].main(words.split())
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "words", "usual"),
    [
        ("evaluation", "--sizes 20x450x5", "evaluation.json"),
        ("evaluation", "--bits 32", "evaluation.json"),
        ("gpu", "--only values", "gpu-made-up.json"),
        ("gpu", "--budget 30", "gpu-made-up.json"),
        ("index", "--codes 2e3", "index.json"),
        ("index", "--bits 128", "index.json"),
        ("latency", "--seconds 1", "latency.json"),
        ("latency", "--device cpu --quick", "chain-cpu.json"),
        ("recall", "--n 200", "recall.json"),
        ("recall", "--seeds 0", "recall.json"),
        ("retrieval", "--seeds 0", "retrieval-openclipart-embedded.json"),
        ("retrieval", "--ablation-bits 16", "retrieval-openclipart-embedded.json"),
        ("semisupervised", "--presets dcmh", "semisupervised-openclipart-embedded.json"),
        ("sharded", "--quick", "sharded.json"),
        ("training", "--epochs 1", "training.json"),
    ],
)
def test_other_sizes_need_a_file_of_their_own(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    words: str,
    usual: str,
) -> None:
    monkeypatch.setattr(gpu, "missing_gpu", lambda: None)
    monkeypatch.setattr(gpu, "_card", lambda: "made up")
    option = words.split("--")[-1].split()[0]
    assert refused(capsys, name, words).endswith(
        f"--{option}: expected --out as well, got none; {usual} is for the usual sizes"
    )


@pytest.mark.parametrize("name", MODULES)
def test_a_file_that_cannot_be_written_is_known_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    dry = "--dry " if name == "gpu" else ""
    for out in (tmp_path, tmp_path / "file" / "out.json"):
        sentence = refused(capsys, name, f"{dry}--out {out}")
        assert f"--out: expected a file that can be written, got {out}" in sentence


def test_a_folder_that_nobody_may_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    nothing = argparse.Namespace()
    with pytest.raises(ValueError, match=r"^--out: expected a file that can be written, got "):
        command.record_path(nothing, nothing, tmp_path / "new" / "out.json")


def test_usual_sizes_go_to_the_usual_file(tmp_path: Path) -> None:
    parser = command.parser("made.py", "Made up.\n\nThe rest.")
    parser.add_argument("--n", type=int, default=3)
    parser.add_argument("--out", type=Path)
    usual, other = tmp_path / "usual.json", tmp_path / "new" / "other.json"

    def path(*words: str) -> Path:
        return command.parsed_path(parser, parser.parse_args(words), usual, ("n",))

    assert path() == path("--n", "3") == usual
    assert path("--n", "2", "--out", str(other)) == other
    assert not other.parent.exists()
