"""Which backend runs."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import hamming
from hamming.dispatch import BACKENDS, choose


def test_the_list_is_ordered_and_ends_with_the_reference() -> None:
    assert hamming.backends()[-1] == "reference"
    assert [b.name for b in BACKENDS if b.missing is None] == list(hamming.backends())


def cpu_flags() -> set[str]:
    """The names that Linux gives the instruction sets of this CPU."""
    if platform.machine() == "aarch64":
        # From the auxiliary vector: under emulation /proc/cpuinfo is that of the host.
        hwcap = ctypes.CDLL(None).getauxval(16)  # AT_HWCAP
        return {"asimd"} if hwcap & 1 << 1 else set()
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "flags" not in cpuinfo.read_text():
        pytest.skip("needs the flags of /proc/cpuinfo")
    line = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return set(line.split())


def test_no_instruction_set_of_this_cpu_is_missing() -> None:
    """A build that silently lost a backend would pass every other test on the slower ones."""
    flags = cpu_flags()
    expected = [
        name
        for name, needed in [
            ("avx512", {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vpopcntdq"}),
            ("avx2", {"avx2"}),
            ("neon", {"asimd"}),
        ]
        if needed <= flags
    ]
    if "popcnt" in flags or platform.machine() == "aarch64":
        expected.append("scalar")
    assert [b for b in hamming.backends() if b != "cuda"] == [*expected, "reference"]


def test_use_backend_is_undone_and_nests() -> None:
    best = choose("cpu").name
    with hamming.use_backend("reference"):
        assert choose("cpu").name == "reference"
        with hamming.use_backend("scalar"):
            assert choose("cpu").name == "scalar"
        assert choose("cpu").name == "reference"
    assert choose("cpu").name == best


def test_use_backend_stays_in_its_thread_and_task() -> None:
    names: list[str] = []
    with hamming.use_backend("reference"):
        thread = threading.Thread(target=lambda: names.append(choose("cpu").name))
        thread.start()
        thread.join()
    assert names == [choose("cpu").name]

    async def forced() -> str:
        with hamming.use_backend("reference"):
            await asyncio.sleep(0.01)
            return choose("cpu").name

    async def free() -> str:
        await asyncio.sleep(0.005)
        return choose("cpu").name

    async def both() -> list[str]:
        return await asyncio.gather(forced(), free())

    assert asyncio.run(both()) == ["reference", choose("cpu").name]


def test_unknown_names() -> None:
    with (
        pytest.raises(ValueError, match=r"name: expected one of .*, got 'refrence'; did you mean"),
        hamming.use_backend("refrence"),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"got 'cobol'; choose one of them"),
        hamming.use_backend("cobol"),
    ):
        pass


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_forces_a_backend_and_threads() -> None:
    code = "from hamming.dispatch import choose; print(choose('cpu').name)"
    assert run(code, HAMMING_BACKEND="reference").stdout == "reference\n"
    failed = run(code, HAMMING_BACKEND="nope")
    assert "HAMMING_BACKEND: expected one of" in failed.stderr
    code = "from hamming.checks import thread_count; print(thread_count(None))"
    assert run(code, HAMMING_THREADS="3").stdout == "3\n"
    failed = run(code, HAMMING_THREADS="zero")
    assert "HAMMING_THREADS: expected a positive integer, got 'zero'" in failed.stderr
    assert "HAMMING_THREADS: expected" in run(code, HAMMING_THREADS="9" * 5000).stderr


def test_any_number_of_threads() -> None:
    db = np.zeros((500, 8), np.uint8)
    assert hamming.topk(db[:1], db, 3, threads=2**40).indices.tolist() == [[0, 1, 2]]


def test_a_call_after_a_fork() -> None:
    code = (
        "import os, numpy as np, hamming\n"
        "db = np.zeros((100000, 8), np.uint8)\n"
        "hamming.topk(db[:2], db, 3, threads=4)\n"
        "pid = os.fork()\n"
        "hamming.topk(db[:2], db, 3, threads=4)\n"
        "pid or os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
    )
    assert run(code).returncode == 0


@pytest.mark.parametrize("name", [b for b in hamming.backends() if b != "cuda"])
def test_every_backend_answers(name: str) -> None:
    with hamming.use_backend(name):
        assert hamming.topk(np.zeros(1, np.uint8), np.ones((1, 1), np.uint8), 1).distances[0] == 1
