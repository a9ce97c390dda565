"""A save leaves the old file or the new one, whatever happens to it and whoever reads meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import hamming
from hamming.io import write_whole

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills and limits")
KILLS = 15


def index_of(n: int, seed: int = 0) -> hamming.Index:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (n, 8), dtype=np.uint8)
    return hamming.Index.from_codes(codes, ids=rng.permutation(n))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", *program.split(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_saves() -> None:
    """Files stay whole; of so many kills some hit a save and leave a temporary file."""
    program = Path(__file__).parent / "kill_save.py"
    out = run(str(program), "--kills", KILLS, "--large", 300_000)
    counts = {what: int(n) for n, what in (line.split(" ", 1) for line in out.splitlines())}
    assert sum(n for what, n in counts.items() if what.startswith("then")) == KILLS
    assert counts["with a temporary file"] > 0
    assert {"while syncing the file", "while renaming", "while syncing the folder"} <= set(counts)


FULL = """
import resource, sys
import numpy as np
import hamming

file = sys.argv[1]
rng = np.random.default_rng(0)
index = hamming.Index.from_codes(rng.integers(0, 256, (100_000, 8), dtype=np.uint8))
for limit in 0, 100, 1_000, 500_000, 800_000:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        index.save(file)
    except OSError as error:
        assert type(error) is OSError and error.filename == file, repr(error)
        assert str(error) == f"[Errno 27] File too large: {file!r}", error
    else:
        raise SystemExit("nothing was too large")
"""


def test_a_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "index"
    old = index_of(1_000)
    old.save(file)
    data = file.read_bytes()
    (tmp_path / "full.py").write_text(FULL)
    run(str(tmp_path / "full.py"), file)
    assert names(tmp_path) == ["full.py", "index"]
    assert file.read_bytes() == data
    run(str(tmp_path / "full.py"), tmp_path / "other")
    assert names(tmp_path) == ["full.py", "index"]


def test_what_the_system_refuses_names_the_path(tmp_path: Path) -> None:
    index = index_of(10)
    (tmp_path / "folder/in it").mkdir(parents=True)
    cases = {
        tmp_path / "folder": errno.EISDIR,
        tmp_path / ("x" * 256): errno.ENAMETOOLONG,
        tmp_path / "pipe": errno.EINVAL,
    }
    os.mkfifo(tmp_path / "pipe")
    for path, number in cases.items():
        with pytest.raises(OSError) as caught:
            index.save(path)
        assert (caught.value.errno, caught.value.filename) == (number, str(path))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        index.save(tmp_path / "file/index")
    assert names(tmp_path) == ["file", "folder", "pipe"]


def test_what_is_replaced_keeps_its_place_and_its_permissions(tmp_path: Path) -> None:
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    index_of(10).save(real)
    real.chmod(0o600)
    link.symlink_to(real)
    index_of(20).save(link)
    assert link.is_symlink()
    assert len(hamming.Index.load(real)) == 20
    assert real.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["x" * 255, "\N{SNOWMAN}" * 85])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        index_of(10).save(tmp_path / name)
    assert names(tmp_path) == [name]


def test_an_interrupted_save_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    (tmp_path / "index").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "index", interrupted)
    assert names(tmp_path) == ["index"]
    assert (tmp_path / "index").read_bytes() == b"old"


def test_only_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    """What looks like a temporary file of this path, and no process holds."""
    others = [
        ".index.0123abcd.partial.bak",
        ".index.0123abcd",
        ".index.0123abcde.partial",
        ".index2.0123abcd.partial",
        "index.0123abcd.partial",
        "index.partial",
    ]
    for name in [*others, ".index.0123abcd.partial", ".index.ffffffff.partial"]:
        (tmp_path / name).touch()
    (tmp_path / ".index.a folder.partial").mkdir()
    seen = []

    def outer(temporary: Path) -> None:
        # Another writer of the same path comes and goes while this one is at work.
        write_whole(tmp_path / "index", lambda other: other.write_bytes(b"inner"))
        seen.extend(names(tmp_path))
        temporary.write_bytes(b"outer")

    write_whole(tmp_path / "index", outer)
    assert (tmp_path / "index").read_bytes() == b"outer"
    left = sorted([*others, ".index.a folder.partial", "index"])
    assert names(tmp_path) == left
    assert len(seen) == len(left) + 1


def test_writers_of_one_path_do_not_disturb_each_other(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def save(content: bytes) -> None:
        try:
            for _ in range(60):
                write_whole(tmp_path / "file", lambda temporary: temporary.write_bytes(content))
        except BaseException as error:
            failures.append(error)

    contents = [bytes([n]) * 1000 * (n + 1) for n in range(6)]
    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "file").exists():
            assert (tmp_path / "file").read_bytes() in contents
    assert failures == []
    assert names(tmp_path) == ["file"]


WRITER = """
import os, sys
import hamming
from tests.hamming.test_index_file_saving import index_of

states = [index_of(n, n) for n in (2_000, 30_000)]
while os.getppid() == int(sys.argv[2]):
    for state in states:
        state.save(sys.argv[1])
"""


def test_readers_of_a_file_that_is_replaced(tmp_path: Path) -> None:
    file, states = tmp_path / "index", {n: index_of(n, n) for n in (2_000, 30_000)}
    states[2_000].save(file)
    query = np.arange(8, dtype=np.uint8)
    expected = {n: state.topk(query, 20) for n, state in states.items()}
    seen: set[tuple[int, bool]] = set()
    kept = []
    command = [sys.executable, "-c", WRITER, str(file), str(os.getpid())]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as writer:
        for _ in range(100_000):
            for mmap in False, True:
                index = hamming.Index.load(file, mmap=mmap, verify=True)
                seen.add((len(index), mmap))
                found = index.topk(query, 20)
                np.testing.assert_array_equal(found.indices, expected[len(index)].indices)
                np.testing.assert_array_equal(found.distances, expected[len(index)].distances)
                kept = [*kept[-20:], index]
            if len(seen) == 4 and len({id(one) for one in kept}) > 20:
                break
        writer.kill()
    assert len(seen) == 4  # both states, read and mapped
    for index in kept:  # their files are long gone
        np.testing.assert_array_equal(index.codes, states[len(index)].codes)
        np.testing.assert_array_equal(index.ids, states[len(index)].ids)


def test_one_saves_what_was_there_when_it_began(tmp_path: Path) -> None:
    """Threads go on adding and removing while another saves."""
    index = index_of(1_000)
    done = threading.Event()

    def change() -> None:
        number = 1_000
        while not done.is_set():
            index.add(np.full((2, 8), 255, np.uint8), ids=[number, number + 1])
            index.remove([number])
            number += 2

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(30):
        index.save(tmp_path / "index")
        ids = hamming.Index.load(tmp_path / "index").ids
        added = ids[1_000:]
        # All odd numbers so far, and maybe the even one before the last.
        odd = added[added % 2 == 1]
        np.testing.assert_array_equal(odd, np.arange(len(odd)) * 2 + 1_001)
        assert added[added % 2 == 0].tolist() in ([], [odd[-1] - 1] if len(odd) else [])
    done.set()
    thread.join()
