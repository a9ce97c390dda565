"""What happens when the machine refuses: memory and threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMITED = """
import re, resource
import numpy as np
import hamming

def leave(megabytes):
    used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20,) * 2)

rng = np.random.default_rng(0)
db = rng.integers(0, 256, (200_000, 8), dtype=np.uint8)
"""

CASES = {
    # Fewer threads than asked for can be started: those that run do all the work.
    "threads": """
expected = hamming.topk(db[:4], db, 10, threads=1)
leave(30)
result = hamming.topk(db[:4], db, 10, threads=64)
assert (result.indices == expected.indices).all()
""",
    # A candidate buffer that does not fit, in a helper thread as in the caller's.
    "memory": """
db = np.tile(db, (10, 1))
leave(30)  # the 24 MB of the result fit, the candidates beside them do not
for threads in (1, 3):
    try:
        hamming.topk(db[:1], db, len(db), threads=threads)
    except MemoryError:
        continue
    raise SystemExit("the allocation went through")
""",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits by RLIMIT_AS")
@pytest.mark.parametrize("case", CASES)
def test_refusals(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED + CASES[case]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
