"""Step 9: what is promised beside speed: graphs, streams, no copies, a quick first call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import hamming
from bench.suites.frame import WrongResultError

from . import codes, launches
from .card import Card, torch_module
from .frame import Case, Step
from .searches import Search

PROBE = Path(__file__).with_name("probe.py")  # a script
SEARCH = Search(64, 10**7, 40, 50)
_REPEATS = 3  # of first calls


def _tensors(card: Card, search: Search, seed: int = 0) -> tuple[Any, Any]:
    """Queries and database as torch tensors of the card's memory."""
    torch = torch_module()
    db = card.database(search.n_bits, search.n_codes)
    queries = codes.queries(card.xp, db, search.n_queries, seed=seed)
    return torch.from_dlpack(queries), torch.from_dlpack(db)


def _require(same: bool, sentence: str) -> None:
    if not same:
        raise WrongResultError(sentence)


def _equal(found: Any, expected: Any) -> bool:
    torch = torch_module()
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def kinds(card: Card) -> dict[str, Any]:
    """Torch tensors and CuPy arrays give the same, each its own kind, also of strided views."""
    torch = torch_module()
    queries, db = _tensors(card, SEARCH)
    found = hamming.topk(queries, db, SEARCH.k)
    _require(all(isinstance(x, torch.Tensor) and x.is_cuda for x in found), "not torch's, on a GPU")
    cupy = card.xp
    same = hamming.topk(cupy.from_dlpack(queries), cupy.from_dlpack(db), SEARCH.k)
    _require(all(isinstance(x, cupy.ndarray) for x in same), "not CuPy's")
    _require(_equal(found, map(torch.from_dlpack, same)), "CuPy and torch differ")
    strided = hamming.topk(queries[::2], db[::2], SEARCH.k)
    copied = hamming.topk(queries[::2].contiguous(), db[::2].contiguous(), SEARCH.k)
    _require(_equal(strided, copied), "strided views differ from their copies")
    return {}


def graph(card: Card) -> dict[str, Any]:
    """A captured search follows its input; the capture would refuse to wait for the device."""
    queries, db = _tensors(card, SEARCH)
    other, _ = _tensors(card, SEARCH, seed=1)
    return _replayed(lambda batch: hamming.topk(batch, db, SEARCH.k), queries, other)


def captured_chain(card: Card) -> dict[str, Any]:
    """The same of packing, searching and re-scoring in one graph."""
    torch = torch_module()
    _, db = _tensors(card, SEARCH)
    size = (2, SEARCH.n_queries, SEARCH.n_bits)
    return _replayed(_chain(db), *torch.randn(size, device=card.torch_device))


def _chain(db: Any) -> Callable[[Any], hamming.Rescored]:
    def chain(values: Any) -> hamming.Rescored:
        near = hamming.topk(hamming.pack(values), db, SEARCH.k)
        return hamming.rescore(values, db, near.indices, 10)

    return chain


def _replayed(call: Callable[[Any], Any], one: Any, other: Any) -> dict[str, Any]:
    """Captures a call, and replays it on other inputs, with other work in between."""
    torch = torch_module()
    expected = {False: call(one), True: call(other)}
    static = one.clone()
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        found = call(static)
    for is_other in (False, True, False):
        static.copy_(other if is_other else one)
        call(one)
        captured.replay()
        torch.cuda.synchronize()
        _require(_equal(found, expected[is_other]), "a replay differs from the eager result")
    return {"replays": 3}


def streams(card: Card) -> dict[str, Any]:
    """Two batches at a time on two streams, again and again, over one database."""
    torch = torch_module()
    batches = [_tensors(card, SEARCH, seed)[0] for seed in (0, 1)]
    _, db = _tensors(card, SEARCH)
    expected = [hamming.topk(batch, db, SEARCH.k) for batch in batches]
    both = [torch.cuda.Stream() for _ in batches]
    torch.cuda.synchronize()
    found = []
    for _ in range(10):
        for number, stream in enumerate(both):
            with torch.cuda.stream(stream):
                found.append((number, hamming.topk(batches[number], db, SEARCH.k)))
    torch.cuda.synchronize()
    for number, result in found:
        _require(_equal(result, expected[number]), "results of two streams at once differ")
    return {"searches": len(found)}


def no_copies(card: Card) -> dict[str, Any]:
    """Pack, search and re-score without a copy to the host, as the profiler sees it."""
    torch = torch_module()
    _, db = _tensors(card, SEARCH)
    values = torch.randn(SEARCH.n_queries, SEARCH.n_bits, device=card.torch_device)
    chain = _chain(db)
    expected = chain(values)  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = chain(values)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    _require(_equal(found, expected), "a second call differs")
    times: dict[str, float] = {}
    for name, _, took in launches.launched(lambda: chain(values)):
        times[name] = times.get(name, 0.0) + took
    copies = sorted(name for name in times if "dtoh" in name.lower().replace(" ", ""))
    _require(not copies, f"copied to the host: {', '.join(copies)}")
    return {"microseconds": {name: round(us, 2) for name, us in times.items()}}


def first_call(card: Card) -> dict[str, Any]:
    """In a fresh process, after CUDA has been started: with an empty and with a filled cache."""
    del card
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CUPY_CACHE_DIR": folder}
        runs = [_probe(environment) for _ in range(1 + _REPEATS)]
    cold, *warm = runs
    return {
        "cold_ms": cold["first_ms"],
        "warm_ms": median(run["first_ms"] for run in warm),
        "second_call_ms": median(run["second_ms"] for run in warm),
        "runs": runs,
    }


def _probe(environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, str(PROBE), "first"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def cases(dry: bool) -> Sequence[Case]:
    del dry
    found: list[Case] = [
        Case("torch and CuPy", kinds, 5, (SEARCH,)),
        Case("graph", graph, 3, (SEARCH,)),
        Case("graph of the whole chain", captured_chain, 3, (SEARCH,)),
        Case("two streams", streams, 3, (SEARCH,)),
        Case("no copy to the host", no_copies, 6, (SEARCH,)),
        Case("first call", first_call, 25),
    ]
    return tuple(replace(case, needs_gpu=True) for case in found)


STEP = Step("guarantees", "Graphs, streams, copies, first call", cases)
