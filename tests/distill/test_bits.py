"""Statistics of codes, and how sure a difference is, against what plain NumPy gives."""

import numpy as np
import pytest

from distill.metrics.bits import bit_correlations, bit_means, mean_correlation, neighbours_kept
from distill.metrics.bootstrap import paired_bootstrap


def test_means_and_correlations_are_numpys() -> None:
    signs = np.where(np.random.default_rng(0).random((50, 20)) < 0.4, 1, -1)
    signs[:, 3] = -signs[:, 2]
    codes = np.packbits(signs > 0, axis=1)
    assert np.allclose(bit_means(codes, 20), signs.mean(axis=0))
    found = bit_correlations(codes, 20)
    assert np.allclose(found, np.corrcoef(signs.T))
    assert found[2, 3] == pytest.approx(-1)
    off = np.abs(found[~np.eye(20, dtype=bool)])
    assert mean_correlation(found) == pytest.approx(off.mean())


def test_a_constant_bit_correlates_with_nothing() -> None:
    codes = np.packbits(np.array([[1, 0], [1, 1], [1, 0]]), axis=1)
    assert np.allclose(bit_correlations(codes, 2), [[0, 0], [0, 1]])
    assert mean_correlation(bit_correlations(codes[:, :1], 1)) == 0


def test_neighbours_kept() -> None:
    database = np.arange(16, dtype=np.uint8)[:, None]
    assert neighbours_kept(database[:4], database[:4], database, 3) == 1
    one, other = np.array([[0]], np.uint8), np.array([[0xF]], np.uint8)
    assert neighbours_kept(one, other, database, 1) == 0
    assert neighbours_kept(one, other, database, 16) == 1


def test_the_interval_holds_the_mean_and_shrinks() -> None:
    drawn = np.random.default_rng(1)
    base = drawn.random(400)
    better = base + 0.02 + 0.01 * drawn.standard_normal((3, 400))
    found = paired_bootstrap(better, np.stack([base] * 3), n_resamples=500)
    assert 0.015 < found.low < found.mean < found.high < 0.025
    few = paired_bootstrap(better[:, :40], np.stack([base[:40]] * 3), n_resamples=500)
    assert few.high - few.low > found.high - found.low
    assert found == paired_bootstrap(better, np.stack([base] * 3), n_resamples=500)


@pytest.mark.parametrize(
    ("b", "changes", "message"),
    [
        ([0.1, 0.2], {}, r"b: expected the shape of a \(1, 3\), got \(1, 2\)"),
        ([0.1, 0.2, 0.3], {"level": 1.0}, "level: expected a share in"),
        ([0.1, 0.2, 0.3], {"n_resamples": 0}, "n_resamples: expected at least 1"),
    ],
)
def test_bootstrap_refuses(b: list[float], changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap([0.1, 0.2, 0.3], b, **changes)
