"""What runs in the process of a shard."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..index import Index
from ..io import MAX_HEADER
from .agreement import Span
from .local import Shards
from .search import Call


class ShardError(RuntimeError):
    """A shard that gave no answer; the message names it and its file."""


class Settings(NamedTuple):
    """What a process needs to know of its shard.

    Attributes:
        name: "shard 0 (path)", for messages.
        path: the file of the shard.
        device: "cpu" or "cuda", the GPU that Ray gives to the process.
        mmap: search the file in place.
        threads: CPU threads of a search that names none.
    """

    name: str
    path: str
    device: str
    mmap: bool
    threads: int


class Facts(NamedTuple):
    """What the caller must know of a shard.

    Attributes:
        fingerprint: of the file's header, which has the checksums of all that is in it.
        n_bits: of its codes.
        n_codes: how many.
        span: the least and the largest id.
        pid: the process.
    """

    fingerprint: str
    n_bits: int
    n_codes: int
    span: Span | None
    pid: int


class ShardActor:
    """Holds one shard's index and searches it; a restart begins with the file again.

    The file is read at the first call, not when the process starts: so what is wrong with it comes
    back as an answer. Errors are returned, not raised: Ray would send a traceback with them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: tuple[str, Shards] | None = None

    def facts(self) -> Facts | Exception:
        """What the file holds, or what is wrong with it."""
        try:
            fingerprint, shards = self._shards()
        except OSError as error:
            return ValueError(
                f"{self._settings.name}: expected a file that Index.save wrote, got "
                f"{error.strerror or error}; give the path of one that this machine can read"
            )
        except ValueError as error:
            return ValueError(str(error))
        return Facts(fingerprint, shards.n_bits, len(shards), shards.spans[0], os.getpid())

    def ids(self, fingerprint: str) -> np.ndarray | Exception:
        """`(n_codes,) int64`."""
        try:
            return self._same(fingerprint).ids
        except ShardError as error:
            return error

    def search(
        self, fingerprint: str, queries: np.ndarray, ids: np.ndarray | None, call: Call
    ) -> tuple[Any, ...] | Exception:
        """The answer to a call, as NumPy arrays.

        Args:
            fingerprint: what the shard must still have.
            queries: `(n_queries, n_bytes) uint8`, or `(n_queries, n_bits)` floats to re-score by.
            ids: the filter, if it is one of ids, or the candidates.
            call: what is asked.
        """
        if ids is not None:
            call = call._replace(filter=ids)
        if call.threads is None:
            call = call._replace(threads=self._settings.threads)
        try:
            return tuple(self._same(fingerprint)._ask(queries, {0: call})[0])
        except (ValueError, TypeError, ShardError) as error:
            kind = next(k for k in (ShardError, TypeError, ValueError) if isinstance(error, k))
            return kind(str(error))  # a plain one, without its traceback
        except MemoryError:
            return ShardError(
                f"{self._settings.name}: expected memory for a search, got none; ask for fewer "
                "queries at once or cut the shard"
            )

    def _same(self, fingerprint: str) -> Shards:
        """The shard, if its file is still what it was when the shards were opened."""
        name = self._settings.name
        try:
            found, shards = self._shards()
        except (ValueError, OSError) as error:
            raise ShardError(
                f"{name}: expected its file when its process started again, got none that can be "
                f"read ({_words(error)}); bring the file back"
            ) from None
        if found != fingerprint:
            self._held = None
            raise ShardError(
                f"{name}: expected the file that was there at first when its process started "
                "again, got another one; bring it back, or open the shards anew"
            )
        return shards

    def _shards(self) -> tuple[str, Shards]:
        if self._held is None:
            path = Path(self._settings.path)
            fingerprint = header_fingerprint(path)
            index = Index.load(path, mmap=self._settings.mmap).to(self._settings.device)
            if header_fingerprint(path) != fingerprint:
                raise ValueError(
                    f"{path}: expected a file that stays as it is, got one that was replaced "
                    "while it was read; try again"
                )
            self._held = fingerprint, Shards([index])
        return self._held


def header_fingerprint(path: Path) -> str:
    """SHA-256 of a file's safetensors header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return hashlib.sha256(file.read(min(length, MAX_HEADER))).hexdigest()


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
