"""Recall of search in stages, against exact search by float inner products, and its time.

    python bench/recall.py    the embedded clipart's features and drawn clusters
    python bench/recall.py --n 20000 --out FILE.json    fewer drawn vectors, another record

Vectors have length 1. Codes are the signs of the values, of a random rotation and of ITQ; recall@k
is the share of the k best by float inner product that the search finds. Of the drawn vectors the
binarisers see the first 5,000. All on one thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import hamming
from bench import command, harness, machine, recall_tables, report
from distill.binarize import Binarizer, Itq, RandomRotation
from distill.config import TrainConfig
from distill.encoders.encoder import load_encoder
from distill.inputs import encode_dataset
from distill.train import load_dataset

RESULTS = Path(__file__).parent / "results" / "recall.json"
SEEDS = (0, 1, 2)
KS = (10, 100)
MULTIPLES = (2, 4, 10, 20, 100)
"""Candidates over k."""
FITTED = 5_000
"""Vectors that a binariser is fitted to, at the most."""
BITS = (64, 256)
"""Of fitted codes; of vectors of WIDTH values as many as these too."""
TIMED = 256
"""Bits of the search that is timed."""
N_CLUSTERS, WIDTH, N_QUERIES = 2_000, 384, 100


class Vectors(NamedTuple):
    """What is searched: rows of length 1."""

    name: str
    queries: np.ndarray
    database: np.ndarray


class Coder(NamedTuple):
    """A way from vectors to codes: bit = value > threshold."""

    name: str
    n_bits: int
    binarizer: Binarizer | None
    threshold: Any

    def values(self, vectors: np.ndarray) -> np.ndarray:
        return vectors if self.binarizer is None else self.binarizer.values(vectors)


def drawn(n: int, seed: int) -> Vectors:
    """Gaussian clusters whose variance falls from axis to axis as 1 / j, the axes then rotated."""
    rng = np.random.default_rng(seed)
    n_all = n + N_QUERIES
    centres = rng.standard_normal((N_CLUSTERS, WIDTH), dtype=np.float32)
    x = centres[rng.integers(N_CLUSTERS, size=n_all)]
    x += rng.standard_normal((n_all, WIDTH), dtype=np.float32)
    x *= np.arange(1, WIDTH + 1, dtype=np.float32) ** -0.5
    rotation = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32)
    x = _of_length_one(x @ rotation)
    return Vectors("clusters", x[:N_QUERIES], x[N_QUERIES:])


def features() -> Iterator[Vectors]:
    """Of the embedded clipart's texts (MiniLM) and images (EfficientNet-Lite0)."""
    config = TrainConfig()
    dataset = load_dataset(config)
    found = encode_dataset(load_encoder(config.encoder), dataset, config)
    for modality in ("text", "image"):
        x = _of_length_one(found[modality].numpy())
        splits = dataset.splits
        yield Vectors(modality, x[splits["query"]][:N_QUERIES], x[splits["database"]])


def _of_length_one(x: np.ndarray) -> np.ndarray:
    rows: np.ndarray = x / np.linalg.norm(x, axis=1, keepdims=True)
    return rows


def signs(vectors: Vectors) -> list[Coder]:
    """Codes of as many bits as the vectors have values."""
    dim = vectors.database.shape[1]
    mean = vectors.database.mean(axis=0)
    return [Coder("sign", dim, None, 0.0), Coder("sign about the mean", dim, None, mean)]


def fitted(vectors: Vectors, bits: Sequence[int], seed: int) -> Iterator[Coder]:
    """Codes of binarisers with a seed."""
    sample = vectors.database[:FITTED]
    for n_bits in bits:
        for kind, name in ((RandomRotation, "random rotation"), (Itq, "ITQ")):
            yield Coder(name, n_bits, kind(n_bits, seed=seed).fit(sample), 0.0)


def int8_of(database: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 and ranges as `quantize_embeddings` of sentence-transformers makes them."""
    ranges = np.stack([database.min(axis=0), database.max(axis=0)])
    steps = (ranges[1] - ranges[0]) / 255
    steps[steps == 0] = 1
    buckets = np.clip(np.floor((database - ranges[0]) / steps), 0, 255)
    return (buckets - 128).astype(np.int8), ranges


class Searches(NamedTuple):
    """The same codes, without and with embeddings."""

    codes: hamming.TwoStageSearch
    float32: hamming.TwoStageSearch
    int8: hamming.TwoStageSearch


def searches(coder: Coder, vectors: Vectors, values: np.ndarray) -> Searches:
    """All stages over one index."""
    packed = hamming.pack(values, threshold=coder.threshold)
    index = hamming.Index.from_codes(packed, coder.n_bits)
    about = {
        "threshold": coder.threshold,
        "encode": None if coder.binarizer is None else coder.values,
    }
    quantised, ranges = int8_of(vectors.database)
    return Searches(
        hamming.TwoStageSearch(index, **about),
        hamming.TwoStageSearch(index, vectors.database, **about),
        hamming.TwoStageSearch(index, quantised, ranges=ranges, **about),
    )


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """The share of the rows of `truth` that stand in the rows of `found`."""
    return float((found[:, :, None] == truth[:, None, :]).any(axis=1).mean())


def measured(coder: Coder, vectors: Vectors, truth: np.ndarray, seed: int | None) -> list[dict]:
    """A row for each k: recall after each stage, by number of candidates."""
    values = coder.values(vectors.database)
    through = searches(coder, vectors, values)
    asked = coder.values(vectors.queries)
    packed = hamming.pack(asked, threshold=coder.threshold)
    index, n, rows = through.codes.index, len(vectors.database), []
    for k in KS:
        best, sizes = truth[:, :k], [min(multiple * k, n) for multiple in MULTIPLES]
        after: dict[int, dict[str, float]] = {}
        for m in dict.fromkeys(sizes):
            whole = {"candidates": m, "rescored": m}
            near = index.topk(packed, m).indices
            results = {
                "rescored": through.codes(vectors.queries, k, candidates=m),
                "unshifted": index.rescore(asked, near, k),
                "float32": through.float32(vectors.queries, k, **whole),
                "int8": through.int8(vectors.queries, k, **whole),
                "half": through.float32(vectors.queries, k, candidates=m),
            }
            after[m] = {name: recall(result.indices, best) for name, result in results.items()}
        found: dict[str, Any] = {"codes": recall(index.topk(packed, k).indices, best)}
        found |= {name: [after[m][name] for m in sizes] for name in after[sizes[0]]}
        about = {"data": vectors.name, "n": n, "dim": vectors.database.shape[1]}
        about |= {"n_queries": len(vectors.queries), "codes": coder.name, "n_bits": coder.n_bits}
        rows.append(about | {"seed": seed, "k": k, "recall": found})
    return rows


def exact(vectors: Vectors) -> np.ndarray:
    """The best by inner product, best first, equal ones in the order of rows as in a search."""
    queries, database = (x.astype(np.float64) for x in vectors[1:])
    scores = (queries @ database.T).astype(np.float32)
    return np.argsort(-scores, axis=1, kind="stable")[:, : max(KS)]


def times(vectors: Vectors, seconds: float) -> dict[str, Any]:
    """Of a search for 10 with the default numbers, a query at a time and all together."""
    (coder,) = [c for c in fitted(vectors, [TIMED], SEEDS[0]) if c.name == "ITQ"]
    through = searches(coder, vectors, coder.values(vectors.database))
    truth, k = exact(vectors)[:, :10], 10
    kinds = {
        "codes and re-scoring": through.codes,
        "and float32 rows": through.float32,
        "and int8 rows": through.int8,
    }

    def scan(queries: np.ndarray) -> np.ndarray:
        scores = queries @ vectors.database.T
        first = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, first, 1), axis=1)
        return np.take_along_axis(first, order, 1)

    def codes(queries: np.ndarray) -> np.ndarray:
        return through.codes.index.topk(hamming.pack(coder.values(queries)), k).indices

    calls = {"float32 scan (NumPy)": scan, "codes alone": codes}
    calls |= {
        name: (lambda queries, search=search: search(queries, k).indices)
        for name, search in kinds.items()
    }
    found: dict[str, Any] = {
        "n": len(vectors.database),
        "dim": vectors.database.shape[1],
        "n_bits": TIMED,
        "k": k,
        "recall": {name: recall(call(vectors.queries), truth) for name, call in calls.items()},
    }
    for n_queries in (1, N_QUERIES):
        starts = range(0, N_QUERIES, n_queries)

        def each(call: Any, size: int = n_queries, starts: range = starts) -> harness.Call:
            batches = [vectors.queries[i : i + size] for i in starts]
            return lambda i: call(batches[i % len(batches)])

        timed = harness.measure(
            {name: each(call) for name, call in calls.items()}, harness.Budget(seconds)
        )
        found[str(n_queries)] = {name: timing.summary() for name, timing in timed.items()}
    return found


def rows_of(n: int, seeds: Sequence[int]) -> Iterator[dict]:
    """Of all data, codes and seeds."""
    for vectors in features():
        truth, dim = exact(vectors), vectors.database.shape[1]
        for coder in signs(vectors):
            yield from measured(coder, vectors, truth, None)
        for seed in seeds:
            bits = (*BITS, dim) if dim == WIDTH else BITS
            for coder in fitted(vectors, bits, seed):
                yield from measured(coder, vectors, truth, seed)
    for seed in seeds:
        vectors = drawn(n, seed)
        truth = exact(vectors)
        for coder in (*signs(vectors)[:1], *fitted(vectors, BITS, seed)):
            yield from measured(coder, vectors, truth, seed)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("bench/recall.py", __doc__)
    parser.add_argument("--n", type=int, default=100_000, help="drawn vectors")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--seconds", type=float, default=10, help="of each of two timings")
    parser.add_argument("--out", type=Path, help="the record (bench/results/recall.json)")
    options = parser.parse_args(arguments)
    out = command.parsed_path(parser, options, RESULTS, ("n", "seeds", "seconds"))
    os.environ["HAMMING_THREADS"] = "1"
    torch.set_num_threads(1)
    others = machine.Others()
    with threadpool_limits(1):
        timed = times(drawn(options.n, options.seeds[0]), options.seconds)
        rows = list(rows_of(options.n, options.seeds))
    record = {
        "command": ["bench/recall.py", *(sys.argv[1:] if arguments is None else arguments)],
        "machine": machine.facts(),
        "other_processes_cpus": others.cpus(),
        "seeds": options.seeds,
        "multiples": MULTIPLES,
        "times": timed,
        "rows": rows,
    }
    report.save(record, out)
    for name in recall_tables.TABLES:
        for line in recall_tables.TABLES[name](record):
            print(" | ".join(line))


if __name__ == "__main__":
    main()
