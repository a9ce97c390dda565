"""How sure a difference between two methods is, given that both answered the same queries."""

from typing import Any, NamedTuple

import numpy as np

from distill.metrics.arguments import as_numbers, check_count

_CELLS = 1 << 22


class PairedDifference(NamedTuple):
    """A mean difference and its bootstrap interval; none of it says anything of other datasets."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    a: Any, b: Any, *, n_resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Resample queries and return the mean of a - b with a percentile interval.

    Scores of several seeds are averaged query by query first: they share the queries, so that their
    spread alone would understate the error.

    Args:
        a: (n_queries,) or (n_seeds, n_queries) average precisions of one method.
        b: The same of the other, same seeds and queries.
        n_resamples: Bootstrap samples.
        level: Share of the samples inside the interval.
        seed: Of the resampling.

    Raises:
        ValueError, TypeError: An argument is not as described.

    >>> paired_bootstrap([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])
    PairedDifference(mean=0.25, low=0.25, high=0.25)
    """
    check_count("n_resamples", n_resamples)
    left, right = (np.atleast_2d(as_numbers(n, v)) for n, v in (("a", a), ("b", b)))
    if left.shape != right.shape or left.ndim != 2 or left.size == 0:
        raise ValueError(
            f"b: expected the shape of a {left.shape}, got {right.shape}; "
            "pass one score per seed and query of both"
        )
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share in (0, 1), got {level}; 0.95 is usual")
    differences = (left - right).mean(axis=0)
    generator, n = np.random.default_rng(seed), differences.size
    step = max(1, _CELLS // n)
    means = [
        differences[generator.integers(n, size=(min(step, n_resamples - start), n))].mean(axis=1)
        for start in range(0, n_resamples, step)
    ]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return PairedDifference(float(differences.mean()), float(low), float(high))
