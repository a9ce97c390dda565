"""Kill an indexing at any moment, many times over, and look at what it leaves: a plain program.

    python tests/distill/kill_index.py --kills 100

Between two kills pictures are added, changed, damaged and removed. Most kills come before an
operation on a file that is drawn at random, so that each of them is met however short it is, and
the others at a random time, while readers open the index. The encoder is a stub, so that most of
the time goes into commits. After each kill the index must be a state that was committed, its codes
must be those of its pictures, and every tenth time the next run must encode what was missing, no
more, and end in what an index built at once holds.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
from PIL import Image

import distill.index_writer as index_writer
from distill.index_folder import IndexFolder, is_index, read_index
from distill.index_format import About
from distill.index_plan import compare
from distill.index_update import update
from distill.item_files import Stamp, found_images, stamp_of

N_BITS = 64
ABOUT = About("run", "weights", "encoder", "image", "image", None, N_BITS)
STAGES = {
    "encode": "encoding",
    "codes-": "segment",
    "items-": "segment",
    "removed-": "lists",
    "skipped-": "lists",
    "index.json": "manifest",
    ".lock": "lock",
}


def code_of(image: Image.Image) -> np.ndarray:
    digest = hashlib.sha256(image.tobytes()).digest()
    return np.frombuffer(digest[: N_BITS // 8], np.uint8)


class Place:
    """Photos that change, an index of them, and what the killed process said before it died."""

    def __init__(self, root: Path, seed: int) -> None:
        self.photos, self.index, self.log = root / "photos", root / "index", root / "log"
        self.photos.mkdir()
        self.random = random.Random(seed)
        self.codes: dict[tuple[str, Stamp], np.ndarray] = {}  # of every picture there ever was
        self.n_photos = 0

    def put(self, file: Path) -> None:
        colour = tuple(self.random.randrange(256) for _ in range(3))
        image = Image.new("RGB", (5, 5), colour)
        image.putpixel((self.random.randrange(5), 0), (0, 0, 0))
        image.save(file, "PNG")
        if self.random.random() < 0.05:
            file.write_bytes(file.read_bytes()[:40])
        else:
            self.codes[str(file), stamp_of(file)] = code_of(image)

    def change(self) -> None:
        """Some new photos, some other ones, some less."""
        files = sorted(self.photos.iterdir())
        for file in self.random.sample(files, min(len(files), self.random.randrange(4))):
            self.put(file)
        n_gone = self.random.randrange(2 + len(files) // 6)
        for file in self.random.sample(files, min(len(files) // 2, n_gone)):
            file.unlink()
        for _ in range(self.random.randrange(8, 30)):
            self.put(self.photos / f"{self.n_photos:05d}.png")
            self.n_photos += 1

    def found(self) -> list:
        return found_images([self.photos])


def start(
    place: Place, index: Path, *, prune: bool, die_at: int | None = None, seconds: float = 0
) -> int:
    """Index in a process of its own; it kills itself before its operation `die_at` on a file."""
    place.log.write_bytes(b"")
    found = place.found()
    if pid := os.fork():
        return pid
    status = 1
    try:
        _index(place, index, found, prune, die_at, seconds)
        status = 0
    finally:
        os._exit(status)


def _index(
    place: Place, index: Path, found: list, prune: bool, die_at: int | None, seconds: float
) -> None:
    log = os.open(place.log, os.O_WRONLY | os.O_APPEND)
    replace, n_operations = index_writer.replace_manifest, 0

    def say(**words: object) -> None:
        os.write(log, json.dumps(words).encode() + b"\n")

    def audit(event: str, arguments: tuple) -> None:
        nonlocal n_operations
        if event not in ("open", "os.rename", "os.remove"):
            return
        path = arguments[1] if event == "os.rename" else arguments[0]
        if not isinstance(path, str | os.PathLike) or Path(path).parent != index:
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        n_operations += 1
        say(event=event, name=Path(path).name)
        if n_operations == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def replacing(path: Path, manifest: object) -> None:
        say(intent=manifest.to_json())
        replace(path, manifest)
        say(done=manifest.to_json())

    def encode(images: list) -> np.ndarray:
        say(event="encode", name="encode", n=len(images))
        time.sleep(0.001 * len(images))
        return np.stack([code_of(image) for image in images])

    index_writer.replace_manifest = replacing
    sys.addaudithook(audit)
    with (
        Path(os.devnull).open("w") as nowhere,  # where damaged pictures are named
        redirect_stderr(nowhere),
        index_writer.writing(index, ABOUT) as writer,
    ):
        update(
            writer, found, encode, bad_images="skip", prune=prune, commit_seconds=seconds, batch=4
        )


def check_state(place: Place, folder: IndexFolder) -> None:
    """The codes are those of the items' pictures, and everything is of one piece."""
    items, index = list(folder.items()), folder.index()
    ids = [item.id for item in items]
    assert ids == sorted(set(ids)) == index.ids.tolist()
    assert len(items) == folder.manifest.n_items
    assert len({item.path for item in items}) == len(items)
    expected = [place.codes[item.path, item.stamp] for item in items]
    assert np.array_equal(index.codes, np.reshape(expected, (-1, N_BITS // 8)))
    if items:
        item = place.random.choice(items)
        found = index.topk(folder.code(item.id), 1, threads=1)
        assert found.distances[0] == 0
        assert folder.item(int(found.indices[0])).path in {i.path for i in items}


def said(place: Place) -> list[dict]:
    lines = place.log.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def check_killed(place: Place, before: str | None) -> str:
    """What is there is the state before the run, or one that the run committed or was about to."""
    allowed, stage = {before}, "start"
    for words in said(place):
        if "intent" in words:
            allowed = {*(list(allowed) if len(allowed) == 1 else []), words["intent"]}
        elif "done" in words:
            allowed = {words["done"]}
        else:
            name = words["name"].lstrip(".") if words["name"] != ".lock" else words["name"]
            stage = next(stage for start, stage in STAGES.items() if name.startswith(start))
            if words["event"] == "os.remove" and not words["name"].startswith("."):
                stage = "cleanup"
    manifest = place.index / "index.json"
    assert (manifest.read_text() if manifest.exists() else None) in allowed
    if is_index(place.index):
        check_state(place, read_index(place.index))
    return stage


def go_on(place: Place) -> tuple[float, int]:
    """Let a run finish: it encodes what is missing, and leaves what an index built at once holds.

    Returns:
        Its seconds, and its number of operations on files.
    """
    missing = None
    if is_index(place.index):
        missing = len(compare(read_index(place.index), place.found(), retry=False).encode)
    begin = time.perf_counter()
    assert os.waitpid(start(place, place.index, prune=True), 0)[1] == 0
    seconds, words = time.perf_counter() - begin, said(place)
    operations = sum("event" in each and each["event"] != "encode" for each in words)
    encoded, folder = sum(each.get("n", 0) for each in words), read_index(place.index)
    check_state(place, folder)
    bad = sum(stamp is not None for stamp in folder.skipped.values())
    assert missing is None or missing - bad <= encoded <= missing
    at_once = place.index.with_name("at-once")
    assert os.waitpid(start(place, at_once, prune=True, seconds=60), 0)[1] == 0
    whole = read_index(at_once)
    assert codes_by_path(folder) == codes_by_path(whole)
    assert folder.skipped == whole.skipped
    shutil.rmtree(at_once)
    files = {file.name for file in place.index.iterdir()}
    assert files == folder.manifest.files() | {"index.json", ".lock"}
    return seconds, operations


def codes_by_path(folder: IndexFolder) -> dict[str, bytes]:
    index = folder.index()
    codes = (code.tobytes() for code in index.codes)
    return dict(zip((item.path for item in folder.items()), codes, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        place = Place(Path(root).resolve(), options.seed)
        stages, n_opened, n_finished, n_by_time = Counter(), 0, 0, 0
        seconds, operations = 0.3, 60
        while sum(stages.values()) < options.kills:
            place.change()
            manifest = place.index / "index.json"
            before = manifest.read_text() if manifest.exists() else None
            by_time = place.random.random() < 0.4
            die_at = None if by_time else place.random.randrange(2, max(20, operations))
            pid = start(place, place.index, prune=place.random.random() < 0.5, die_at=die_at)
            end = time.perf_counter() + place.random.uniform(0, 2 * seconds) if by_time else None
            while end is not None and time.perf_counter() < end:
                if is_index(place.index):
                    check_state(place, read_index(place.index))
                    n_opened += 1
                time.sleep(0.002)
            if by_time:
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            assert os.WIFSIGNALED(status) or status == 0
            if os.WIFSIGNALED(status):
                stages[check_killed(place, before)] += 1
                n_by_time += by_time
            if not before or sum(stages.values()) % 10 == 0:
                seconds, operations = go_on(place)
                n_finished += 1
        go_on(place)
    print(
        f"{options.kills} kills, {n_by_time} of them at a random time, each left a committed state;"
        f" {n_opened} more opened by readers meanwhile; {n_finished + 1} times what was missing was"
        f" encoded, and equal to an index built at once; killed in "
        + ", ".join(f"{stage} {n}" for stage, n in sorted(stages.items()))
    )


if __name__ == "__main__":
    main()
