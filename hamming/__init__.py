"""Exact Hamming search on packed binary codes.

`pack` turns values into codes; `topk` finds the nearest codes, `radius_search` all within a radius
and `distance` every distance; `rescore` re-ranks candidates with float queries. Every backend
returns the same bits, ordered by distance and then by smaller index.
"""

from .dispatch import backends, use_backend
from .distance import distance
from .index import Index
from .layout import RadiusResult, Rescored, TopK
from .merging import merge_topk
from .packing import pack, unpack
from .radius import radius_search
from .rescore import rescore
from .topk import topk
from .two_stage import TwoStageSearch

__all__ = [
    "Index",
    "RadiusResult",
    "Rescored",
    "TopK",
    "TwoStageSearch",
    "backends",
    "distance",
    "merge_topk",
    "pack",
    "radius_search",
    "rescore",
    "topk",
    "unpack",
    "use_backend",
]
