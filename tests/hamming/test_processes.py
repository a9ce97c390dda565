"""Threads and processes as the operating system sees them. Linux; each case in its own process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts by /proc")

START = """
import multiprocessing, os, signal, threading, time, warnings
import numpy as np
import hamming

# From 3.12 on, Python warns of any fork beside threads.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

rng = np.random.default_rng(0)
db = rng.integers(0, 256, (1_000_000, 8), dtype=np.uint8)

def tasks():
    return len(os.listdir("/proc/self/task"))

def settle(count):
    "A thread that was joined is listed a moment longer."
    for _ in range(1000):
        if tasks() == count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{tasks()} threads, expected {count}: some outlive the call")

def look(done, seen):
    while not done.is_set():
        seen.append(tasks())
        time.sleep(0.0005)

def check_helpers(expected, call):
    "A call runs on `expected` threads beside the caller's, and leaves none behind."
    before, done, seen = tasks(), threading.Event(), [0]
    watch = threading.Thread(target=look, args=(done, seen), daemon=True)
    watch.start()
    for i in range(500):  # until one of the calls was caught with all its threads
        call()
        settle(before + 1)
        if i > 1 and max(seen) >= before + 1 + expected:
            break
    done.set()
    watch.join()
    settle(before)
    assert max(seen) == before + 1 + expected, f"{max(seen) - before - 1} helpers of {expected}"
"""

CASES = {
    "a call has the threads it was given": """
floats, rows = rng.standard_normal((600, 64)), rng.integers(0, len(db), (600, 1000))
many = np.tile(floats, (200, 1))
for threads in 1, 2, 4:
    os.environ["HAMMING_THREADS"] = str(threads)
    for call in (
        lambda: hamming.topk(db[:15], db, 10, threads=threads),  # by parts of the database
        lambda: hamming.topk(db[:40], db, 10, threads=threads),  # by queries
        lambda: hamming.topk(db[:40], db, 10),
        lambda: hamming.distance(db[:40], db),
        lambda: hamming.rescore(floats, db, rows, 10),
        lambda: hamming.pack(many),
    ):
        check_helpers(threads - 1, call)
    # Its second pass may begin while threads of the first are still listed: no peak to check.
    before = tasks()
    hamming.radius_search(db[:5], db, 10, threads=threads)
    settle(before)
""",
    "one CPU means one thread": """
from hamming.checks import thread_count
cpus = os.sched_getaffinity(0)
assert thread_count(None) == len(cpus)
os.sched_setaffinity(0, {min(cpus)})
assert thread_count(None) == 1
check_helpers(0, lambda: hamming.topk(db[:9], db, 10))
os.environ["HAMMING_THREADS"] = "3"
assert thread_count(None) == 3
assert thread_count(2) == 2
""",
    "beside torch": """
import torch
torch.set_num_threads(2)
x = torch.randn(1000, 1000)
x @ x  # torch's pool is there
queries, codes = torch.from_numpy(db[:9]), torch.from_numpy(db)
check_helpers(1, lambda: hamming.topk(queries, codes, 10, threads=2))
check_helpers(0, lambda: hamming.topk(queries, codes, 10, threads=1))
assert torch.get_num_threads() == 2
""",
    "a fork while another thread searches": """
expected = hamming.topk(db[:5], db, 10, threads=1)
done = threading.Event()
failed = []

def search():
    while not done.is_set():
        if not (hamming.topk(db[:5], db, 10, threads=3).indices == expected.indices).all():
            failed.append("parent")

thread = threading.Thread(target=search, daemon=True)
thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # a child that hangs is killed, and its status says so
        result = hamming.topk(db[:5], db, 10, threads=3)
        same = (result.indices == expected.indices).all()
        settle(1)
        os._exit(0 if same else 1)
    assert os.waitpid(pid, 0)[1] == 0
done.set()
thread.join()
assert not failed
""",
    "multiprocessing by fork in the middle of use": """
expected = hamming.topk(db[:8], db, 10, threads=2)

def one(i):
    return hamming.topk(db[i], db, 10, threads=2).indices

with multiprocessing.get_context("fork").Pool(2) as pool:
    jobs = pool.map_async(one, range(8))
    assert (hamming.topk(db[:8], db, 10, threads=2).indices == expected.indices).all()
    assert (np.array(jobs.get(20)) == expected.indices).all()
""",
}


@pytest.mark.parametrize("case", CASES)
def test_processes(case: str) -> None:
    if case == "beside torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    environment = {k: v for k, v in os.environ.items() if k != "HAMMING_THREADS"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", START + CASES[case]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
