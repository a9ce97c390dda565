"""Files: whole or not at all, and the frame of safetensors around an index.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: tensor
name -> dtype, shape and place, and `__metadata__`, strings), and the tensors' bytes without holes.
https://github.com/huggingface/safetensors has the format; its own writer takes whole tensors in
memory, which an index need not fit twice.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

DTYPES: Final[dict[str, np.dtype[Any]]] = {"I64": np.dtype("<i8"), "U8": np.dtype("u1")}
ALIGNMENT: Final = 64  # of the first tensor's bytes: a cache line
MAX_HEADER: Final = 1 << 20  # our headers have a few hundred bytes
CHUNK: Final = 1 << 24  # bytes read, hashed or written at once
LEFTOVER: Final = ".partial"  # how the names of files end that are being written


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a failure leaves the old one, or nothing, and never a part.

    A writer that was killed leaves its temporary file, `.NAME.????????.partial`, which the next one
    for the same path removes.

    Args:
        path: the file to create or replace; its folder is made when missing. Of a link the file it
            leads to is replaced, which keeps its permissions.
        write: writes the whole content to the path it is given, a temporary name beside `path`.

    Raises:
        OSError: whatever `write` met, naming `path`; the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        target = Path(os.path.realpath(path))  # a link stays one
        mode = _mode(target)
        _remove_leftovers(target)
        with _temporary(target) as temporary:
            write(temporary)
            with temporary.open("rb+") as file:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _mode(path: Path) -> int | None:
    """The permissions of a file that is to be replaced; a pipe or device is not."""
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "Not a regular file")
    return stat.S_IMODE(found)


def _begin(path: Path) -> str:
    """How the names of temporary files for `path` begin; file systems allow 255 bytes."""
    rest = len("..") + 8 + len(LEFTOVER)
    return f".{os.fsdecode(os.fsencode(path.name)[: 255 - rest])}."


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new file beside `path`, locked as long as its writer lives, and gone afterwards."""
    while True:
        name = path.with_name(f"{_begin(path)}{secrets.token_hex(4)}{LEFTOVER}")
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _lock(handle)
            if os.fstat(handle).st_nlink:  # else another writer took it for a leftover
                yield name
                return
        finally:
            name.unlink(missing_ok=True)
            os.close(handle)


def _lock(handle: int, flags: int = 0) -> bool:
    """Whether this process has the file to itself; without locks none knows."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
    except OSError:
        return False
    return True


def _remove_leftovers(path: Path) -> None:
    """What killed writers of `path` have left; a lock goes with the process that holds it."""
    begin = _begin(path)
    size = len(begin) + 8 + len(LEFTOVER)
    for file in path.parent.iterdir():
        if file.name.startswith(begin) and file.suffix == LEFTOVER and len(file.name) == size:
            with suppress(OSError):  # gone meanwhile, or not ours to remove
                handle = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    if _lock(handle, fcntl.LOCK_NB):
                        file.unlink()
                finally:
                    os.close(handle)


def _sync_folder(folder: Path) -> None:
    """The new name itself is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Column(NamedTuple):
    """A tensor to be written: its rows come in chunks, so that it need not exist as a whole."""

    dtype: str  # a key of DTYPES
    shape: tuple[int, ...]
    chunks: Iterable[np.ndarray]


def write_tensors(
    file: BinaryIO,
    columns: Mapping[str, Column],
    metadata: Callable[[Mapping[str, str]], Mapping[str, str]],
) -> None:
    """Writes a safetensors file in one pass over its tensors.

    Args:
        file: open for writing, at its start.
        columns: name -> tensor, larger items first, which keeps all of them aligned.
        metadata: SHA-256 digests by name of tensor -> the metadata. Called before the tensors are
            written, with digests of the right length, and again after.
    """
    table, at = {}, 0
    for name, column in columns.items():
        size = int(np.prod(column.shape, dtype=np.int64)) * DTYPES[column.dtype].itemsize
        table[name] = _entry(column.dtype, column.shape, at, at + size)
        at += size
    unknown = dict.fromkeys(columns, "0" * hashlib.sha256().digest_size * 2)
    room = len(_header(table, metadata(unknown)))
    room += -(8 + room) % ALIGNMENT
    file.write(bytes(8 + room))
    digests = {}
    for name, column in columns.items():
        digest = hashlib.sha256()
        for chunk in column.chunks:
            row_bytes = np.ascontiguousarray(chunk, DTYPES[column.dtype]).reshape(-1).view(np.uint8)
            digest.update(row_bytes.data)
            file.write(row_bytes.data)
        digests[name] = digest.hexdigest()
    if file.tell() != 8 + room + at:
        raise RuntimeError(f"{file.tell()} bytes written where {8 + room + at} were announced")
    header = _header(table, metadata(digests))
    file.seek(0)
    file.write(room.to_bytes(8, "little"))
    file.write(header.ljust(room))


def _entry(dtype: str, shape: tuple[int, ...], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def _header(table: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    signed = {**metadata, "sha256.header": header_digest(table, metadata)}
    return json.dumps({"__metadata__": signed, **table}, separators=(",", ":")).encode()


def header_digest(table: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """What `sha256.header` of the metadata is: the digest of everything else in the header."""
    rest = {name: value for name, value in metadata.items() if name != "sha256.header"}
    text = json.dumps([rest, table], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Tensors(NamedTuple):
    """An open file's header, whose form and sizes are checked.

    Attributes:
        file: still open: a name may stand for another file by now.
        metadata: all of it.
        table: name -> dtype, shape and data_offsets, as in the file.
        start: where the tensors' bytes begin in the file.
    """

    file: BinaryIO
    metadata: dict[str, str]
    table: dict[str, dict[str, Any]]
    start: int

    def read(self, name: str, *, mmap: bool) -> np.ndarray:
        """The tensor, in memory or as a read-only view of the file.

        Raises:
            NotSafetensorsError: the file was cut off since its header was read.
        """
        entry = self.table[name]
        dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
        offset = self.start + entry["data_offsets"][0]
        if 0 in shape:
            return np.empty(shape, dtype)
        try:
            if mmap:
                # As a plain array: searches are not slowed down by memmap's bookkeeping.
                return np.asarray(np.memmap(self.file, dtype, "r", offset, shape))
            self.file.seek(offset)
            array: np.ndarray = np.fromfile(self.file, dtype, int(np.prod(shape)))
            return array.reshape(shape)
        except ValueError:
            raise NotSafetensorsError("a file that was cut off while it was read") from None


def digest(array: np.ndarray) -> str:
    """The SHA-256 of an array's bytes, read in pieces."""
    found = hashlib.sha256()
    flat = array.reshape(-1).view(np.uint8)
    for begin in range(0, len(flat), CHUNK):
        found.update(flat[begin : begin + CHUNK].data)
    return found.hexdigest()


class NotSafetensorsError(ValueError):
    """The bytes are no safetensors file; the message says in a few words why."""


def read_header(file: BinaryIO) -> Tensors:
    """The header of a safetensors file, and that the file has exactly the bytes it announces.

    Raises:
        NotSafetensorsError: it is none, or a torn one.
        OSError: it cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
        raise NotSafetensorsError(f"{size} bytes without a safetensors header")
    text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_distinct)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError
        ends = [_checked_end(entry) for entry in header.values()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotSafetensorsError("a header that is no safetensors header") from None
    begins = [entry["data_offsets"][0] for entry in header.values()]
    if sorted(begins) != sorted([0, *ends])[: len(begins)]:
        raise NotSafetensorsError("tensors that overlap or leave holes")
    announced = 8 + length + max(ends, default=0)
    if size != announced:
        raise NotSafetensorsError(f"{size} bytes where its header announces {announced}")
    return Tensors(file, metadata, header, 8 + length)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which every reader sees the same: no key comes twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _checked_end(entry: dict[str, Any]) -> int:
    """Where a tensor ends, if its dtype and shape agree with its place."""
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    numbers = [begin, end, *shape]
    if not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise ValueError
    if entry["dtype"] in DTYPES:
        count = 1
        for n in shape:
            count *= n
        if count * DTYPES[entry["dtype"]].itemsize != end - begin:
            raise ValueError
    elif end < begin:
        raise ValueError
    return int(end)
