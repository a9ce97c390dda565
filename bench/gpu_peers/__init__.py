"""How others search binary codes on a GPU, each in its best configuration.

`prepare(db, k)` of a peer takes a torch tensor `(n_codes, n_bytes) uint8` and returns a search:
`(n_queries, n_bytes) uint8` -> distances and indices, `(n_queries, k)`. Building is not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Search = Callable[[Any], tuple[Any, Any]]
Prepare = Callable[[Any, int], Search]


@dataclass(frozen=True)
class Peer:
    """One way to search.

    Attributes:
        prepare: raises CannotRunError.
        note: its configuration, in words.
        bytes_of: memory beside the codes, from `(n_codes, n_bits)`.
    """

    name: str
    prepare: Prepare
    note: str
    bytes_of: Callable[[int, int], int]


def peers() -> tuple[Peer, ...]:
    """All of them; what they need is imported when they are prepared."""
    from . import faiss_flat, matmul, triton_scan

    return (faiss_flat.PEER, matmul.HALVES, matmul.BYTES, triton_scan.PEER)
