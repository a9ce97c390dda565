"""An index directory as it is read: a committed state, whatever a writer does meanwhile."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.index_format import (
    MANIFEST,
    IndexItem,
    Manifest,
    SegmentFiles,
    damaged,
    parse_item,
    parse_manifest,
    parse_skipped,
    undamaged,
)
from distill.item_files import Stamp
from distill.types import DistillError

PIECE = 1 << 24


@dataclass(frozen=True, eq=False)
class Segment:
    """An open segment, memory-mapped: it stays what it is when its files are removed.

    Attributes:
        index: codes and ids of all its rows, removed ones too.
        ids: (n,) int64, ascending.
        lines: the bytes of the items' file.
        starts: (n + 1,) int64, where the line of each row begins.
    """

    index: hamming.Index
    ids: NDArray[np.int64]
    lines: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def line(self, row: int) -> bytes:
        """The line of a row."""
        return self.lines[self.starts[row] : self.starts[row + 1]].tobytes()


@dataclass(frozen=True, eq=False)
class IndexFolder:
    """A committed state of an index directory, which later commits do not touch.

    Attributes:
        path: the directory.
        manifest: what index.json said.
        segments: all rows.
        removed: (n,) int64, ascending, ids of the rows that are no items.
        skipped: picture -> stamp, of those that could not be read.
    """

    path: Path
    manifest: Manifest
    segments: tuple[Segment, ...]
    removed: NDArray[np.int64]
    skipped: Mapping[str, Stamp | None]

    def index(self) -> hamming.Index:
        """The codes of all items, memory-mapped, with the items' ids."""
        parts = [segment.index for segment in self.segments]
        joined = hamming.Index.concat(parts or [hamming.Index(self.manifest.about.n_bits)])
        if len(self.removed):
            joined.remove(self.removed)
        return joined

    def item(self, item_id: int) -> IndexItem:
        """An item by its id.

        Raises:
            KeyError: there is no such item.
        """
        segment, row = self._row(item_id)
        with undamaged(self.path):
            return parse_item(segment.line(row))

    def code(self, item_id: int) -> NDArray[np.uint8]:
        """The packed code (n_bytes,) of an item.

        Raises:
            KeyError: there is no such item.
        """
        segment, row = self._row(item_id)
        code: NDArray[np.uint8] = segment.index.codes[row]
        return code

    def items(self) -> Iterator[IndexItem]:
        """All items, in the order of the rows."""
        for segment in self.segments:
            live = np.isin(segment.ids, self.removed, invert=True, assume_unique=True)
            for row in np.flatnonzero(live).tolist():
                with undamaged(self.path):
                    item = parse_item(segment.line(row))
                yield item

    def _row(self, item_id: int) -> tuple[Segment, int]:
        place = int(np.searchsorted(self.removed, item_id))
        if place == len(self.removed) or self.removed[place] != item_id:
            for segment in self.segments:
                row = int(np.searchsorted(segment.ids, item_id))
                if row < len(segment.ids) and segment.ids[row] == item_id:
                    return segment, row
        raise KeyError(item_id)


def is_index(path: Path) -> bool:
    """Whether there is an index directory, rather than a run folder."""
    return (path / MANIFEST).is_file()


def read_index(path: Path) -> IndexFolder:
    """Open the committed state of an index directory, whatever a writer does meanwhile.

    Raises:
        DistillError: there is no index, or it is damaged.
    """
    manifest = read_manifest(path)
    while True:
        try:
            return _opened(path, manifest)
        except FileNotFoundError as error:
            # A commit may have come between: then another manifest is there, with other files.
            newer = read_manifest(path)
            if newer == manifest:
                raise damaged(path) from error
            manifest = newer


def read_manifest(path: Path) -> Manifest:
    """Read index.json.

    Raises:
        DistillError: there is none, or it is damaged, or of a later version.
    """
    try:
        content = (path / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DistillError(
            f"index: expected an index directory with {MANIFEST}, got {path}; "
            "make one with python -m distill.index"
        ) from error
    return parse_manifest(content, path)


def _opened(path: Path, manifest: Manifest) -> IndexFolder:
    removed = np.empty(0, np.int64)
    skipped: Mapping[str, Stamp | None] = {}
    with undamaged(path):
        segments = tuple(open_segment(path, files) for files in manifest.segments)
        if manifest.removed is not None:
            removed = np.load(path / manifest.removed)
        if manifest.skipped is not None:
            skipped = parse_skipped((path / manifest.skipped).read_bytes())
    return IndexFolder(path, manifest, segments, removed, skipped)


def open_segment(path: Path, files: SegmentFiles) -> Segment:
    """Map a segment.

    Raises:
        ValueError: its files are not of one piece.
        FileNotFoundError: one of them is gone.
    """
    index = hamming.Index.load(path / files.codes, mmap=True)
    lines = np.asarray(np.memmap(path / files.items, np.uint8, "r"))
    ends = _line_ends(lines)
    if not len(index) == len(ends) == files.n or len(lines) != files.size:
        raise ValueError("files that do not belong together")
    return Segment(index, index.ids, lines, np.concatenate([[0], ends]))


def _line_ends(lines: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where lines end, found in pieces, for the file may be large."""
    found = [
        np.flatnonzero(lines[begin : begin + PIECE] == ord("\n")) + begin + 1
        for begin in range(0, len(lines), PIECE)
    ]
    return np.concatenate(found).astype(np.int64)
