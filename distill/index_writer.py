"""The one writer of an index directory: a lock, commits that are whole, and old files put away."""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.files import write_array, write_text, write_whole
from distill.index_folder import (
    IndexFolder,
    Segment,
    is_index,
    open_segment,
    read_index,
    read_manifest,
)
from distill.index_format import (
    LOCK,
    MANIFEST,
    OWN_FILE,
    About,
    IndexItem,
    Manifest,
    SegmentFiles,
    skipped_lines,
)
from distill.item_files import Stamp
from distill.types import DistillError

MAX_DEAD = 0.25
"""Share of removed rows from which on everything is written anew."""


class Changes(NamedTuple):
    """What a commit does, all of it or nothing.

    Attributes:
        items: new ones; their ids are given here, in order.
        codes: (n, n_bytes) uint8, theirs.
        removed: ids of items that go.
        skipped: all pictures that are skipped from now on.
    """

    items: Sequence[IndexItem]
    codes: NDArray[np.uint8]
    removed: Collection[int]
    skipped: Mapping[str, Stamp | None]


class IndexWriter:
    """Commits to an index directory, of which it is the only writer; see `writing`.

    Attributes:
        state: what is committed.
        usable: False when a commit was interrupted, so that what is on disk may be one ahead of
            `state`: then nothing more can be committed.
    """

    def __init__(self, state: IndexFolder) -> None:
        self.state = state
        self.usable = True

    def source(self, name: str) -> int:
        """Number of a source, which the next commit writes down."""
        manifest = self.state.manifest
        if name not in manifest.sources:
            manifest = replace(manifest, sources=(*manifest.sources, name))
            self.state = replace(self.state, manifest=manifest)
        return manifest.sources.index(name)

    def commit(self, changes: Changes) -> None:
        """Make the changes the committed state, in one step.

        Segments that hold no more rows than are written are taken into the new one, so that their
        number grows with the logarithm of the items.

        Raises:
            OSError: it cannot be written; the state before stays the committed one.
        """
        self.usable = False
        path, old = self.state.path, self.state.manifest
        names = (f"{n:06d}" for n in count(old.next_file))
        removed = np.union1d(self.state.removed, np.array(list(changes.removed), np.int64))
        kept, taken = self._split(len(changes.items), len(removed))
        new, removed = self._write_segment(taken, changes, removed, next(names))
        manifest = replace(
            old,
            segments=old.segments[:kept] + new,
            removed=self._removed_file(removed, next(names)),
            n_removed=len(removed),
            skipped=self._skipped_file(changes.skipped, next(names)),
            next_id=old.next_id + len(changes.items),
            next_file=int(next(names)),
        )
        replace_manifest(path, manifest)
        segments = self.state.segments[:kept]
        segments += tuple(open_segment(path, files) for files in new)
        self.state = IndexFolder(path, manifest, segments, removed, dict(changes.skipped))
        clean(path, manifest)
        self.usable = True

    def _split(self, n_new: int, n_removed: int) -> tuple[int, Sequence[Segment]]:
        """How many segments stay, and the others, which are written anew."""
        segments = self.state.segments
        n_rows = sum(len(segment.ids) for segment in segments) + n_new
        if n_removed > MAX_DEAD * n_rows:
            return 0, segments
        kept, n = len(segments), n_new
        while kept and len(segments[kept - 1].ids) <= n:
            kept -= 1
            n += len(segments[kept].ids)
        return kept, segments[kept:]

    def _write_segment(
        self, taken: Sequence[Segment], changes: Changes, removed: NDArray[np.int64], name: str
    ) -> tuple[tuple[SegmentFiles, ...], NDArray[np.int64]]:
        """The new segment, or none without rows; and the removed ids that others still hold."""
        path, next_id = self.state.path, self.state.manifest.next_id
        live = [np.isin(segment.ids, removed, invert=True) for segment in taken]
        dropped = [segment.ids[~mask] for segment, mask in zip(taken, live, strict=True)]
        ids = [segment.ids[mask] for segment, mask in zip(taken, live, strict=True)]
        ids.append(np.arange(next_id, next_id + len(changes.items), dtype=np.int64))
        left = np.setdiff1d(removed, np.concatenate(dropped)) if dropped else removed
        all_ids = np.concatenate(ids)
        if not len(all_ids):
            return (), left
        codes = [segment.index.codes[mask] for segment, mask in zip(taken, live, strict=True)]
        rows = np.concatenate([*codes, changes.codes])
        index = hamming.Index.from_codes(rows, self.state.manifest.about.n_bits, ids=all_ids)
        files = SegmentFiles(f"codes-{name}.safetensors", f"items-{name}.jsonl", len(all_ids), 0)
        index.save(path / files.codes)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                for segment, mask in zip(taken, live, strict=True):
                    file.writelines(_lines(segment, mask))
                for item_id, item in enumerate(changes.items, start=next_id):
                    file.write(item._replace(id=item_id).line())

        write_whole(path / files.items, write)
        return (files._replace(size=(path / files.items).stat().st_size),), left

    def _removed_file(self, removed: NDArray[np.int64], name: str) -> str | None:
        if np.array_equal(removed, self.state.removed):
            return self.state.manifest.removed
        if not len(removed):
            return None
        write_array(self.state.path / f"removed-{name}.npy", removed)
        return f"removed-{name}.npy"

    def _skipped_file(self, skipped: Mapping[str, Stamp | None], name: str) -> str | None:
        if skipped == self.state.skipped:
            return self.state.manifest.skipped
        if not skipped:
            return None
        content = skipped_lines(skipped)
        write_whole(self.state.path / f"skipped-{name}.jsonl", lambda t: t.write_bytes(content))
        return f"skipped-{name}.jsonl"


@contextmanager
def writing(path: Path, about: About) -> Iterator[IndexWriter]:
    """Be the writer of an index directory, which is made where there is none.

    What a killed writer left behind is removed.

    Args:
        path: the directory.
        about: what is to be encoded; the run may have moved.

    Raises:
        DistillError: another writer is at work, the directory holds something else, or an index of
            other codes.
        OSError: it cannot be written.
    """
    _check_free(path)
    path.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if is_index(path):
            state = read_index(path)
            check_same(state.manifest.about, about, path)
            manifest = replace(state.manifest, about=about)
            if manifest != state.manifest:
                replace_manifest(path, manifest)
        else:
            manifest = Manifest(about)
            replace_manifest(path, manifest)
            state = IndexFolder(path, manifest, (), np.empty(0, np.int64), {})
        clean(path, manifest)
        try:
            yield IndexWriter(replace(state, manifest=manifest))
        finally:
            clean(path, read_manifest(path))


def check_same(there: About, about: About, path: Path) -> None:
    """Refuse to mix codes.

    Args:
        there: of the index.
        about: of the run that is to encode.
        path: of the index, for messages.

    Raises:
        DistillError: they are of different encoders.
    """
    names = [about.model or about.modality, there.model or there.modality]
    if there.weights == about.weights and names[0] != names[1]:
        raise DistillError(
            f"out: expected an index of codes by {names[0]}, got {path}, whose codes are by "
            f"{names[1]}; choose another --out"
        )
    if replace(there, run=about.run) != about:
        raise DistillError(
            f"out: expected an index made by the run {about.run}, got {path}, made by the run "
            f"{there.run} or before it was trained anew; choose another --out"
        )


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """The step that commits."""
    write_text(path / MANIFEST, manifest.to_json())


def clean(path: Path, manifest: Manifest) -> None:
    """Remove what the manifest does not name, of the names that a writer gives."""
    needed = {MANIFEST, *manifest.files()}
    for file in sorted(path.iterdir()):
        if file.name not in needed and OWN_FILE.fullmatch(file.name):
            file.unlink()


def _check_free(path: Path) -> None:
    """Refuse a folder of something else."""
    if not path.exists() or is_index(path):
        return
    names = sorted(file.name for file in path.iterdir())
    others = [name for name in names if name != LOCK and not OWN_FILE.fullmatch(name)]
    if others:
        raise DistillError(
            f"out: expected an index directory or a new one, got {path}, which holds {others[0]}; "
            "choose another --out"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock, which the system takes back from a process that ends in any way."""
    with (path / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise DistillError(
                f"out: expected {path} without another writer, got one at work, process "
                f"{file.read().strip() or 'unknown'}; wait until it has finished"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _lines(segment: Segment, live: NDArray[np.bool_]) -> Iterator[bytes | memoryview]:
    """The lines of the rows that are left, as they lie there."""
    if live.all():
        yield segment.lines.data
        return
    for row in np.flatnonzero(live):
        yield segment.line(int(row))
