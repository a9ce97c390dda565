import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import checkpoint, run_folder
from distill.config import EncoderConfig, TrainConfig
from distill.encoders import load_encoder, text_features
from distill.files import write_text, write_whole
from tests.distill.started import start_run


def full_disk(path: Path) -> None:
    path.write_text("half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b.txt", "ä")
    assert (tmp_path / "a/b.txt").read_text(encoding="utf-8") == "ä"
    assert (tmp_path / "a/b.txt").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "codes.npy"
    file.write_text("old")
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_whole(file, full_disk)
    assert caught.value.filename == str(file)
    assert [f.name for f in tmp_path.iterdir()] == ["codes.npy"]
    assert file.read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_every_writer_meets_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def on_a_full_disk(path: Path) -> Iterator[Path]:
        name = path.with_name(f".{path.name}.x")
        name.symlink_to("/dev/full")
        try:
            yield name
        finally:
            name.unlink()

    encoder = load_encoder(EncoderConfig(teacher="tiny", pretrained="random"))
    codes = np.zeros((3, 2), np.uint8)
    tensors = {"image.w": torch.zeros(3)}
    run = start_run(TrainConfig(run=tmp_path / "run"))
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("hamming.io._temporary", on_a_full_disk)
    for write in (
        lambda: start_run(TrainConfig(run=tmp_path / "other")),
        lambda: checkpoint.save_codes(run, "image", codes, codes.astype(np.float32)),
        lambda: checkpoint.save_weights(run, checkpoint.Weights({}, tensors)),
        lambda: checkpoint.save_checkpoint(run, tensors),
        lambda: checkpoint.save_records(run, [{"epoch": 1}]),
        lambda: checkpoint.save_metrics(run, "{}"),
        lambda: text_features(encoder, ["a"], cache=tmp_path / "cache"),
    ):
        with pytest.raises(OSError, match="No space left on device") as caught:
            write()
        assert str(caught.value.filename).startswith(str(tmp_path))
    assert [f for f in sorted(tmp_path.rglob("*")) if f.is_file()] == [
        f for f in before if f.is_file()
    ]


def test_a_killed_writer_leaves_what_a_run_folder_knows(tmp_path: Path) -> None:
    run = start_run(TrainConfig(run=tmp_path / "run"))

    def is_known(temporary: Path) -> None:
        assert run_folder._leftovers(run.path) == [temporary]

    write_whole(run.path / "metrics.json", is_known)


def test_any_other_failure_leaves_nothing_either(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half of it")
        raise KeyError("bug")

    with pytest.raises(KeyError):
        write_whole(tmp_path / "x.txt", broken)
    assert not list(tmp_path.iterdir())
