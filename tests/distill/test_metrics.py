"""Metrics against slow references in plain NumPy, which know nothing of the project."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from distill import metrics
from distill.metrics import arguments


def reference_distances(query_codes, db_codes):
    return np.unpackbits(query_codes[:, None] ^ db_codes[None], axis=2).sum(axis=2, dtype=int)


def reference_ap(relevant, top=None, cutoff="rank"):
    precisions = []
    for position, is_relevant in enumerate(relevant, start=1):
        if cutoff == "rank" and top is not None and position > top:
            break
        if is_relevant:
            precisions.append((len(precisions) + 1) / position)
        if cutoff == "relevant" and len(precisions) == top:
            break
    return sum(precisions) / len(precisions) if precisions else 0.0


def reference_map(query_codes, db_codes, query_labels, db_labels, **cut):
    distances = reference_distances(query_codes, db_codes)
    relevant = query_labels.astype(int) @ db_labels.T.astype(int) > 0
    scores = []
    for row, hits in zip(distances, relevant, strict=True):
        order = sorted(range(len(row)), key=lambda item, row=row: (row[item], item))
        scores.append(reference_ap(hits[order], **cut))
    return np.mean(scores)


@st.composite
def problems(draw, max_codes=30):
    """Few bits and few labels: many ties, queries without a relevant item, duplicates."""
    n_queries = draw(st.integers(1, 5))
    n_codes = draw(st.integers(1, max_codes))
    n_bits = draw(st.sampled_from([1, 3, 8, 9, 17]))
    n_labels = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))

    def codes(n):
        return np.packbits(rng.random((n, n_bits)) < 0.5, axis=1)

    def labels(n):
        return (rng.random((n, n_labels)) < density).astype(np.uint8)

    return codes(n_queries), codes(n_codes), labels(n_queries), labels(n_codes)


@pytest.fixture(params=[1 << 22, 1], ids=["one block", "a block per query"])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(arguments, "BLOCK_PAIRS", request.param)


def golden():
    """Five codes in two classes, each queried by a copy of one of its codes."""
    signs = [[1, 1, 1, 1], [1, 1, 1, -1], [1, -1, -1, -1], [-1, -1, -1, -1], [1, 1, -1, -1]]
    database = np.packbits(np.array(signs) > 0, axis=1)
    one_hot = np.eye(2, dtype=np.uint8)
    return database[[0, 3]], database, one_hot[[0, 1]], one_hot[[0, 1, 0, 1, 0]]


@pytest.mark.usefixtures("_blocks")
def test_golden_values():
    assert metrics.mean_average_precision(*golden(), top=3) == pytest.approx(11 / 12)
    assert metrics.mean_average_precision(*golden()) == pytest.approx(7 / 9)
    assert metrics.mean_average_precision(*golden(), top=5) == pytest.approx(7 / 9)


@given(
    problems(),
    st.one_of(st.none(), st.integers(1, 40)),
    st.sampled_from(["rank", "relevant"]),
    st.sampled_from([1 << 22, 40, 1]),
)
def test_map_equals_reference(problem, top, cutoff, block_pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "BLOCK_PAIRS", block_pairs)
        found = metrics.mean_average_precision(*problem, top=top, cutoff=cutoff)
    assert_allclose(found, reference_map(*problem, top=top, cutoff=cutoff), atol=1e-12)


def test_the_two_cutoffs_differ():
    database = np.arange(4, dtype=np.uint8)[:, None]  # distances 0 1 1 2 to the query 0
    labels = np.array([[0], [1], [0], [1]])
    problem = (np.zeros((1, 1), np.uint8), database, np.ones((1, 1), int), labels)
    assert metrics.mean_average_precision(*problem, top=1, cutoff="rank") == 0
    assert metrics.mean_average_precision(*problem, top=1, cutoff="relevant") == 0.5
    assert metrics.mean_average_precision(*problem, top=99, cutoff="relevant") == 0.5


@given(problems(max_codes=6))
def test_tie_average_is_the_mean_over_all_orders(problem):
    query_codes, db_codes, query_labels, db_labels = problem
    distances = reference_distances(query_codes, db_codes)
    relevant = query_labels.astype(int) @ db_labels.T.astype(int) > 0
    expected = []
    for row, hits in zip(distances, relevant, strict=True):
        orders = itertools.permutations(range(len(row)))
        ranked = (sorted(order, key=lambda item, row=row: row[item]) for order in orders)
        expected.append(np.mean([reference_ap(hits[order]) for order in ranked]))
    found = metrics.mean_average_precision(*problem, ties="average")
    assert_allclose(found, np.mean(expected), atol=1e-12)


@given(problems())
def test_tie_average_equals_index_order_without_ties(problem):
    _, db_codes, query_labels, db_labels = problem
    bits = np.tril(np.ones((len(db_codes), len(db_codes)), np.uint8))
    codes = np.packbits(bits, axis=1)
    query_codes = np.zeros((len(query_labels), codes.shape[1]), np.uint8)
    args = (query_codes, codes, query_labels, db_labels)
    averaged = metrics.mean_average_precision(*args, ties="average")
    assert_allclose(averaged, metrics.mean_average_precision(*args), atol=1e-12)


@given(problems(), st.integers(1, 30))
def test_precision_at_equals_reference(problem, n):
    query_codes, db_codes, query_labels, db_labels = problem
    n = min(n, len(db_codes))
    order = np.argsort(reference_distances(query_codes, db_codes), axis=1, kind="stable")[:, :n]
    relevant = query_labels.astype(int) @ db_labels.T.astype(int) > 0
    expected = np.take_along_axis(relevant, order, axis=1).mean()
    assert_allclose(metrics.precision_at(*problem, n=n), expected, atol=1e-12)


@given(problems(), st.sampled_from([1 << 22, 1]))
def test_radius_metrics_equal_reference(problem, block_pairs):
    query_codes, db_codes, query_labels, db_labels = problem
    distances = reference_distances(query_codes, db_codes)
    relevant = query_labels.astype(int) @ db_labels.T.astype(int) > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "BLOCK_PAIRS", block_pairs)
        curve = metrics.precision_recall_by_radius(*problem)
        lookups = [metrics.lookup(*problem, radius=radius) for radius in (0, 2)]
    assert curve.radius.tolist() == list(range(8 * query_codes.shape[1] + 1))
    for radius, precision, recall in zip(*curve, strict=True):
        inside = distances <= radius
        assert_allclose(precision, relevant[inside].mean() if inside.any() else 0, atol=1e-12)
        whole = relevant.sum()
        assert_allclose(recall, relevant[inside].sum() / whole if whole else 0, atol=1e-12)
    for radius, found in zip((0, 2), lookups, strict=True):
        rows = zip(distances <= radius, relevant, strict=True)
        expected = [hits[inside].mean() if inside.any() else 0 for inside, hits in rows]
        assert_allclose(found, np.mean(expected), atol=1e-12)


def test_radius_stops_at_the_code_length():
    curve = metrics.precision_recall_by_radius(*golden(), n_bits=4)
    assert curve.radius.tolist() == [0, 1, 2, 3, 4]
    assert curve.recall[-1] == 1
    assert curve.precision[-1] == pytest.approx(0.5)


@given(problems(max_codes=6))
def test_chance_is_the_mean_over_all_orders(problem):
    *_, query_labels, db_labels = problem
    relevant = query_labels.astype(int) @ db_labels.T.astype(int) > 0
    expected = []
    for hits in relevant:
        orders = itertools.permutations(range(len(hits)))
        expected.append(np.mean([reference_ap(hits[list(order)]) for order in orders]))
    assert_allclose(metrics.chance_level(query_labels, db_labels), np.mean(expected), atol=1e-12)


def test_chance_approaches_the_share_of_relevant_items():
    labels = np.zeros((20_000, 1))
    labels[:1000] = 1
    chance = metrics.chance_level(np.ones((1, 1)), labels)
    assert 0.05 < chance < 0.0506


@given(problems(), st.one_of(st.none(), st.integers(1, 40)), st.sampled_from(["rank", "relevant"]))
def test_float_scores_equal_the_codes_they_come_from(problem, top, cutoff):
    query_codes, db_codes, query_labels, db_labels = problem
    scores = -reference_distances(query_codes, db_codes).astype(np.float32)
    found = metrics.mean_average_precision_from_scores(
        scores, query_labels, db_labels, top=top, cutoff=cutoff
    )
    assert_allclose(found, reference_map(*problem, top=top, cutoff=cutoff), atol=1e-12)


def test_torch_labels_scores_and_many_shared_labels():
    query_codes, db_codes, _, _ = golden()
    ones = torch.ones(2, 256), torch.ones(5, 256)  # 256 shared labels would wrap to 0 in uint8
    assert metrics.mean_average_precision(query_codes, db_codes, *ones) == 1
    scores = torch.rand(2, 5, requires_grad=True)
    assert metrics.mean_average_precision_from_scores(scores, *ones) == 1


def test_torch_codes():
    arrays = golden()
    tensors = [torch.from_numpy(array) for array in arrays]
    for ties in ("index", "average"):
        found = metrics.mean_average_precision(*tensors, ties=ties)
        assert found == metrics.mean_average_precision(*arrays, ties=ties)


def test_labels_without_a_relevant_item_count_as_zero():
    query_codes, db_codes, query_labels, db_labels = golden()
    query_labels = query_labels.copy()
    query_labels[1] = 0
    half = metrics.mean_average_precision(query_codes, db_codes, query_labels, db_labels)
    first = metrics.mean_average_precision(query_codes[:1], db_codes, query_labels[:1], db_labels)
    assert half == pytest.approx(first / 2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"top": 0}, ValueError, "top: expected at least 1, got 0; "),
        ({"top": 2.5}, TypeError, "top: expected an int, got 2.5; "),
        ({"top": True}, TypeError, "top: expected an int, got True; "),
        ({"cutoff": "both"}, ValueError, "cutoff: expected 'rank' or 'relevant', got 'both'; "),
        ({"ties": "random"}, ValueError, "ties: expected 'index' or 'average', got 'random'; "),
        ({"ties": "average", "top": 3}, ValueError, "top: expected None with ties='average', got"),
    ],
)
def test_options_are_checked(change, error, message):
    with pytest.raises(error) as caught:
        metrics.mean_average_precision(*golden(), **change)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.zeros(1, np.uint8), "query_codes: expected a uint8 array (at least 1, n_bytes)"),
        (0, np.zeros((0, 1), np.uint8), "query_codes: expected a uint8 array (at least 1, "),
        (1, [[1]], "db_codes: expected a uint8 array (at least 1, n_bytes), got list; "),
        (2, np.zeros((3, 2)), "query_labels: expected (2, n_labels), got (3, 2); "),
        (2, np.zeros((2, 3)), "query_labels: expected 2 labels as in db_labels, got 3; "),
        (3, np.full((5, 2), 2), "db_labels: expected only 0 and 1, got others; "),
        (3, np.full((5, 2), np.nan), "db_labels: expected only 0 and 1, got others; "),
    ],
)
@pytest.mark.parametrize(
    "metric",
    [
        metrics.mean_average_precision,
        metrics.precision_recall_by_radius,
        metrics.lookup,
        lambda *args: metrics.precision_at(*args, n=1),
    ],
    ids=["map", "curve", "lookup", "precision"],
)
def test_arrays_are_checked(metric, place, value, message):
    args = list(golden())
    args[place] = value
    with pytest.raises(ValueError, match=r"^\w+: expected .+, got .+; .+$") as caught:
        metric(*args)
    assert str(caught.value).startswith(message)


def test_float_codes_are_refused():
    query_codes, *rest = golden()
    with pytest.raises((TypeError, ValueError), match="query_codes"):
        metrics.mean_average_precision(query_codes.astype(np.float32), *rest)


def test_other_arguments_are_checked():
    labels = np.ones((2, 1)), np.ones((5, 1))
    with pytest.raises(ValueError, match=r"^n: expected 1\.\.n_codes = 5, got 6; "):
        metrics.precision_at(*golden(), n=6)
    with pytest.raises(ValueError, match=r"^radius: expected at least 0, got -1; "):
        metrics.lookup(*golden(), radius=-1)
    with pytest.raises(ValueError, match=r"^n_bits: expected a width of 1 bytes, got 9; "):
        metrics.precision_recall_by_radius(*golden(), n_bits=9)
    with pytest.raises(TypeError, match=r"^scores: expected floats .+ got int64 \(2, 5\); "):
        metrics.mean_average_precision_from_scores(np.ones((2, 5), int), *labels)
    with pytest.raises(ValueError, match=r"^scores: expected numbers, got NaN; "):
        metrics.mean_average_precision_from_scores(np.full((2, 5), np.nan), *labels)
    with pytest.raises(ValueError, match=r"^query_labels: expected \(at least 1, n_labels\), got"):
        metrics.chance_level(np.ones((0, 1)), labels[1])


MEASURED = {
    "map": metrics.mean_average_precision,
    "tie average": lambda *args: metrics.mean_average_precision(*args, ties="average"),
    "relevant": lambda *args: metrics.mean_average_precision(*args, top=9, cutoff="relevant"),
    "curve": metrics.precision_recall_by_radius,
    "lookup": metrics.lookup,
    "precision": lambda *args: metrics.precision_at(*args, n=10),
    "chance": lambda *args: metrics.chance_level(*args[2:]),
}


@pytest.mark.parametrize("metric", MEASURED.values(), ids=list(MEASURED))
@pytest.mark.parametrize(
    ("n_queries", "n_codes", "n_labels"), [(2000, 50, 2), (200, 2000, 300), (2000, 12, 200)]
)
def test_memory_is_bounded(metric, n_queries, n_codes, n_labels, monkeypatch):
    monkeypatch.setattr(arguments, "BLOCK_PAIRS", 1 << 15)
    monkeypatch.setattr(arguments, "TILE_CELLS", 1 << 13)
    query_codes = np.random.default_rng(0).integers(0, 256, (n_queries, 64), dtype=np.uint8)
    db_codes = query_codes[0] ^ np.arange(n_codes, dtype=np.uint8)[:, None]
    # Everything is relevant: the most that an average precision can take.
    labels = np.ones((n_queries, n_labels), np.uint8), np.ones((n_codes, n_labels), np.uint8)
    tracemalloc.start()
    metric(query_codes, db_codes, *labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 62 * arguments.BLOCK_PAIRS + 16 * n_queries + 50_000


@given(problems(), st.sampled_from([1, 3, 1 << 20]))
def test_tiles_of_labels_change_nothing(problem, tile_cells):
    *_, query_labels, db_labels = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "TILE_CELLS", tile_cells)
        shared = arguments.share_a_label(query_labels, db_labels)
    assert (shared == (query_labels.astype(int) @ db_labels.T.astype(int) > 0)).all()


@pytest.mark.parametrize(
    "labels",
    [
        torch.ones(5, 2, dtype=torch.bfloat16),
        torch.ones(5, 2).to_sparse(),
        [[0, 1], [1]],
        np.array([["a", "b"]] * 5),
        None,
    ],
    ids=["bfloat16", "sparse", "ragged", "texts", "none"],
)
def test_labels_and_scores_numpy_cannot_hold(labels):
    sentence = r"^{}: expected a dense array of numbers.*, got .+; convert it to a dense [^\n]+$"
    query_codes, db_codes, query_labels, _ = golden()
    for call in (
        lambda: metrics.mean_average_precision(query_codes, db_codes, query_labels, labels),
        lambda: metrics.chance_level(query_labels, labels),
    ):
        with pytest.raises(TypeError, match=sentence.format("db_labels")):
            call()
    with pytest.raises(TypeError, match=sentence.format("scores")):
        metrics.mean_average_precision_from_scores(labels, query_labels, query_labels)


def test_none_for_an_array():
    query_codes, _, query_labels, db_labels = golden()
    with pytest.raises(ValueError, match=r"^db_codes: expected a uint8 array .+ got NoneType; "):
        metrics.precision_at(query_codes, None, query_labels, db_labels, n=1)
    with pytest.raises(TypeError, match=r"^query_labels: expected a dense array .+ NoneType; "):
        metrics.chance_level(None, db_labels)


def test_average_precision_checks_its_arguments():
    relevant = np.array([[True, False]])
    with pytest.raises(
        ValueError, match=r"^relevant: expected bool \(n_queries, depth\), got bool"
    ):
        metrics.average_precision(relevant[0])
    with pytest.raises(ValueError, match=r"^relevant: expected bool .+, got float64 \(1, 2\); "):
        metrics.average_precision(relevant.astype(float))
    with pytest.raises(ValueError, match=r"^top: expected at least 1, got 0; "):
        metrics.average_precision(relevant, top=0)
    with pytest.raises(ValueError, match=r"^cutoff: expected 'rank' or 'relevant', got 'both'; "):
        metrics.average_precision(relevant, cutoff="both")
