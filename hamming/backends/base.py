"""What a backend offers. All backends return the same bits for the same arguments."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..layout import BitOrder, RadiusResult, Rescored, TopK


class Backend(Protocol):
    """Arguments are checked, contiguous arrays of NumPy, or of CuPy on a GPU; results are alike.

    `threads` is at least 1.
    """

    @property
    def name(self) -> str:
        """The word that `use_backend` and HAMMING_BACKEND take."""

    @property
    def missing(self) -> str | None:
        """Why this machine cannot use it, or None."""

    def takes(self, device: str) -> bool:
        """Whether arrays on `device` ("cpu", "cuda:0") can be given to it."""

    def pack(
        self,
        values: np.ndarray,
        thresholds: np.ndarray,
        *,
        element: str,
        bitorder: BitOrder,
        check_nan: bool,
        threads: int,
    ) -> tuple[np.ndarray, int]:
        """Codes of `values (n, n_bits)`, and the first row with a NaN or -1.

        `element` is the values' dtype, which on a GPU may be "bfloat16", there uint16 in name.
        """

    def unpack(self, codes: np.ndarray, n_bits: int, *, bitorder: BitOrder) -> np.ndarray:
        """`(n, n_bits) uint8` zeros and ones of `(n, n_bytes)` codes."""

    def distance(
        self, query_codes: np.ndarray, db_codes: np.ndarray, *, threads: int
    ) -> np.ndarray:
        """`(n_queries, n_codes) int32`."""

    def topk(
        self,
        query_codes: np.ndarray,
        db_codes: np.ndarray,
        k: int,
        *,
        mask: np.ndarray | None,
        threads: int,
    ) -> TopK:
        """See `hamming.topk`."""

    def radius_search(
        self,
        query_codes: np.ndarray,
        db_codes: np.ndarray,
        radius: int,
        *,
        mask: np.ndarray | None,
        threads: int,
    ) -> RadiusResult:
        """See `hamming.radius_search`."""

    def rescore(
        self,
        queries: np.ndarray,
        db_codes: np.ndarray,
        candidates: np.ndarray,
        k: int,
        *,
        bitorder: BitOrder,
        threads: int,
    ) -> Rescored:
        """See `hamming.rescore`.

        `queries` is `(n_queries, 8 * n_bytes) float32`, zero in the padding; `candidates` is
        `(n_queries, m) int64`.
        """
