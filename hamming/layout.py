"""What a code array is, and what a search returns.

A code array is C-contiguous `uint8 (n, n_bytes)` with `n_bytes = ceil(n_bits / 8)`: one row per
code, the first bit highest in the first byte (`numpy.packbits` order), padding bits zero.
Distances are `int32`, indices `int64`. Results are ordered by distance, then by smaller index, on
every backend.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

BitOrder = Literal["big", "little"]

MAX_BITS: Final = 2**24 - 8  # a candidate keeps its distance in 24 bits ...
MAX_CODES: Final = 2**40  # ... and its index in 40
MAX_DEVICE_K: Final = 2**20  # on a GPU; bounds the memory of one query
MAX_DEVICE_CANDIDATES: Final = 2**24  # of a query re-scored there; a sort key keeps their place
NO_INDEX: Final = -1
NO_DISTANCE: Final = 2**31 - 1


class TopK(NamedTuple):
    """The k nearest codes of each query.

    Attributes:
        distances: `(n_queries, k) int32`, ascending; 2**31 - 1 where there is no code.
        indices: `(n_queries, k) int64`; -1 where there is no code.
    """

    distances: Any
    indices: Any


class RadiusResult(NamedTuple):
    """All codes within a radius of each query, the rows one after the other.

    Attributes:
        offsets: `(n_queries + 1,) int64`; the hits of query q are `offsets[q]:offsets[q + 1]`.
        distances: `(offsets[-1],) int32`, ascending within a query.
        indices: `(offsets[-1],) int64`.
    """

    offsets: Any
    distances: Any
    indices: Any


class Rescored(NamedTuple):
    """The k best candidates of each query by inner product.

    Attributes:
        scores: `(n_queries, k) float32`, descending; -inf where there is no candidate.
        indices: `(n_queries, k) int64`; -1 where there is no candidate.
    """

    scores: Any
    indices: Any


def bytes_for(n_bits: int) -> int:
    """Bytes of one code of `n_bits` bits."""
    return (n_bits + 7) // 8
