"""One search over shards: the array alone, in this process, and in processes over Ray.

    python bench/sharded.py    1e7 codes of 64 bits, 4e6 of 256, about three minutes
    python bench/sharded.py --quick --out FILE.json    the same on few codes

Every answer is compared with that of `hamming.topk` on the whole array before anything is timed.
Processes have one thread each. The record has every contender's wall time; what an answer costs
beside the search, from shards of a thousand codes; the first and the later searches of a
memory-mapped file; and how long a search takes whose process is killed before it.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import numpy as np

import hamming
from bench import command, machine, report, scale_page
from bench.harness import Budget, Timing, measure
from hamming.sharded import RayShards, Shards

RESULTS = machine.ROOT / "bench" / "results" / "sharded.json"
K = 10
QUERIES = (1, 100)
SMALL_CODES = 1000
SHARE = 0.1
"""Of a CPU that Ray reserves for a process, so that all contenders have theirs at once."""


class Size(NamedTuple):
    n_bits: int
    n_codes: int


class Plan(NamedTuple):
    """What is measured.

    Attributes:
        sizes: of databases.
        seconds: for all contenders of a search.
        small_shards: numbers of processes whose shards are too small to matter.
        kills: of a process, the other one each time.
    """

    sizes: tuple[Size, ...]
    seconds: float
    small_shards: tuple[int, ...]
    kills: int


WHOLE = Plan((Size(64, 10_000_000), Size(256, 4_000_000)), 10.0, (1, 2, 4, 8), 5)
QUICK = Plan((Size(64, 20_000),), 0.2, (1, 2), 1)


def draw(size: Size) -> np.ndarray:
    """Random codes."""
    shape = (size.n_codes, size.n_bits // 8)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def cut(codes: np.ndarray, n_shards: int) -> list[hamming.Index]:
    """Shards of about one size, whose ids are the rows of the array."""
    ids = np.array_split(np.arange(len(codes)), n_shards)
    return [hamming.Index.from_codes(codes[part[0] : part[-1] + 1], ids=part) for part in ids]


def saved(codes: np.ndarray, n_shards: int, folder: Path) -> list[Path]:
    """Files of shards."""
    paths = [folder / f"{len(codes)}-{shard}-of-{n_shards}" for shard in range(n_shards)]
    for index, path in zip(cut(codes, n_shards), paths, strict=True):
        index.save(path)
    return paths


@contextmanager
def processes(codes: np.ndarray, counts: Sequence[int], folder: Path) -> Iterator[list[RayShards]]:
    """The same codes in so many processes, for each count."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(RayShards(saved(codes, n, folder), num_cpus=SHARE)) for n in counts
        ]


def check(name: str, found: Any, expected: Any) -> None:
    """End the run where an answer is not that of the array."""
    for got, wanted in zip(found, expected, strict=True):
        if not np.array_equal(got, wanted):
            sys.exit(f"{name}: another answer than the array's, nothing is written")


def timed(calls: dict[str, Callable[[], Any]], expected: Any, seconds: float) -> dict[str, Any]:
    """Wall time of each contender, whose answer is checked first."""
    for name, call in calls.items():
        check(name, call(), expected)
    turns = {name: _without_count(call) for name, call in calls.items()}
    timings = measure(turns, Budget(seconds, min_rounds=3))
    return {name: wall(timing) for name, timing in timings.items()}


def _without_count(call: Callable[[], Any]) -> Callable[[int], Any]:
    return lambda _: call()


def wall(timing: Timing) -> dict[str, Any]:
    """Without the CPU time, which other processes have a part in."""
    return {name: value for name, value in timing.summary().items() if "cpu" not in name}


def searches(size: Size, seconds: float, folder: Path) -> list[dict[str, Any]]:
    """Batches of queries against one database, by every contender."""
    codes = draw(size)
    queries = np.random.default_rng(1).integers(0, 256, (max(QUERIES), codes.shape[1]), np.uint8)
    rows = []
    here = Shards(cut(codes, 2))
    with processes(codes, (1, 2), folder) as (one, two):
        for n_queries in QUERIES:
            some = queries[:n_queries]
            calls: dict[str, Callable[[], Any]] = {
                "array, 1 thread": lambda q=some: hamming.topk(q, codes, K, threads=1),
                "array, 2 threads": lambda q=some: hamming.topk(q, codes, K, threads=2),
                "2 shards here, 2 threads": lambda q=some: here.topk(q, K, threads=2),
                "1 process": lambda q=some: one.topk(q, K),
                "2 processes": lambda q=some: two.topk(q, K),
            }
            found = timed(calls, hamming.topk(some, codes, K), seconds)
            rows.append({**size._asdict(), "n_queries": n_queries, "k": K, "contenders": found})
    return rows


def round_trips(counts: Sequence[int], seconds: float, folder: Path) -> dict[str, Any]:
    """One query against shards too small to matter, by their number."""
    codes = draw(Size(64, SMALL_CODES * max(counts)))
    query = codes[:1]
    found = {}
    for n_shards in counts:
        some = codes[: SMALL_CODES * n_shards]
        with processes(some, (n_shards,), folder) as (shards,):
            calls = {str(n_shards): lambda s=shards: s.topk(query, K)}
            found |= timed(calls, hamming.topk(query, some, K), seconds)
    return {"codes_a_shard": SMALL_CODES, "k": K, "processes": found}


def mapped(size: Size, folder: Path) -> dict[str, Any]:
    """Seconds of searches of a file in place: with none of it in memory, and then with all."""
    codes = draw(size)
    (path,) = saved(codes, 1, folder)
    expected, found = hamming.topk(codes[:1], codes, K), []
    for _ in range(3):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        index = hamming.Index.load(path, mmap=True)
        begins = []
        for _ in range(3):
            begins.append(time.perf_counter())
            check("mapped file", index.topk(codes[:1], K), expected)
        found.append([later - begin for begin, later in pairwise(begins)])
        del index
    first, second = zip(*found, strict=True)
    return {**size._asdict(), "first_s": list(first), "second_s": list(second)}


def recovery(size: Size, kills: int, folder: Path) -> dict[str, Any]:
    """Seconds of the first search after the kill of one of two processes, and of the next."""
    codes = draw(size)
    expected = hamming.topk(codes[:1], codes, K)
    found: dict[str, list[float]] = {"first_s": [], "second_s": []}
    with processes(codes, (2,), folder) as (shards,):
        for turn in range(kills):
            os.kill(shards.pids[turn % 2], signal.SIGKILL)
            for times in found.values():
                begin = time.perf_counter()
                check("after a kill", shards.topk(codes[:1], K), expected)
                times.append(time.perf_counter() - begin)
    return {**size._asdict(), **found}


def busy(seconds: float) -> float:
    """CPUs that others use while this process rests; later its own processes would count."""
    others = machine.Others()
    time.sleep(seconds)
    return others.cpus()


def run(plan: Plan) -> dict[str, Any]:
    """All measurements, in a session of Ray that is started here."""
    import ray

    facts = machine.facts()
    facts["versions"]["ray"] = importlib.metadata.version("ray")
    record: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts,
        "load_average": machine.load_average(),
        "other_processes_cpus": {"before": busy(plan.seconds)},
    }
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            sized = (searches(size, plan.seconds, folder) for size in plan.sizes)
            record["rows"] = [row for rows in sized for row in rows]
            record["round_trips"] = round_trips(plan.small_shards, plan.seconds / 4, folder)
            record["mapped"] = mapped(plan.sizes[0], folder)
            record["recovery"] = recovery(plan.sizes[0], plan.kills, folder)
    finally:
        ray.shutdown()
    record["other_processes_cpus"]["after"] = busy(plan.seconds)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = command.parser("bench/sharded.py", __doc__)
    parser.add_argument("--quick", action="store_true", help="few codes, few repeats")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(bench/results/sharded.json)")
    options = parser.parse_args(arguments)
    out = command.parsed_path(parser, options, RESULTS, ("quick",))
    begin = time.perf_counter()
    measured = run(QUICK if options.quick else WHOLE)
    given = sys.argv[1:] if arguments is None else list(arguments)
    record = {"command": ["bench/sharded.py", *given], **measured}
    record["seconds"] = round(time.perf_counter() - begin, 1)
    report.save(record, out)
    for line in scale_page.measured(record):
        print(" | ".join(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
