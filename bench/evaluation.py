"""Evaluation at the size of the usual datasets: ours beside the usual NumPy loop, values equal.

    python bench/evaluation.py                         the sizes of MIRFlickr, NUS-WIDE and MS-COCO
    python bench/evaluation.py --sizes 200x3000x24 --out FILE.json
                                                       queries x database items x labels

Codes and labels are drawn: an item's code is the sign of the sum of its labels' random vectors and
noise. Each contender runs in a process of its own with one thread. Both give MAP over the whole
ranking (equal distances by index), pooled precision and recall by radius, and topN-precision; ours
gives MAP averaged over ties, both MAP@k and lookup as well. The run fails where values differ by
more than 1e-12.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a file: find the package, and let an installed `distill` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import numpy as np
from numpy.typing import NDArray

from bench import command, evaluation_page, machine, report
from distill.evaluation import DIRECTIONS, evaluate
from distill.metrics.scores import TOPN_DEPTHS, Evaluation

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
TOLERANCE = 1e-12
ONE = {"image_to_text": DIRECTIONS["image_to_text"]}
Values = dict[str, Any]


class Size(NamedTuple):
    """Of a dataset's evaluation."""

    name: str
    n_queries: int
    n_codes: int
    n_labels: int


SIZES = (
    Size("MIRFlickr-25K", 2_000, 18_015, 24),
    Size("NUS-WIDE-21", 2_100, 193_734, 21),
    Size("MS-COCO", 5_000, 117_218, 80),
)
LABELS_PER_ITEM = 2
"""On average, beside the one that every item has; the k-th label is drawn as 1 / sqrt(k)."""
NOISE = 3
"""Standard deviation of what is added to an item's meaning, whose own is about sqrt(labels)."""


class Problem(NamedTuple):
    """Queries first, then the database, row i of everything being item i."""

    image: NDArray[np.uint8]
    text: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    splits: dict[str, NDArray[np.int64]]
    n_bits: int


def draw(size: Size, n_bits: int, seed: int = 0) -> Problem:
    """Draw codes (n, n_bytes) of two modalities with the structure of their labels."""
    rng = np.random.default_rng(seed)
    n = size.n_queries + size.n_codes
    frequency = np.arange(1, size.n_labels + 1) ** -0.5
    frequency *= LABELS_PER_ITEM / frequency.sum()
    labels = (rng.random((n, size.n_labels)) < frequency).astype(np.uint8)
    labels[np.arange(n), rng.integers(size.n_labels, size=n)] = 1
    meaning = rng.normal(size=(size.n_labels, n_bits)).astype(np.float32)
    mean = labels.astype(np.float32) @ meaning
    codes = (
        np.packbits(mean + NOISE * rng.normal(size=mean.shape).astype(np.float32) > 0, axis=1)
        for _ in range(2)
    )
    splits = {"query": np.arange(size.n_queries), "database": np.arange(size.n_queries, n)}
    return Problem(*codes, labels, splits, n_bits)


def ours(problem: Problem, directions: dict[str, tuple[str, str]]) -> Evaluation:
    """Evaluate the directions as `python -m distill.evaluate` does."""
    codes = {"image": problem.image, "text": problem.text}
    about = {"n_bits": problem.n_bits, "protocol": "drawn codes"}
    return evaluate(codes, problem.labels, problem.splits, directions=directions, **about)


def values(evaluation: Evaluation) -> Values:
    """What both contenders say of the first direction."""
    scores = next(iter(evaluation.directions.values()))
    topn = [p for n, p in scores.precision_at.items() if n in TOPN_DEPTHS]
    curve = scores.curve_precision, scores.curve_recall
    return {"map": scores.map, "topn": topn, "precision": curve[0], "recall": curve[1]}


def numpy_loop(problem: Problem) -> Values:
    """The loop of published code: per query all distances, one stable argsort, one cumulative sum.

    Distances by a product of -1 and +1 codes, relevance by a product of labels, float32 as there.
    """
    query, database = problem.splits["query"], problem.splits["database"]
    signs = [
        np.unpackbits(codes, axis=1, count=problem.n_bits).astype(np.float32) * 2 - 1
        for codes in (problem.image[query], problem.text[database])
    ]
    query_labels, db_labels = (
        problem.labels[rows].astype(np.float32) for rows in (query, database)
    )
    depths = np.array([n for n in TOPN_DEPTHS if n <= len(database)], int)
    precisions, topn = [], np.zeros(len(depths))
    found = items = np.zeros(problem.n_bits + 1, int)
    for code, label in zip(signs[0], query_labels, strict=True):
        distance = 0.5 * (problem.n_bits - signs[1] @ code)
        relevant = db_labels @ label > 0
        ranked = relevant[np.argsort(distance, kind="stable")]
        ranks = np.flatnonzero(ranked) + 1
        precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean() if len(ranks) else 0.0)
        topn += ranked.cumsum()[depths - 1] / depths
        whole = distance.astype(int)
        items = items + np.bincount(whole, minlength=problem.n_bits + 1)
        found = found + np.bincount(whole[relevant], minlength=problem.n_bits + 1)
    return {
        "map": float(np.mean(precisions)),
        "topn": (topn / len(query)).tolist(),
        "precision": (found.cumsum() / np.maximum(items.cumsum(), 1)).tolist(),
        "recall": (found.cumsum() / max(found.sum(), 1)).tolist(),
    }


CONTENDERS: dict[str, Callable[[Problem], Values]] = {
    "ours": lambda problem: values(ours(problem, ONE)),
    "ours, four directions": lambda problem: values(ours(problem, DIRECTIONS)),
    "numpy loop": numpy_loop,
}


def work(contender: str, folder: Path) -> Values:
    """Run one contender on the stored problem, and say what it took: this process has no other use.

    `memory_bytes` is how far resident memory rose during the call; `peak_bytes` all of the process.
    """
    splits = {name: np.load(folder / f"{name}.npy") for name in ("query", "database")}
    arrays = (np.load(folder / f"{name}.npy") for name in ("image", "text", "labels"))
    problem = Problem(*arrays, splits, int((folder / "bits").read_text()))
    took: Values = {}

    def call(_: int) -> None:
        begin = time.perf_counter(), time.process_time()
        took["values"] = CONTENDERS[contender](problem)
        took["seconds"] = time.perf_counter() - begin[0]
        took["cpu_seconds"] = time.process_time() - begin[1]

    others = machine.Others()
    took["memory_bytes"] = machine.peak_memory(call)
    took["other_processes_cpus"] = others.cpus()
    took["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return took


def measure(size: Size, n_bits: int) -> dict:
    """Run every contender on one problem, one after the other, and compare what they found."""
    problem = draw(size, n_bits)
    row: dict[str, Any] = {**size._asdict(), "n_bits": n_bits, "contenders": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {"image": problem.image, "text": problem.text, "labels": problem.labels}
        for part, array in {**parts, **problem.splits}.items():
            np.save(folder / f"{part}.npy", array)
        (folder / "bits").write_text(str(n_bits))
        for contender in CONTENDERS:
            row["contenders"][contender] = _in_its_own_process(contender, folder)
    found = {name: each.pop("values") for name, each in row["contenders"].items()}
    row["relevant"] = found["numpy loop"]["precision"][-1]
    row["map"] = found["ours"]["map"]
    row["largest_difference"] = max(
        difference(each, found["numpy loop"])
        for name, each in found.items()
        if name != "numpy loop"
    )
    if not row["largest_difference"] <= TOLERANCE:
        sys.exit(f"{size.name}: ours and NumPy's loop differ by {row['largest_difference']:.1e}")
    return row


def difference(ours: Values, theirs: Values) -> float:
    """The largest between any two values."""
    pairs = ((np.ravel(ours[key]), np.ravel(theirs[key])) for key in theirs)
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs)


def _in_its_own_process(contender: str, folder: Path) -> Values:
    one = ("HAMMING_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    words = [sys.executable, __file__, "--work", contender, str(folder)]
    environment = os.environ | dict.fromkeys(one, "1")
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{contender}: {done.stderr}")
    found: Values = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("bench/evaluation.py", __doc__)
    parser.add_argument("--sizes", nargs="+", type=_size, default=SIZES, metavar="QxNxL")
    parser.add_argument("--bits", type=int, default=64, help="code length, 64 unless given")
    parser.add_argument("--out", type=Path, help="the record (bench/results/evaluation.json)")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        print(json.dumps(work(options.work[0], Path(options.work[1]))))
        return
    out = command.parsed_path(parser, options, RESULTS, ("sizes", "bits"))
    record = {
        "command": ["bench/evaluation.py", *(sys.argv[1:] if arguments is None else arguments)],
        "machine": machine.facts(),
        "n_bits": options.bits,
        "rows": [measure(size, options.bits) for size in options.sizes],
    }
    report.save(record, out)
    for line in evaluation_page.table(record["rows"]):
        print(" | ".join(line))
    print(evaluation_page.note(record))


def _size(text: str) -> Size:
    """Read "200x3000x24"."""
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected queries x items x labels, got {text}")
    return Size(text, *map(int, match.groups()))


if __name__ == "__main__":
    main()
