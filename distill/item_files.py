"""The pictures and texts that a command is given: folders, files, a manifest, or lines of text."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from distill.data import manifest
from distill.data.base import Item
from distill.data.imagefolder import EXTENSIONS
from distill.data.text import is_unicode
from distill.types import DistillError
from distill.words import shortened

Kind = Literal["image", "text"]
"""What is encoded: the picture of an item, or its words."""


class Stamp(NamedTuple):
    """What tells that a file has changed: size in bytes, time of its last change in ns."""

    size: int
    mtime_ns: int


class Found(NamedTuple):
    """One item that is there to be encoded.

    Attributes:
        path: absolute name of its picture; empty where it has none.
        text: its words; None where nothing is said about them.
        stamp: of a picture that is to be encoded; None of one that is missing, and of texts.
        source: absolute name of the folder, manifest or list that it comes from; empty for a
            picture given by name.
    """

    path: str
    text: str | None
    stamp: Stamp | None
    source: str


def image_files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are given, and the image files of folders in alphabetical order.

    What is hidden in a folder is passed over; linked folders in it, and those that cannot be read,
    are named on stderr.

    Raises:
        DistillError: a folder without any.
    """
    return [file for _, files in _files_of(tuple(paths)) for file in files]


def text_lines(file: Path) -> list[str]:
    """One text a line, none of them blank.

    Raises:
        DistillError: the file is not that.
        OSError: it cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DistillError(f"texts: expected UTF-8 in {file}, got {error.reason}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DistillError(f"texts: expected a text in line {number} of {file}, got a blank")
    return lines


def found_images(paths: Sequence[Path], *, whole: bool = False) -> list[Found]:
    """The pictures of folders and files, each once.

    Args:
        paths: folders and files.
        whole: refuse folders of which a part cannot be read, because what is not found is gone.

    Raises:
        DistillError: a path that is not there, or a folder without pictures.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise DistillError(
                f"images: expected an image file or a folder, got {path}, which is not there; "
                "check the path"
            )
    for path, files in _files_of(paths, whole=whole):
        folder = path.resolve() if path.is_dir() else path.parent.resolve()
        source = str(folder) if path.is_dir() else ""
        for file in files:
            name = folder / file.relative_to(path if source else path.parent)
            found.append(Found(str(name), None, stamp_of(name), source))
    return found


def found_texts(file: Path) -> list[Found]:
    """The lines of a file; see `text_lines`."""
    source = str(file.resolve())
    return [Found("", line, None, source) for line in text_lines(file)]


def found_in_manifest(file: Path, modality: str, kind: Kind) -> list[Found]:
    """What the lines of a manifest have of a modality; lines that lack it are passed over.

    Args:
        file: see `distill.data.manifest`; labels, and keys that an item lacks, may be left out.
        modality: image, text or a further one.
        kind: what its items are.

    Raises:
        DistillError: the file is no manifest, or no line has the modality.
        OSError: it cannot be read.
    """
    source = file.resolve()
    found = []
    for item in manifest.parse(file.read_bytes(), where=str(file), complete=False):
        value = _value(item, modality)
        if not value or not value.strip():
            continue
        picture = value if kind == "image" else item.image
        path = os.path.normpath(source.parent / picture) if picture else ""
        text = value if kind == "text" else item.text or ""
        stamp = stamp_of(Path(path)) if kind == "image" else None
        found.append(Found(path, text, stamp, str(source)))
    if not found:
        raise DistillError(f"manifest: expected lines with {modality} in {file}, got none of them")
    return found


def stamp_of(file: Path | int) -> Stamp | None:
    """The stamp of a file, or of an open one; None where there is none that can be read."""
    try:
        status = os.fstat(file) if isinstance(file, int) else file.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def _value(item: Item, modality: str) -> str | None:
    if modality in ("image", "text"):
        return item.image if modality == "image" else item.text
    given = item.others.get(modality)
    return None if given is None else given.value


class _Folder(NamedTuple):
    """Image files in a folder, and the folders in it that were not entered."""

    images: list[Path]
    linked: list[Path]
    unreadable: list[Path]


def _files_of(paths: Sequence[Path], *, whole: bool = False) -> list[tuple[Path, list[Path]]]:
    """Each path with its files; see `image_files` and `found_images`."""
    files: list[tuple[Path, list[Path]]] = []
    linked: list[str] = []
    unreadable: list[str] = []
    given = {path.resolve() for path in paths}
    for path in paths:
        if not path.is_dir():
            files.append((path, [path]))
            continue
        folder = _looked_into(path)
        if not folder.images:
            links = f" but linked folders; give {folder.linked[0]} itself" if folder.linked else ""
            raise DistillError(f"images: expected image files in {path}, got none{links}")
        files.append((path, folder.images))
        linked += [str(link) for link in folder.linked if link.resolve() not in given]
        unreadable += map(str, folder.unreadable)
    if linked:
        print(f"linked, not followed: {shortened(linked)}; give them themselves", file=sys.stderr)
    if unreadable and whole:
        raise DistillError(
            f"prune: expected folders that can all be read, got {shortened(unreadable)}, which "
            "cannot; make it readable, or leave --prune out"
        )
    if unreadable:
        print(f"folders that cannot be read: {shortened(unreadable)}", file=sys.stderr)
    return files


def _looked_into(folder: Path) -> _Folder:
    found = _Folder([], [], [])
    walk = os.walk(folder, onerror=lambda error: found.unreadable.append(Path(error.filename)))
    for place, folders, names in walk:
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = [Path(place, name) for name in folders]
        found.linked.extend(path for path in below if path.is_symlink())
        images = [Path(place, name) for name in names if _is_image_name(name)]
        found.images.extend(file for file in images if file.is_file())
    return _Folder(*map(sorted, found))


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")


def check_unicode(files: Iterable[Path]) -> None:
    """Refuse names that cannot stand in a list, one a line.

    Raises:
        DistillError: naming the first.
    """
    for file in files:
        if not is_unicode(str(file)) or "\n" in str(file):
            raise DistillError(
                f"images: expected file names in UTF-8 without line breaks, got {str(file)!a}; "
                "rename it"
            )
