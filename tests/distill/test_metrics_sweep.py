"""All metrics of several directions in one pass, against plain NumPy loops."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill import metrics
from distill.metrics import arguments

CUTS = (("rank", 1), ("rank", 5), ("relevant", 1), ("relevant", 5))


def reference(query_codes, db_codes, query_labels, db_labels, n_bits, depths):
    """Every metric, query by query and rank by rank."""
    whole, at, precisions, lookups = [], [], [], []
    inside, found = np.zeros(n_bits + 1), np.zeros(n_bits + 1)
    for code, label in zip(query_codes, query_labels, strict=True):
        distances = np.unpackbits(code ^ db_codes, axis=1).sum(axis=1, dtype=int)
        order = sorted(range(len(db_codes)), key=lambda i, d=distances: (d[i], i))
        hits = [bool((db_labels[i] & label).any()) for i in order]
        ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
        shares = [n / rank for n, rank in enumerate(ranks, start=1)]
        whole.append(np.mean(shares) if shares else 0)
        row = []
        for cutoff, k in CUTS:
            kept = [s for s, r in zip(shares, ranks, strict=True) if r <= k]
            kept = shares[:k] if cutoff == "relevant" else kept
            row.append(np.mean(kept) if kept else 0)
        at.append(row)
        precisions.append([np.mean(hits[:n]) for n in depths])
        near = [hits[i] for i, item in enumerate(order) if distances[item] <= 2]
        lookups.append(np.mean(near) if near else 0)
        for radius in range(n_bits + 1):
            within = [hits[i] for i, item in enumerate(order) if distances[item] <= radius]
            inside[radius] += len(within)
            found[radius] += sum(within)
    precision = found / np.maximum(inside, 1)
    recall = found / max(found[-1], 1)
    means = np.mean(whole), np.mean(at, axis=0), np.mean(precisions, axis=0), np.mean(lookups)
    return *means, precision, recall


def drawn(rng, n_queries, n_codes, n_bits, density=0.3, n_labels=4):
    def codes(n):
        return np.packbits(rng.random((n, n_bits)) < 0.2, axis=1)

    def labels(n):
        return (rng.random((n, n_labels)) < density).astype(np.uint8)

    pairs = {name: (codes(n_queries), codes(n_codes)) for name in ("there", "back")}
    return pairs, labels(n_queries), labels(n_codes)


def check(problem, n_bits, depths):
    pairs, *labels = problem
    swept = metrics.sweep(*problem, n_bits=n_bits, cuts=CUTS, depths=depths)
    assert list(swept.directions) == list(pairs)
    for name, codes in pairs.items():
        found = swept.directions[name]
        by_distance = found.by_distance
        wanted = reference(*codes, *labels, n_bits, depths)
        got = (
            *(found.map, found.map_at, found.precision_at, by_distance.lookup),
            *(by_distance.curve.precision, by_distance.curve.recall),
        )
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        averaged = metrics.mean_average_precision(*codes, *labels, ties="average")
        np.testing.assert_allclose(by_distance.map_tie_averaged, averaged, atol=1e-12)
    np.testing.assert_allclose(swept.chance, metrics.chance_level(*labels), atol=1e-12)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(6, 30),
    st.sampled_from([1, 7, 8, 13]),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.sampled_from([1 << 22, 40, 1]),
)
def test_equals_reference(seed, n_queries, n_codes, n_bits, density, block_pairs):
    problem = drawn(np.random.default_rng(seed), n_queries, n_codes, n_bits, density)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "BLOCK_PAIRS", block_pairs)
        check(problem, n_bits, (1, 2, 5))


@pytest.mark.parametrize("n_bits", [248, 256, 704])
def test_distances_of_long_codes_do_not_wrap(n_bits):
    rng = np.random.default_rng(1)
    pairs, *labels = drawn(rng, 3, 20, n_bits)
    codes = pairs["there"]
    codes[1][:5] = ~codes[0][0]  # the farthest there are
    check((pairs, *labels), n_bits, (1, 5))


def test_many_items():
    check(drawn(np.random.default_rng(2), 3, 5000, 16), 16, (1, 200, 400))


@pytest.mark.parametrize(("top", "cutoff"), [(None, "rank"), (7, "rank"), (7, "relevant")])
@pytest.mark.parametrize("n_codes", [10, 4000])
def test_average_precisions_of_each_query(top, cutoff, n_codes):
    pairs, query_labels, db_labels = drawn(np.random.default_rng(3), 6, n_codes, 12)
    codes = pairs["there"]
    found = metrics.average_precisions(*codes, query_labels, db_labels, top=top, cutoff=cutoff)
    alone = [
        metrics.mean_average_precision(
            codes[0][[i]], codes[1], query_labels[[i]], db_labels, top=top, cutoff=cutoff
        )
        for i in range(6)
    ]
    np.testing.assert_array_equal(found, alone)
    if top is None:
        whole = reference(codes[0][:1], codes[1], query_labels[:1], db_labels, 12, (1,))[0]
        np.testing.assert_allclose(found[0], whole, atol=1e-12)


@pytest.mark.parametrize("depth", [3, 40, 41, 159, 160, 400])
def test_ranked_relevance_is_one_order_by_either_way(depth):
    """Few ranks come from a top-k, many from a sort of all."""
    pairs, *labels = drawn(np.random.default_rng(4), 5, 160, 9)
    codes = pairs["back"]
    blocks = metrics.ranked_relevance(*codes, *labels, depth=depth)
    distances = np.unpackbits(codes[0][:, None] ^ codes[1], axis=2).sum(axis=2, dtype=int)
    order = np.argsort(distances, axis=1, kind="stable")[:, :depth]
    relevant = labels[0].astype(int) @ labels[1].T.astype(int) > 0
    np.testing.assert_array_equal(
        np.concatenate(list(blocks)), np.take_along_axis(relevant, order, axis=1)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_bits": 17}, r"^n_bits: expected a width of 1 bytes, got 17; "),
        ({"radius": -1}, r"^radius: expected at least 0, got -1; "),
        ({"depths": (1, 0)}, r"^depths: expected at least 1, got 0; "),
        ({"depths": (11,)}, r"^depths: expected at most n_codes = 10, got 11; "),
        ({"cuts": [("nonsense", 1)]}, r"^cuts: expected 'rank' or 'relevant', got 'nonsense'; "),
        ({"cuts": [("rank", 0)]}, r"^cuts: expected at least 1, got 0; "),
        ({"labels": 3}, r"^db_labels: expected \(10, n_labels\), got \(3, 4\); "),
    ],
)
def test_arguments_are_checked(change, message):
    pairs, query_labels, db_labels = drawn(np.random.default_rng(5), 2, 10, 8)
    db_labels = db_labels[: change.pop("labels", 10)]
    with pytest.raises(ValueError, match=message):
        metrics.sweep(pairs, query_labels, db_labels, **{"n_bits": 8, **change})


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(arguments, "BLOCK_PAIRS", 1 << 15)
    monkeypatch.setattr(arguments, "TILE_CELLS", 1 << 13)
    n_queries, n_codes = 400, 3000
    problem = drawn(np.random.default_rng(6), n_queries, n_codes, 64, density=1.0)
    depths = range(200, n_codes, 200)
    tracemalloc.start()
    metrics.sweep(*problem, n_bits=64, cuts=CUTS, depths=depths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Per query and direction a row of the cut-offs and depths, and two numbers.
    rows = 2 * n_queries * (8 * (len(CUTS) + len(depths) + 3) + 150)
    assert peak < 20 * arguments.BLOCK_PAIRS + 60 * n_codes + rows + 50_000
