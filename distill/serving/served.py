"""Queries in, hits out: what a server does with a request, whatever brought it."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import hamming
from distill.checkpoint import load_run
from distill.index_folder import is_index
from distill.queries import checked_k
from distill.serving.state import Opened, State, open_index, open_run
from distill.types import DistillError


@dataclass(frozen=True)
class Hit:
    """An item that was found.

    Attributes:
        rank: 1 for the nearest.
        id: of the item; in a run its row.
        distance: Hamming distance to the query.
        text: its words; empty where none are known.
        path: the name of its picture; empty where it has none.
    """

    rank: int
    id: int
    distance: int
    text: str
    path: str


class Served:
    """Encodes queries and searches the newest state; any number of threads may share it.

    Args:
        path: of an index directory or a run, for people.
        opened: what lies there.
        device: where is searched.

    Attributes:
        state: what is searched now; a request takes it once.
        problem: why the last refresh failed, if it did.
        encodes: the queries that are encoded: text, image, both or none.
        encoding: the thread in which that is to be done.
        about: what does not change, for people.
    """

    def __init__(self, path: Path, opened: Opened, device: str) -> None:
        self.state = opened.state
        self.problem: str | None = None
        self._path, self._queries, self._device = path, opened.queries, device
        self._newer = opened.newer
        # One thread: pictures are large, and each thread that encodes has a team of its own.
        self.encoding = ThreadPoolExecutor(1, "encoding")
        self.encodes = [kind for kind in ("text", "image") if self._can_encode(kind)]
        config = load_run(opened.run).config
        self.about = {
            "path": str(path).encode(errors="replace").decode(),
            "modality": opened.modality,
            "method": config.method,
            "backbone": config.encoder_names,
        }

    def refresh(self) -> None:
        """Go over to the state that is committed now; where that fails, say why and go on.

        One thread at a time may call it.
        """
        problem = None
        try:
            self.state = self._newer() or self.state
        except Exception as error:  # whatever it is, what is open can still be searched
            problem = " ".join(str(error).split()) or type(error).__name__
            if problem != self.problem:
                print(f"not refreshed: {problem}", file=sys.stderr, flush=True)
        self.problem = problem

    def warm_up(self) -> None:
        """Load the encoder, so that what it lacks is said before anything is served.

        Raises:
            DistillError: its weights are not there.
        """
        if "text" in self.encodes:
            self.encoding.submit(self.text_codes, ["warm"], "text").result()
        if "image" in self.encodes:
            picture = Image.new("RGB", (32, 32))
            self.encoding.submit(self.image_codes, lambda: picture, "image").result()

    def text_codes(self, texts: Sequence[str], modality: str) -> Tensor:
        """Packed codes (n, n_bytes) of texts by the head of a modality.

        Raises:
            DistillError: one of them is no text, or the run encodes none as this modality.
        """
        for text in texts:
            self._queries.check_text(text, modality)
        return self._packed(self._queries.encoder.encode_texts(texts), modality)

    def image_codes(self, image: Callable[[], Image.Image], modality: str) -> Tensor:
        """Packed code (1, n_bytes) of a picture, which is decoded here.

        Raises:
            DistillError: it is no picture, or the run encodes none as this modality.
        """
        self._queries.check_image(modality)
        return self._packed(self._queries.image(image()), modality)

    def hex_codes(self, codes: Sequence[str]) -> Tensor:
        """Packed codes (n, n_bytes) that are given in hexadecimal digits.

        Raises:
            DistillError: one of them is none.
        """
        n_bits = self.state.index.n_bits
        n_bytes = -(-n_bits // 8)
        rows = []
        for i, code in enumerate(codes):
            try:
                row = bytes.fromhex(code)
            except ValueError:
                row = b""
            if len(row) != n_bytes:
                raise DistillError(
                    f"codes.{i}: expected {2 * n_bytes} hex digits of {n_bits} bits, got "
                    f"{code!a:.60}; pack it as hamming.pack does"
                )
            rows.append(row)
        return self.on_device(np.frombuffer(b"".join(rows), np.uint8).reshape(-1, n_bytes))

    def on_device(self, codes: NDArray[np.uint8]) -> Tensor:
        """A copy of codes where they are searched."""
        return torch.tensor(codes, device=self._device)

    def check_k(self, state: State, k: int | None) -> int:
        """How many hits are asked for; see `checked_k`.

        Raises:
            DistillError: there are not so many items, or none at all.
        """
        if not len(state.index):
            raise DistillError(
                f"index: expected items in {self._path}, got none; add some with "
                "python -m distill.index"
            )
        return checked_k(k, len(state.index))

    def search(
        self, state: State, codes: Tensor, k: int, filter: Sequence[int] | None = None
    ) -> list[list[Hit]]:
        """The k nearest items of each code, or as many as the ids of a filter leave.

        Raises:
            DistillError: an argument cannot be searched with.
        """
        ids = None if filter is None else np.array(filter, np.int64)
        try:
            found = state.index.topk(codes, k, filter=ids)
        except (ValueError, TypeError) as error:
            raise DistillError(" ".join(str(error).split())) from error
        lists = zip(found.indices.tolist(), found.distances.tolist(), strict=True)
        return [_hits(state, *pair) for pair in lists]

    def _packed(self, features: Tensor, modality: str) -> Tensor:
        packed: Tensor = hamming.pack(self._queries.encode(modality)(features), check_finite=False)
        return packed

    def _can_encode(self, kind: str) -> bool:
        try:
            if kind == "text":
                self._queries.check_text("words", kind)
            else:
                self._queries.check_image(kind)
        except DistillError:
            return False
        return True


def open_served(path: Path, *, against: str | None = None, device: str = "cpu") -> Served:
    """Open an index directory or a run.

    Args:
        path: of either.
        against: of a run the modality that is searched, None being image; of an index its own.
        device: "cpu", or "cuda" for encoding and searching on a GPU.

    Raises:
        DistillError: what is needed is missing, damaged or does not fit.
    """
    opened = (open_index if is_index(path) else open_run)(path, against, device)
    return Served(path, opened, device)


def _hits(state: State, ids: Sequence[int], distances: Sequence[int]) -> list[Hit]:
    hits = []
    for item_id, distance in zip(ids, distances, strict=True):
        if item_id >= 0:  # a filter may leave fewer than k
            item = state.item(item_id)
            hits.append(Hit(len(hits) + 1, item_id, distance, item.text, item.path))
    return hits
