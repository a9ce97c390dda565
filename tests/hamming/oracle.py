"""What the answers should be, in plain NumPy; imports nothing of the project."""

from __future__ import annotations

import numpy as np


def distances(queries: np.ndarray, db: np.ndarray) -> np.ndarray:
    bits = np.unpackbits(queries, axis=1).astype(np.int64)
    db_bits = np.unpackbits(db, axis=1).astype(np.int64)
    # |x| + |y| - 2 x.y, which shares no operation with an xor and a popcount.
    dots = np.rint(bits.astype(np.float64) @ db_bits.T.astype(np.float64)).astype(np.int64)
    return (bits.sum(1)[:, None] + db_bits.sum(1)[None, :] - 2 * dots).astype(np.int32)


def topk(
    queries: np.ndarray, db: np.ndarray, k: int, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    every = distances(queries, db).astype(np.int64)
    if mask is not None:
        every[:, ~mask] = 2**31 - 1
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(every, order, axis=1)
    order[best == 2**31 - 1] = -1
    return best.astype(np.int32), order


def radius_search(
    queries: np.ndarray, db: np.ndarray, radius: int, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets, all_distances, all_indices = [0], [], []
    for row in distances(queries, db):
        hits = [(int(d), i) for i, d in enumerate(row) if d <= radius and (mask is None or mask[i])]
        hits.sort()
        offsets.append(offsets[-1] + len(hits))
        all_distances += [d for d, _ in hits]
        all_indices += [i for _, i in hits]
    return (
        np.array(offsets, np.int64),
        np.array(all_distances, np.int32),
        np.array(all_indices, np.int64),
    )


def scores(
    queries: np.ndarray, db: np.ndarray, indices: np.ndarray, bitorder: str = "big"
) -> np.ndarray:
    signs = 2.0 * np.unpackbits(db, axis=1, bitorder=bitorder)[:, : queries.shape[1]] - 1.0
    return np.take_along_axis(queries.astype(np.float64) @ signs.T, indices, axis=1)
