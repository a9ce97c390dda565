"""What codes are like without asking for labels: balance, correlation, and kept neighbours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import hamming
from distill.metrics.arguments import as_host, check_codes, check_count, check_width

Matrix = NDArray[np.float64]


def bit_means(codes: Any, n_bits: int) -> Matrix:
    """Return the mean of each bit as -1 or +1, (n_bits,); 0 is a balanced bit.

    Args:
        codes: (n, n_bytes) uint8, packed.
        n_bits: Code length.
    """
    means: Matrix = _signs(codes, n_bits).mean(axis=0)
    return means


def bit_correlations(codes: Any, n_bits: int) -> Matrix:
    """Return (n_bits, n_bits) correlations of the bits; those of a constant bit are 0.

    Args:
        codes: (n, n_bytes) uint8, packed.
        n_bits: Code length.
    """
    centred = _signs(codes, n_bits)
    centred -= centred.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    scaled = centred / np.where(deviation > 0, deviation, 1)
    return scaled.T @ scaled / len(scaled)


def mean_correlation(correlations: Matrix) -> float:
    """Return the mean size of the correlations off the diagonal; 0 of a single bit."""
    n_bits = len(correlations)
    off = np.abs(correlations).sum() - np.abs(np.diag(correlations)).sum()
    return float(off / max(1, n_bits * (n_bits - 1)))


def neighbours_kept(query_codes: Any, own_codes: Any, db_codes: Any, k: int) -> float:
    """Return the share of the k items nearest to one code of a query that another code finds too.

    Args:
        query_codes: (n_queries, n_bytes) uint8, such as a student's.
        own_codes: (n_queries, n_bytes) uint8 of the same queries, by the model of the database.
        db_codes: (n_codes, n_bytes) uint8.
        k: Neighbours looked at, 1..n_codes; ties by index.
    """
    check_codes(query_codes, db_codes)
    check_count("k", k)
    found, wanted = (
        as_host(hamming.topk(codes, db_codes, k).indices) for codes in (query_codes, own_codes)
    )
    both = [np.isin(a, b, assume_unique=True).sum() for a, b in zip(found, wanted, strict=True)]
    return float(np.mean(both) / k)


def _signs(codes: Any, n_bits: int) -> Matrix:
    check_width(n_bits, codes)
    signs: Matrix = hamming.unpack(as_host(codes), n_bits).astype(np.float64) * 2 - 1
    return signs
