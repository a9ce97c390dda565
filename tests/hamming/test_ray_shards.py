"""Shards in processes over Ray: the answers of one array, also while processes die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamming import Index
from hamming.sharded import RayShards, ShardError, over_ray
from tests.hamming import oracle
from tests.hamming.test_sharded import check

ray = pytest.importorskip("ray")

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, (500, 8), np.uint8)  # 16 values a byte pair: many equal distances
IDS = RNG.permutation(1000)[:500] * 10**9
QUERIES = RNG.integers(0, 4, (6, 8), np.uint8)
CUT = 120
KEPT = RNG.random(500) < 0.8


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100_000_000,
    )
    yield
    ray.shutdown()


def save(folder: Path) -> list[Path]:
    """Two shards of 120 and 380 rows, a fifth of them removed."""
    paths = [folder / "first", folder / "second"]
    for path, rows in zip(paths, (slice(0, CUT), slice(CUT, None)), strict=True):
        index = Index.from_codes(CODES[rows], ids=IDS[rows])
        index.remove(IDS[rows][~KEPT[rows]])
        index.save(path)
    return paths


def open_shards(paths: list[Path], **options: Any) -> RayShards:
    return RayShards(paths, **{"num_cpus": 0.2, "timeout": 30, **options})


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def shards(paths: list[Path]) -> Iterator[RayShards]:
    with open_shards(paths) as opened:
        yield opened


def expected(k: int, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    distances, rows = oracle.topk(QUERIES, CODES[KEPT], k, mask)
    return distances, np.where(rows < 0, -1, IDS[KEPT][rows])


def test_it_is_the_search_of_all_rows(shards: RayShards) -> None:
    assert (len(shards), shards.n_bits) == (KEPT.sum(), 64)
    np.testing.assert_array_equal(shards.ids, IDS[KEPT])
    for k in (1, 33, 200, len(shards)):
        check(shards.topk(QUERIES, k), expected(k))
    offsets, distances, rows = oracle.radius_search(QUERIES, CODES[KEPT], 6)
    check(shards.radius_search(QUERIES, 6, threads=2), (offsets, distances, IDS[KEPT][rows]))
    check(shards.topk(QUERIES[0], 150), tuple(x[0] for x in expected(150)))


def test_filters(shards: RayShards) -> None:
    mask = RNG.random(len(shards)) < 0.3
    for filter in (mask, np.append(IDS[KEPT][mask], [5, 10**15]), np.flatnonzero(mask) * 0 - 7):
        used = mask if filter[0] != -7 else mask & False
        check(shards.topk(QUERIES, 200, filter=filter), expected(200, used))
    offsets, distances, rows = oracle.radius_search(QUERIES, CODES[KEPT], 7, mask)
    found = shards.radius_search(QUERIES, 7, filter=mask)
    check(found, (offsets, distances, IDS[KEPT][rows]))


def test_candidates(shards: RayShards) -> None:
    queries = RNG.integers(-2, 3, (len(QUERIES), 64)).astype(np.float32)
    ids = shards.topk(QUERIES, 40).indices
    check(shards.rescore(queries, ids, 9), whole().rescore(queries, ids, 9))
    with pytest.raises(ValueError, match=r"^ids: expected ids of the index, got \d+, which it"):
        shards.rescore(queries[:1], IDS[~KEPT][None, :1], 1)


def whole() -> Index:
    return Index.from_codes(CODES[KEPT], ids=IDS[KEPT])


def test_one_shard_gives_arrays_of_the_callers_own(tmp_path: Path) -> None:
    Index.from_codes(CODES).save(tmp_path / "all")
    with open_shards([tmp_path / "all"], mmap=False) as alone:
        check(alone.topk(QUERIES, 9), oracle.topk(QUERIES, CODES, 9))
        check(alone.radius_search(QUERIES, 5), oracle.radius_search(QUERIES, CODES, 5))


def test_large_arguments_are_put_once(shards: RayShards, monkeypatch: pytest.MonkeyPatch) -> None:
    put, sizes = ray.put, []

    def counting(array: np.ndarray) -> Any:
        sizes.append(array.nbytes)
        return put(array)

    monkeypatch.setattr(ray, "put", counting)
    check(shards.topk(QUERIES, 9), expected(9))
    assert sizes == []
    monkeypatch.setattr(over_ray, "INLINE_BYTES", 0)
    check(shards.topk(QUERIES, 300, filter=IDS), expected(300))
    assert sizes == [QUERIES.nbytes, IDS.nbytes]


def test_a_process_that_died_before_a_search(shards: RayShards) -> None:
    before = shards.pids
    os.kill(before[1], signal.SIGKILL)
    check(shards.topk(QUERIES, 200), expected(200))
    assert shards.pids[0] == before[0]
    assert shards.pids[1] != before[1]


def stopped_then_killed(pid: int, call: Callable[[], Any]) -> Any:
    """Makes a call while a process hangs, which is killed when the call waits for it."""
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
    timer.start()
    begin = time.monotonic()
    try:
        return call()
    finally:
        assert time.monotonic() - begin > 0.4, "the call did not wait for the process"
        timer.join()


def test_a_process_that_dies_during_a_search(shards: RayShards) -> None:
    for shard in (0, 1):
        found = stopped_then_killed(shards.pids[shard], lambda: shards.topk(QUERIES, 200))
        check(found, expected(200))


def test_without_retries_a_death_is_one_sentence(paths: list[Path]) -> None:
    with open_shards(paths, retries=0) as once:
        with pytest.raises(
            ShardError,
            match=rf"^shard 0 \({paths[0]}\): expected an answer, got none in 1 tries from a "
            r"process that died or cannot be reached; see its machine's memory and Ray's logs, and "
            r"ask again$",
        ):
            stopped_then_killed(once.pids[0], lambda: once.topk(QUERIES, 3))
        deadline = time.monotonic() + 30
        while True:  # without retries a call does not wait for the new process either
            try:
                check(once.topk(QUERIES, 200), expected(200))
                break
            except ShardError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_a_search_after_the_end_starts_no_session(paths: list[Path]) -> None:
    closed = open_shards(paths)
    closed.close()
    many = np.zeros((10_000, 8), np.uint8)  # more than travels with a call
    with pytest.raises(ValueError, match=r"^shards: expected open ones, got closed ones"):
        closed.topk(many, 3)


def test_closing_while_others_search(paths: list[Path]) -> None:
    closing = open_shards(paths)

    def search() -> str:
        while True:
            try:
                check(closing.topk(QUERIES, 20), expected(20))
            except ValueError as error:
                return str(error)

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        time.sleep(0.3)
        closing.close()
        for found in searches:
            assert found.result(30).startswith("shards: expected open ones, got closed ones or an")


def test_a_process_that_hangs_is_one_sentence(paths: list[Path]) -> None:
    with open_shards(paths) as hanging:
        pid = hanging.pids[1]
        hanging._timeout = 1.0
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic()
        try:
            with pytest.raises(
                ShardError,
                match=rf"^shard 1 \({paths[1]}\): expected an answer within 1 s, got none; ",
            ):
                hanging.topk(QUERIES, 3)
            assert time.monotonic() - begin < 5
        finally:
            os.kill(pid, signal.SIGCONT)
        hanging._timeout = 30.0
        check(hanging.topk(QUERIES, 200), expected(200))


def test_a_file_that_is_gone_or_another_when_its_process_starts_again(tmp_path: Path) -> None:
    first, second = save(tmp_path)
    kept = tmp_path / "kept"
    with open_shards([first, second]) as opened:
        first.rename(kept)
        check(opened.topk(QUERIES, 200), expected(200))  # the process has it still
        os.kill(opened.pids[0], signal.SIGKILL)
        with pytest.raises(
            ShardError,
            match=rf"^shard 0 \({first}\): expected its file when its process started again, got "
            rf"none that can be read \({first}: No such file or directory\); bring the file back$",
        ):
            opened.topk(QUERIES, 3)
        first.write_bytes(second.read_bytes())
        with pytest.raises(
            ShardError,
            match=rf"^shard 0 \({first}\): expected the file that was there at first when its "
            r"process started again, got another one; bring it back, or open the shards anew$",
        ):
            opened.radius_search(QUERIES, 3)
        kept.replace(first)
        check(opened.topk(QUERIES, 200), expected(200))


def test_closed_shards_and_the_callers_session(paths: list[Path]) -> None:
    opened = open_shards(paths)
    pids = opened.pids
    opened.close()
    opened.close()
    with pytest.raises(ValueError, match=r"^shards: expected open ones, got closed ones or an "):
        opened.topk(QUERIES, 3)
    assert ray.is_initialized()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "processes of closed shards live on"
        time.sleep(0.05)


def test_mistakes_of_the_caller(shards: RayShards, paths: list[Path], tmp_path: Path) -> None:
    Index.from_codes(CODES[:9], ids=IDS[95:104]).save(again := tmp_path / "again")
    for message, call in {
        r"^k: expected at most the \d+ codes of the database, got 900; ": lambda: shards.topk(
            QUERIES, 900
        ),
        r"^threads: expected at least 1, got 0; use 1 or more, or None for all CPUs$": (
            lambda: shards.topk(QUERIES, 3, threads=0)
        ),
        rf"^shard 1 \({tmp_path}/none\): expected a file that Index\.save wrote, got No such f": (
            lambda: open_shards([paths[0], tmp_path / "none"])
        ),
        r"^ids: expected each in one shard only, got \d+ in shards 0 and 1; ": (
            lambda: open_shards([paths[0], again])
        ),
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


OWN_SESSION = """
import sys
import numpy as np
import hamming, hamming.sharded
assert "ray" not in sys.modules
from hamming.sharded import RayShards
path = sys.argv[1]
codes = np.arange(40, dtype=np.uint8).reshape(10, 4)
hamming.Index.from_codes(codes).save(path)
with RayShards([path]) as shards:
    assert shards.topk(codes[3], 1).indices.tolist() == [3]
import ray
assert not ray.is_initialized()
try:
    shards.topk(codes[3], 1)
except ValueError as error:
    print(error)
"""


def test_a_session_of_its_own_is_ended(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OWN_SESSION, str(tmp_path / "shard")],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shards: expected open ones, got closed ones or an ended Ray ")
    assert "Traceback" not in done.stderr


def test_other_trouble_of_ray_is_one_sentence(
    shards: RayShards, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trouble(*args: Any, **options: Any) -> None:
        raise ray.exceptions.RaySystemError("many\nlines")

    monkeypatch.setattr(ray, "get", trouble)
    with pytest.raises(
        ShardError,
        match=rf"^shard 0 \({paths[0]}\): expected an answer, got RaySystemError; see Ray's logs$",
    ):
        shards.topk(QUERIES, 3)
