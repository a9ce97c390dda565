"""How a search is laid out, without a device."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamming.backends import cuda_plan
from hamming.backends.cuda_plan import TUNING, Facts, Shape, Tuning

H200 = Facts((9, 0), 132)
SHAPES = st.builds(
    Shape,
    n_queries=st.integers(1, 100_000),
    n_codes=st.integers(1, 2**33) | st.integers(1, 10_000),
    n_bytes=st.sampled_from([1, 2, 3, 4, 8, 12, 13, 16, 24, 32, 64, 96, 128, 200, 256, 1000]),
    alignment=st.sampled_from([1, 2, 4, 8, 16]),
)
KS = st.integers(1, 2**20)


@given(shape=SHAPES, k=KS)
def test_segments_are_consecutive_and_cover_all_rows(shape: Shape, k: int) -> None:
    plan = cuda_plan.topk_plan(shape, min(k, shape.n_codes))
    assert plan.segments[0][0] == 0
    assert plan.segments[-1][1] == shape.n_codes
    assert all(a[1] == b[0] for a, b in pairwise(plan.segments))
    for begin, end in plan.segments:
        assert begin < end
        assert end - begin <= cuda_plan.MAX_SEGMENT
        assert begin % cuda_plan.ROW_UNIT == 0
    assert len(plan.segments) < 40


@given(shape=SHAPES, k=KS)
def test_a_trimmed_buffer_has_room_for_k_more(shape: Shape, k: int) -> None:
    """Or floods are impossible, because every code fits."""
    k = min(k, shape.n_codes)
    plan = cuda_plan.topk_plan(shape, k)
    kept = max(k, plan.capacity // 2)
    assert plan.capacity >= min(shape.n_codes, kept + k)
    assert plan.capacity >= k


@given(shape=SHAPES, k=KS)
def test_the_workspace_is_bounded(shape: Shape, k: int) -> None:
    k = min(k, shape.n_codes)
    plan = cuda_plan.topk_plan(shape, k)
    per_query = cuda_plan.workspace_of_query(shape, k, plan.capacity)
    assert 1 <= plan.query_tile <= shape.n_queries
    assert plan.query_tile == 1 or plan.query_tile * per_query <= TUNING.workspace_bytes
    assert per_query <= max(TUNING.workspace_bytes, 4 * shape.n_distances)


@given(shape=SHAPES, k=KS)
def test_a_sample_is_of_different_rows_and_holds_k(shape: Shape, k: int) -> None:
    plan = cuda_plan.topk_plan(shape, min(k, shape.n_codes))
    if plan.n_runs == 0:
        return
    spacing = 64 * (shape.n_codes // 64 // plan.n_runs)  # as the kernel spaces them
    assert plan.run_codes % 64 == 0
    assert plan.run_codes <= spacing
    assert plan.n_runs * plan.run_codes >= 4 * min(k, shape.n_codes)
    assert 8 * plan.n_runs * plan.run_codes <= shape.n_codes


@given(shape=SHAPES)
def test_grids_fit_a_device_and_are_of_whole_groups(shape: Shape) -> None:
    for facts in (H200, Facts((8, 0), 108), Facts((7, 5), 40)):
        scan = cuda_plan.scan_for(shape, facts)
        groups, stripes = cuda_plan.scan_grid(scan, shape.n_queries, shape.n_codes, facts)
        assert groups * scan.queries >= shape.n_queries
        assert (groups - 1) * scan.queries < shape.n_queries
        assert 1 <= stripes <= 65535
        assert scan.kernel.shared <= 227 * 1024


@pytest.mark.parametrize(
    ("n_queries", "n_bytes", "capability", "variant"),
    [
        (1, 32, (9, 0), "popc"),
        (3, 32, (9, 0), "popc"),
        (4, 32, (9, 0), "mma"),
        (128, 32, (9, 0), "mma"),
        (129, 32, (9, 0), "mma"),
        (64, 128, (9, 0), "mma"),
        (65, 128, (9, 0), "wgmma"),
        (1024, 128, (9, 0), "mma"),
        (10_000, 129, (9, 0), "mma"),
        (10_000, 257, (9, 0), "popc"),
        (10_000, 32, (8, 6), "mma"),
        (10_000, 32, (7, 5), "popc"),
        (10_000, 32, (10, 0), "popc"),
        (10_000, 32, (12, 0), "popc"),
    ],
)
def test_variants(n_queries: int, n_bytes: int, capability: tuple[int, int], variant: str) -> None:
    shape = Shape(n_queries, 10**8, n_bytes, 16 if n_bytes % 16 == 0 else 1)
    assert cuda_plan.scan_for(shape, Facts(capability, 100)).variant == variant


def test_alignment_is_of_rows_and_address() -> None:
    found = [cuda_plan.alignment_of(address) for address in (0x1000, 0x1008, 0x1004, 0x1001)]
    assert found == [16, 8, 4, 1]
    rows = [Shape(1, 10, n_bytes, 16).row_alignment for n_bytes in (64, 16, 8, 12, 6, 13)]
    assert rows == [16, 16, 8, 4, 2, 1]


def test_short_rows_are_loaded_several_at_a_time() -> None:
    for n_bytes, alignment, loaded in [
        (8, 16, 16),
        (4, 16, 16),
        (8, 8, 8),
        (12, 16, 4),
        (13, 16, 1),
    ]:
        kernel = cuda_plan.popc_scan(Shape(1, 100, n_bytes, alignment), H200).kernel
        assert dict(kernel.defines)["HAMMING_ALIGN"] == loaded
    for scan in (lambda shape: cuda_plan.mma_scan(shape, H200), cuda_plan.wgmma_scan):
        assert dict(scan(Shape(200, 100, 8, 16)).kernel.defines)["HAMMING_ALIGN"] == 8


def test_few_segments_where_it_matters() -> None:
    """Each costs launches beside a scan of 0.2 ms."""
    assert len(cuda_plan.topk_plan(Shape(1, 10**8, 8, 16), 100).segments) <= 4


def test_tuning_is_what_tests_shrink() -> None:
    small = Tuning(workspace_bytes=10_000, least_hits=16, hits_per_k=4, sample_codes=64)
    plan = cuda_plan.topk_plan(Shape(50, 1000, 8, 16), 3, small)
    assert plan.query_tile < 50
    assert plan.capacity == 16
    assert plan.n_runs > 0
