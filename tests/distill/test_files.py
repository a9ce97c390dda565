import errno
import os
from pathlib import Path

import pytest

from distill.files import write_text, write_whole


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


def test_any_other_failure_leaves_nothing_either(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half of it")
        raise KeyError("bug")

    with pytest.raises(KeyError):
        write_whole(tmp_path / "x.txt", broken)
    assert not list(tmp_path.iterdir())
