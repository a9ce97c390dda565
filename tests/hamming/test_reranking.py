"""Stored embeddings: their dtypes, the rows of ids, and what is read of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hamming
from tests.hamming.staged import N_BITS, equal, expected, made


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_embeddings_of_other_floats(dtype: str) -> None:
    values, queries = made()
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    if dtype == "bfloat16":
        stored: Any = torch.from_numpy(values).bfloat16()
        plain = stored.float().numpy()
    else:
        stored = values.astype(dtype)
        plain = stored.astype(np.float64)
    result = hamming.TwoStageSearch(index, stored)(queries, 9, candidates=60, rescored=40)
    equal(result, *expected(queries, values, plain, 9, (60, 40)))


def quantised(values: np.ndarray, ranges: np.ndarray, dtype: str) -> np.ndarray:
    """As `quantize_embeddings` of sentence-transformers 6.2 does."""
    steps = (ranges[1] - ranges[0]) / 255
    steps = np.where(steps == 0, 1, steps)
    buckets = np.clip(np.floor((values - ranges[0]) / steps), 0, 255)
    return (buckets - 128).astype(np.int8) if dtype == "int8" else buckets.astype(np.uint8)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_int8_of_sentence_transformers(dtype: str) -> None:
    values, queries = made()
    values[:, 3] *= 50  # a dimension that decides, and is lost without its range
    values[:, 5] = 0.125  # one that does not vary
    ranges = np.stack([values.min(axis=0), values.max(axis=0)])
    stored = quantised(values, ranges, dtype)
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    whole = {"candidates": 300, "rescored": 300}
    result = hamming.TwoStageSearch(index, stored, ranges=ranges)(queries, 300, **whole)
    exact = queries.astype(np.float64) @ values.astype(np.float64).T
    got = np.take_along_axis(exact, result.indices, axis=1)
    # Half a bucket in each dimension at the most.
    bound = np.abs(queries) @ ((ranges[1] - ranges[0]) / 510)
    assert (np.abs(got - result.scores) <= bound[:, None] * (1 + 1e-5)).all()
    least, most = ranges.astype(np.float64)
    step = (most - least) / 255
    buckets = stored.astype(np.float64) + (128 if dtype == "int8" else 0)
    middle = least + (buckets + 0.5) * step
    equal(result, *expected(queries, values, middle, 300, (300, 300)))
    # An error without a sign would be a bias of half a bucket, if its middle were not taken.
    assert np.abs((middle - values).mean(axis=0)[step > 0] / step[step > 0]).max() < 0.06


@pytest.mark.parametrize("each", [False, True])
def test_int8_with_scale_and_offset(each: bool) -> None:
    values, queries = made()
    rng = np.random.default_rng(1)
    stored = rng.integers(-128, 128, values.shape, dtype=np.int8)
    scale, offset = (rng.random(N_BITS), rng.normal(size=N_BITS)) if each else (0.25, -3)
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    search = hamming.TwoStageSearch(index, stored, scale=scale, offset=offset)
    result = search(queries, 12, candidates=80, rescored=50)
    equal(result, *expected(queries, values, scale * stored + offset, 12, (80, 50)))
    plain = hamming.TwoStageSearch(index, stored)(queries, 12, candidates=80, rescored=50)
    equal(plain, *expected(queries, values, stored, 12, (80, 50)))


@pytest.mark.parametrize("ascending", [True, False])
def test_rows_with_ids_of_their_own(ascending: bool) -> None:
    values, queries = made()
    rng = np.random.default_rng(2)
    ids = rng.permutation(5000)[:300]
    ids = np.sort(ids) if ascending else ids
    place = rng.permutation(300)
    others = np.array([5001, 5002])
    stored = np.concatenate([values[place], made(2)[0]])  # the last two are of no code
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS, ids=ids)
    owners = np.concatenate([ids[place], others])
    result = hamming.TwoStageSearch(index, stored, ids=owners)(queries, 9, candidates=60)
    scores, rows = expected(queries, values, values, 9, (60, 30))
    equal(result, scores, ids[rows])


MAPPED = """
import re, sys
from pathlib import Path
import numpy as np
import hamming

n, dim, folder = 400_000, 512, Path(sys.argv[1])
rows = np.memmap(folder / "rows", np.float32, "w+", shape=(n, dim))  # a sparse file of 819 MB
rng = np.random.default_rng(0)
values = rng.standard_normal((n, 64), dtype=np.float32)
index = hamming.Index.from_codes(hamming.pack(values))
search = hamming.TwoStageSearch(index, rows, encode=lambda queries: queries[:, :64])
queries = rng.standard_normal((5, dim), dtype=np.float32)
search(queries[:1], 3)

def held(field):
    line = re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(line[1])

def rise(call):
    Path("/proc/self/clear_refs").write_text("5")
    before = held("VmRSS")
    assert (call().scores == 0).all()
    return held("VmHWM") - before

# 500 rows, with the 128 KiB that are read ahead of each.
taken = rise(lambda: search(queries, 10))
assert taken < 130e6, taken
# 100,000 rows, which are 410 MB as float64, in blocks.
search = hamming.TwoStageSearch(index, np.zeros((n, dim), np.int8), encode=search._encode)
search(queries[:1], 3)
found = index.topk(hamming.pack(queries[:, :64]), 20_000).indices
taken = rise(lambda: search(queries, 10, candidates=20_000, rescored=20_000))
assert taken < 16 * 2**20 + 56 * found.size + 8e6, taken
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's record of peak memory"
)
def test_a_memory_map_is_not_read_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MAPPED, str(tmp_path)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_rows_of_candidates_are_asked_for() -> None:
    class Watched(np.ndarray):
        rows: set[int]

        def __getitem__(self, key: Any) -> Any:
            self.rows |= set(np.ravel(key).tolist())
            return np.asarray(self)[key]

    values, queries = made(n_queries=2)
    stored = values.view(Watched)
    stored.rows = set()
    index = hamming.Index.from_codes(hamming.pack(values), N_BITS)
    search = hamming.TwoStageSearch(index, stored)
    search(queries, 3, candidates=40, rescored=10)
    found = index.topk(hamming.pack(queries), 40).indices
    kept = index.rescore(queries, found, 10).indices
    assert stored.rows == set(kept.ravel().tolist())
