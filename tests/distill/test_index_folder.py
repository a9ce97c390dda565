"""Index directories on disk: commits, readers beside them, failures, and how few files remain."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill import index_folder
from distill.index_folder import IndexFolder, read_index
from distill.index_format import About, IndexItem
from distill.index_writer import Changes, IndexWriter, writing
from distill.item_files import Stamp
from distill.types import DistillError

ABOUT = About("/runs/a", "weights", "encoder", "image", "image", None, 12)


def changes(n: int, *, first: int = 0, removed: tuple[int, ...] = ()) -> Changes:
    """The items `first` and the following, whose codes are their numbers."""
    numbers = range(first, first + n)
    items = [IndexItem(-1, f"/photos/{i}.png", f"text {i}", Stamp(i, i), 0) for i in numbers]
    return Changes(items, codes(numbers), removed, {})


def codes(numbers: range | list[int]) -> np.ndarray:
    return np.array([[i // 16 % 256, i % 16 << 4] for i in numbers], np.uint8).reshape(-1, 2)


def numbers_of(folder: IndexFolder) -> list[int]:
    """Which items it has; codes, ids, texts and lookups by id fit them."""
    numbers = [item.stamp.size for item in folder.items()]
    index = folder.index()
    assert np.array_equal(index.codes, codes(numbers))
    assert index.ids.tolist() == [item.id for item in folder.items()]
    for item in folder.items():
        assert item.text == f"text {item.stamp.size}"
        assert folder.item(item.id) == item
        assert np.array_equal(folder.code(item.id), codes([item.stamp.size])[0])
    return numbers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


def committed(path: Path, *each: Changes) -> IndexFolder:
    with writing(path, ABOUT) as writer:
        writer.source("/photos")
        for one in each:
            writer.commit(one)
        assert numbers_of(writer.state) == numbers_of(read_index(path))
    return read_index(path)


def test_what_is_committed_is_read(path: Path) -> None:
    assert numbers_of(committed(path)) == []
    folder = committed(path, changes(5), changes(3, first=10, removed=(1,)))
    assert numbers_of(folder) == [0, 2, 3, 4, 10, 11, 12]
    assert [item.id for item in folder.items()] == [0, 2, 3, 4, 5, 6, 7]
    assert numbers_of(committed(path, changes(0, removed=(7, 0)))) == [2, 3, 4, 10, 11]
    # Ids do not come again, even of the last items.
    assert [item.id for item in committed(path, changes(1, first=20)).items()][-1] == 8
    assert numbers_of(committed(path, changes(0, removed=(2, 3, 4, 5, 6, 8)))) == []
    assert numbers_of(committed(path, changes(2))) == [0, 1]
    for item_id in (0, 8, 11, -1):
        with pytest.raises(KeyError):
            read_index(path).item(item_id)


def test_many_commits_leave_few_files(path: Path) -> None:
    folder = committed(path, *(changes(1, first=i) for i in range(42)))
    assert numbers_of(folder) == list(range(42))
    sizes = [len(segment.ids) for segment in folder.segments]
    assert sizes == [32, 8, 2]
    assert {file.name for file in path.iterdir()} == folder.manifest.files() | {
        "index.json",
        ".lock",
    }


def test_removals_are_noted_until_they_are_a_quarter(path: Path) -> None:
    folder = committed(path, changes(40), changes(20, first=40, removed=tuple(range(15))))
    assert len(folder.segments) == 2
    assert len(folder.removed) == 15
    folder = committed(path, changes(0, removed=(50,)))
    assert [len(segment.ids) for segment in folder.segments] == [44]
    assert not len(folder.removed)
    assert not list(path.glob("removed-*"))
    assert numbers_of(folder) == [*range(15, 50), *range(51, 60)]


def test_a_reader_keeps_its_state(path: Path) -> None:
    old = committed(path, changes(4))
    committed(path, changes(6, first=4, removed=(0, 1, 2, 3)))
    assert numbers_of(old) == [0, 1, 2, 3]
    assert not (path / old.manifest.segments[0].codes).exists()


def test_a_reader_meets_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files vanish between the manifest and them: the newer manifest is read."""
    committed(path, changes(4))
    opened, to_come = index_folder.open_segment, [changes(4, first=4), changes(8, first=8)]

    def open_late(place: Path, files: object) -> object:
        if to_come:
            with pytest.MonkeyPatch.context() as meanwhile:
                meanwhile.setattr(index_folder, "open_segment", opened)
                with writing(place, ABOUT) as writer:
                    writer.commit(to_come.pop(0))
        return opened(place, files)

    monkeypatch.setattr(index_folder, "open_segment", open_late)
    assert numbers_of(read_index(path)) == list(range(16))
    assert to_come == []


@pytest.mark.parametrize("name", ["codes", "items", "index.json"])
def test_a_full_disk_leaves_the_state_before(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(path, changes(4))
    before = {file.name for file in path.iterdir()}
    replace_file = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name.startswith(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace_file(self, target)

    with writing(path, ABOUT) as writer:
        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            writer.commit(changes(6, first=4))
        assert not writer.usable
    assert {file.name for file in path.iterdir()} == before
    assert numbers_of(read_index(path)) == [0, 1, 2, 3]


def test_leftovers_of_a_killed_writer_are_removed_and_other_files_are_not(path: Path) -> None:
    committed(path, changes(4))
    keep = {file.name for file in path.iterdir()}
    for name in (
        "codes-000009.safetensors",
        "items-000009.jsonl",
        "removed-000009.npy",
        ".codes-000009.safetensors.ab12cd_3",
        ".index.json.abcdefgh",
    ):
        (path / name).write_bytes(b"half")
    for name in ("notes.txt", "codes-000009.txt", "index.json.old"):
        (path / name).touch()
        keep.add(name)
    (path / "searches").mkdir()
    assert numbers_of(committed(path)) == [0, 1, 2, 3]
    assert {file.name for file in path.iterdir()} == keep | {"searches"}


def test_a_first_run_that_was_killed_leaves_a_folder_that_can_be_used(path: Path) -> None:
    path.mkdir()
    (path / ".lock").touch()
    (path / ".index.json.abcdefgh").touch()
    assert numbers_of(committed(path, changes(1))) == [0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.json", b"{"),
        ("index.json", b"[]"),
        ("index.json", b'{"version": 1}'),
        ("codes-*", b"short"),
        ("codes-*", None),
        ("items-*", b"{}\n"),
        ("items-*", None),
        ("removed-*", b"short"),
    ],
)
def test_damage_is_one_sentence(path: Path, name: str, content: bytes | None) -> None:
    committed(path, changes(8, removed=()), changes(0, removed=(3,)))
    (file,) = path.glob(name)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(DistillError) as caught:
        read_index(path)
    assert str(caught.value) == (
        f"index: expected {path} as it was written, got damaged or missing files; "
        "remove the directory and index anew"
    )


def test_lines_that_were_changed_are_one_sentence(path: Path) -> None:
    committed(path, changes(1))
    (file,) = path.glob("items-*")
    file.write_bytes(b"x" * (file.stat().st_size - 1) + b"\n")
    folder = read_index(path)
    for look in (lambda: list(folder.items()), lambda: folder.item(0)):
        with pytest.raises(DistillError, match=r"^index: expected .* as it was written, got dam"):
            look()


def test_no_index_and_one_of_a_later_release(path: Path) -> None:
    with pytest.raises(DistillError, match=r"^index: expected an index directory with index.json"):
        read_index(path)
    committed(path, changes(1))
    manifest = path / "index.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 2}))
    with pytest.raises(DistillError, match=r"^index: expected version 1 in .*, got 2; use the rel"):
        read_index(path)
    with pytest.raises(DistillError, match="version"), writing(path, ABOUT):
        pass


@pytest.mark.parametrize("name", ["weights", "encoder"])
def test_another_run_is_refused(path: Path, name: str) -> None:
    committed(path, changes(1))
    with (
        pytest.raises(DistillError, match=r"^out: expected an index made by the run /runs/b, got"),
        writing(path, replace(ABOUT, run="/runs/b", **{name: "other"})),
    ):
        pass
    with writing(path, replace(ABOUT, run="/runs/b")) as writer:
        assert isinstance(writer, IndexWriter)
    assert read_index(path).manifest.about.run == "/runs/b"


def test_kills_at_any_moment() -> None:
    """Ten of them; `python tests/distill/kill_index.py --kills 100` does more."""
    program = Path(__file__).with_name("kill_index.py")
    done = subprocess.run(
        [sys.executable, str(program), "--kills", "10", "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10 kills, ")
