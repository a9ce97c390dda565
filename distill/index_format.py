"""What stands in the files of an index directory: docs/index-directory.md.

    index.json                 the committed state: which run encodes, and the names of all the rest
    codes-NNNNNN.safetensors   a segment: codes and ids, as written by hamming.Index.save
    items-NNNNNN.jsonl         the items of the same rows, one JSON object a line
    removed-NNNNNN.npy         ids of rows of the segments that are no longer items
    skipped-NNNNNN.jsonl       pictures that could not be read
    .lock                      held by the one writer

Only index.json is ever replaced, as a whole. What it names is never changed, and removed only after
another index.json is in its place; no name comes again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from distill.item_files import Stamp
from distill.types import DistillError

MANIFEST, LOCK = "index.json", ".lock"
VERSION = 1
_NAMES = (
    r"index\.json|codes-\d{6,}\.safetensors|items-\d{6,}\.jsonl"
    r"|removed-\d{6,}\.npy|skipped-\d{6,}\.jsonl"
)
OWN_FILE = re.compile(rf"{_NAMES}|\.({_NAMES})\..+")
"""Names that a writer gives, and those of its temporary files."""


@dataclass(frozen=True)
class About:
    """What the codes are of.

    Attributes:
        run: absolute path of the run folder.
        weights: digest of the run's weights.
        encoder: what changes whenever the encoder's features would.
        modality: as which items are encoded.
        kind: "image" or "text", what is encoded.
        model: of a run that hashes images alone, the model; else None.
        n_bits: of a code.
    """

    run: str
    weights: str
    encoder: str
    modality: str
    kind: str
    model: str | None
    n_bits: int


class IndexItem(NamedTuple):
    """One item of an index.

    Attributes:
        id: its number, which no other item of the index has or will have.
        path: absolute name of its picture; empty where there is none.
        text: its words; empty where nothing is known.
        stamp: of the picture that was encoded; None of texts.
        source: number of the folder, manifest or list in `Manifest.sources`.
    """

    id: int
    path: str
    text: str
    stamp: Stamp | None
    source: int

    def key(self, kind: str) -> tuple[str, str]:
        """What makes it one item: its picture, and where words are encoded also its words."""
        return (self.path, self.text if kind == "text" else "")

    def line(self) -> bytes:
        """It as JSON, with the line's end."""
        entry: dict[str, Any] = {"id": self.id, "path": self.path, "text": self.text}
        entry["source"] = self.source
        if self.stamp is not None:
            entry |= self.stamp._asdict()
        return json.dumps(entry).encode() + b"\n"  # ASCII: any file name can be said


class SegmentFiles(NamedTuple):
    """A segment: its two files, its rows, and the size of the items' file in bytes."""

    codes: str
    items: str
    n: int
    size: int


@dataclass(frozen=True)
class Manifest:
    """What index.json says.

    Attributes:
        about: what the codes are of.
        sources: what the items come from, by number.
        segments: in the order of the rows.
        removed: name of the file of removed ids, if there is one.
        n_removed: how many they are.
        skipped: name of the file of skipped pictures, if there is one.
        next_id: of the next item.
        next_file: number of the next file.
    """

    about: About
    sources: tuple[str, ...] = ()
    segments: tuple[SegmentFiles, ...] = ()
    removed: str | None = None
    n_removed: int = 0
    skipped: str | None = None
    next_id: int = 0
    next_file: int = 1

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return sum(segment.n for segment in self.segments) - self.n_removed

    def files(self) -> set[str]:
        """The names of all files that it needs."""
        named = {name for segment in self.segments for name in (segment.codes, segment.items)}
        return named | {name for name in (self.removed, self.skipped) if name is not None}

    def to_json(self) -> str:
        """The content of index.json."""
        entry = asdict(self) | {"segments": [segment._asdict() for segment in self.segments]}
        return json.dumps({"format": "distill index", "version": VERSION, **entry}, indent=1) + "\n"


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """Read what index.json holds.

    Args:
        content: its bytes.
        path: the directory, for messages.

    Raises:
        DistillError: it is damaged, or of a later version.
    """
    with undamaged(path):
        entry = json.loads(content)
        if entry["version"] != VERSION:
            raise DistillError(
                f"index: expected version {VERSION} in {path}, got {entry['version']}; "
                "use the release that wrote it, or index anew"
            )
        return Manifest(
            About(**entry["about"]),
            tuple(entry["sources"]),
            tuple(SegmentFiles(**segment) for segment in entry["segments"]),
            *(entry[name] for name in ("removed", "n_removed", "skipped", "next_id", "next_file")),
        )


def parse_item(line: bytes) -> IndexItem:
    """Read a line as `IndexItem.line` writes it."""
    entry = json.loads(line)
    stamp = Stamp(entry["size"], entry["mtime_ns"]) if "size" in entry else None
    return IndexItem(entry["id"], entry["path"], entry["text"], stamp, entry["source"])


def skipped_lines(skipped: Mapping[str, Stamp | None]) -> bytes:
    """The content of a file of skipped pictures."""
    entries = ({"path": p, **(s._asdict() if s else {})} for p, s in skipped.items())
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def parse_skipped(content: bytes) -> dict[str, Stamp | None]:
    """Read what `skipped_lines` made."""
    entries = [json.loads(line) for line in content.splitlines()]
    return {e["path"]: Stamp(e["size"], e["mtime_ns"]) if "size" in e else None for e in entries}


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Say in one sentence that an index directory is not what was written."""
    try:
        yield
    except DistillError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise damaged(path) from error


def damaged(path: Path) -> DistillError:
    """What is said of a directory that is not as it was written."""
    return DistillError(
        f"index: expected {path} as it was written, got damaged or missing files; "
        "remove the directory and index anew"
    )
