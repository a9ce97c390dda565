"""faiss.GpuIndexBinaryFlat, which takes and returns host memory."""

from __future__ import annotations

import importlib.util
from typing import Any

from bench.rivals import CannotRunError

from . import Peer, Search

_MOST_K = 2048


def prepare(db: Any, k: int) -> Search:
    if importlib.util.find_spec("faiss") is None:
        raise CannotRunError("faiss is not installed")
    try:
        import faiss
    except Exception as error:  # whatever a library that does not load raises
        raise CannotRunError(f"faiss does not load ({error})") from None
    if not hasattr(faiss, "StandardGpuResources"):
        raise CannotRunError(f"faiss {faiss.__version__} has no GPU code")
    if not db.is_cuda:
        raise CannotRunError("no GPU")
    if k > _MOST_K:
        raise CannotRunError(f"its k is at most {_MOST_K}")
    resources = faiss.StandardGpuResources()
    index = faiss.GpuIndexBinaryFlat(resources, 8 * db.shape[1])
    index.add(db.cpu().numpy())
    kept: dict[str, Any] = {}  # host copies of the batches, which are not timed

    def search(queries: Any) -> tuple[Any, Any]:
        if kept.get("of") is not queries:
            kept.update(of=queries, host=queries.cpu().numpy(), resources=resources)
        return index.search(kept["host"], k)

    return search


PEER = Peer(
    "faiss",
    prepare,
    "GpuIndexBinaryFlat, queries and results in host memory",
    lambda n_codes, n_bits: n_codes * n_bits // 8 + 2**31,
)
