"""What a call holds beside its result: the figures of the docstrings, as the kernel counts pages.

Each case runs in a process of its own, on the best backend.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's record of peak memory"
)

METER = """
import os, re
from pathlib import Path
import numpy as np
import hamming

MiB = 2**20
SLACK = 4 * MiB  # tiles, thread stacks, and the kernel's own rounding

def status(field):
    line = re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(line[1])

def beside(call):
    "The result of a call, and the most bytes that were held while it ran beside it."
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
    before = status("VmRSS")
    result = call()
    held = status("VmHWM") - before
    arrays = result if isinstance(result, tuple) else [result]
    return result, held - sum(getattr(array, "nbytes", 0) for array in arrays)

def within(bound, call):
    result, held = beside(call)
    assert held <= bound + SLACK, f"{held / MiB:.1f} MiB, expected at most {bound / MiB:.1f}"
    return result

rng = np.random.default_rng(0)
def codes(n):
    return rng.integers(0, 256, (n, 8), dtype=np.uint8)
hamming.topk(codes(3), codes(1000), 3, threads=2)  # what is loaded on first use
"""

CASES = {
    # Else no case could fail.
    "the meter sees a copy": """
db = codes(2_000_000)
_, held = beside(lambda: (db.copy(), np.zeros(1))[1])
assert abs(held - db.nbytes) < SLACK, held
""",
    "topk with a large k": """
k, db = 1_000_000, codes(10_000_000)
query = codes(1)
distances = np.bitwise_count(db.view(np.uint64) ^ query.view(np.uint64))[:, 0]
order = []  # a counting sort: the rows at distance 0, 1, 2, ...
while sum(map(len, order)) < k:
    order.append(np.flatnonzero(distances == len(order)))
order = np.concatenate(order)[:k]
for threads in 1, 3:
    result = within(16 * k * threads, lambda: hamming.topk(query, db, k, threads=threads))
    assert (result.indices[0] == order).all()
    assert (result.distances[0] == distances[order]).all()
""",
    "topk of more than half the codes": """
db = codes(3_000_000)
for threads in 1, 3:
    within(8 * len(db), lambda: hamming.topk(db[:1], db, 2_900_000, threads=threads))
""",
    "topk of many queries": """
db = codes(100_000)
for threads in 1, 3:
    within(64 * MiB, lambda: hamming.topk(db[:2000], db, 10_000, threads=threads))
within(64 * MiB + 72 * 50_000, lambda: hamming.topk(db[:50_000], db[:20_000], 5, threads=2))
""",
    "codes of a million bits": """
db = rng.integers(0, 256, (300, 2**17), dtype=np.uint8)
n_bits, query, mask = 2**20, db[:1], np.ones(len(db), bool)
for threads in 1, 3:
    os.environ["HAMMING_THREADS"] = str(threads)
    within(query.nbytes + 64 * n_bits * threads, lambda: hamming.topk(query, db, 5))
    within(query.nbytes + 64 * n_bits * threads, lambda: hamming.topk(query, db, 5, mask=mask))
    size = query.nbytes + 48 * n_bits * threads
    within(size + 72 * threads, lambda: hamming.radius_search(query, db, 0, mask=mask))
    within(query.nbytes + 32 * n_bits * threads, lambda: hamming.distance(query, db))
""",
    "radius_search with millions of hits": """
db = codes(10_000_000)
for threads in 1, 3:
    kept = 64 << 20
    result = within(kept, lambda: hamming.radius_search(db[:3], db, 27, threads=threads))
    assert len(result.indices) > 3_000_000
    result = within(kept, lambda: hamming.radius_search(db[:3], db, 33, threads=threads))
    assert 8 * len(result.indices) > 2 * kept
""",
    "radius_search of many queries": """
queries, radius = codes(200_000), 16
size = queries.nbytes + 8 * (radius + 9) * len(queries)
for threads in 1, 3:
    within(size, lambda: hamming.radius_search(queries, queries[:64], radius, threads=threads))
""",
    "distance": """
db = codes(500_000)
within(0, lambda: hamming.distance(db[:60], db))
""",
    "pack": """
for dtype in np.float32, np.float64, np.int64, np.uint8:
    x = np.ones((100_000, 256), dtype)
    within(0, lambda: hamming.pack(x))
""",
    "pack of half floats": """
x = np.ones((100_000, 256), np.float16)
within(4 * x.size, lambda: hamming.pack(x))
""",
    "rescore": """
db, queries = codes(1_000_000), rng.standard_normal((20_000, 64), np.float32)
rows = rng.integers(0, len(db), (20_000, 200), dtype=np.int32)
within(32 * rows.size, lambda: hamming.rescore(queries, db, rows, 10))
within(24 * queries.size, lambda: hamming.rescore(queries, db, rows[:, :3], 1))
""",
    "a mask is not copied": """
db = codes(10_000_000)
mask = rng.random(len(db)) < 0.1
for threads in 1, 2:
    within(0, lambda: hamming.topk(db[:5], db, 10, mask=mask, threads=threads))
    within(0, lambda: hamming.radius_search(db[:5], db, 12, mask=mask, threads=threads))
""",
    "a memory map is not copied": """
import tempfile
with tempfile.NamedTemporaryFile() as file:
    codes(5_000_000).tofile(file.name)
    db = np.memmap(file.name, np.uint8, "r").reshape(-1, 8)
    queries = db[:: len(db) // 5].copy()
    rows = rng.integers(0, len(db), (len(queries), 100))
    floats = rng.standard_normal((len(queries), 64))
    db.max()  # its pages are in memory and counted from here on
    for threads in 1, 2:
        within(0, lambda: hamming.topk(queries, db, 10, threads=threads))
        within(0, lambda: hamming.radius_search(queries, db, 12, threads=threads))
    within(0, lambda: hamming.distance(queries, db))
    within(0, lambda: hamming.rescore(floats, db, rows, 10))
""",
    "an index is saved and read without a second copy": """
import tempfile
from hamming.io import CHUNK
db = rng.integers(0, 256, (3_000_000, 20), dtype=np.uint8)
os.fsync = lambda handle: None  # memory is what counts here
with tempfile.TemporaryDirectory() as folder:
    file = folder + "/index"
    index = hamming.Index.from_codes(db, ids=rng.permutation(len(db)))
    index.remove(index.ids[::1000])
    within(3 * CHUNK, lambda: index.save(file))
    n = len(index)
    del index, db
    within(8 * n + CHUNK, lambda: hamming.Index.load(file).codes)  # beside codes: ids
""",
    "a mapped index is read where it is searched": """
import tempfile
from tests.hamming.index_files import header_of, signed
n = 2**25
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "index"
    hamming.Index.from_codes(codes(0)).save(file)
    header = header_of(file.read_bytes())
    header["__metadata__"].update(count=str(n), next_id=str(n))
    header["codes"].update(shape=[n, 8], data_offsets=[0, 8 * n])
    start = signed(header, b"")
    file.write_bytes(start)
    os.truncate(file, len(start) + 8 * n)  # a hole of 256 MiB
    held, files = status("RssAnon"), status("RssFile")
    index = within(0, lambda: hamming.Index.load(file, mmap=True))
    found = index.topk(codes(3), 10)
    index.remove(np.arange(5))
    assert (found.indices == np.arange(10)).all()
    assert (index.topk(codes(1), 1).indices == 5).all()
    assert status("RssFile") - files > 8 * n - SLACK  # it was read ...
    assert status("RssAnon") - held < n + SLACK  # ... in the file; removals take a byte a code
""",
}


@pytest.mark.parametrize("case", CASES)
def test_beside_the_result(case: str) -> None:
    # malloc gives what is freed back at once, or a case would find it and hold nothing more.
    at_once = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", METER + CASES[case]],
        env={**os.environ, **at_once},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
