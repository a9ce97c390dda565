"""The chain from images to neighbours on one device: what of its time is the search?

`python bench/latency.py --device cuda` runs it: an image tower of random weights (a speed, not a
model: it is no CLIP), a hash head, packing, top-k, and the same with re-scoring, in eager mode and
as a CUDA graph. On the CPU it shows that it works.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from distill.encoders.torchvision_guard import import_open_clip
from distill.retriever import CodeSearch

WARM_UP = 3


@dataclass(frozen=True)
class Chain:
    """One problem: a batch of images against codes.

    Attributes:
        tower: name of an open_clip model, whose image tower encodes.
        candidates: re-scored, or None.
    """

    tower: str
    batch: int
    n_bits: int
    n_codes: int
    k: int
    candidates: int | None

    def __str__(self) -> str:
        again = f", {self.candidates} re-scored" if self.candidates else ""
        size = f"{self.n_bits} bits, N={self.n_codes:.0e}, k={self.k}".replace("e+0", "e")
        return f"{self.tower}, batch {self.batch}, {size}{again}"


CHAINS = (
    Chain("ViT-B-32", 64, 64, 10_000_000, 10, None),
    Chain("ViT-B-32", 64, 64, 10_000_000, 10, 1000),
    Chain("ViT-B-32", 64, 64, 100_000_000, 10, None),
    Chain("ViT-B-32", 1, 64, 10_000_000, 10, None),
)
QUICK = (Chain("ViT-B-32", 2, 64, 100_000, 10, 100),)


def measure(chain: Chain, device: str, seconds: float) -> dict[str, Any]:
    """Median seconds of the encoder, the search after it, both; as graphs, both and the search."""
    torch.manual_seed(0)
    encode, image_size = _encoder(chain, device)
    images = torch.randn(
        chain.batch, 3, image_size, image_size, device=device, dtype=_dtype(device)
    )
    codes = torch.randint(0, 256, (chain.n_codes, chain.n_bits // 8), dtype=torch.uint8)
    search = CodeSearch(encode, codes.to(device), chain.k, candidates=chain.candidates)
    with torch.no_grad():
        continuous = encode(images)
        after = CodeSearch(nn.Identity(), search.db_codes, chain.k, candidates=chain.candidates)
        calls: dict[str, Callable[[], object]] = {
            "encode": lambda: encode(images),
            "search": lambda: after(continuous),
            "chain": lambda: search(images),
        }
        if device != "cpu":
            captured, alone = search.captured(images), after.captured(continuous)
            calls["graph"] = lambda: captured(images)
            calls["search graph"] = lambda: alone(continuous)
        times = {name: _times(call, device, seconds / len(calls)) for name, call in calls.items()}
    medians = {name: statistics.median(found) for name, found in times.items()}
    found = {
        "name": str(chain),
        "chain": asdict(chain),
        "median_s": medians,
        "min_s": {name: min(found) for name, found in times.items()},
        "calls": {name: len(found) for name, found in times.items()},
        "search_share": medians["search"] / (medians["encode"] + medians["search"]),
        "search_to_encoder": medians["search"] / medians["encode"],
    }
    if "graph" in medians:  # where the host's part is left out of both
        found["search_share_of_graph"] = medians["search graph"] / medians["graph"]
    return found


def _dtype(device: str) -> torch.dtype:
    return torch.float32 if device == "cpu" else torch.bfloat16


def _encoder(chain: Chain, device: str) -> tuple[Callable[[Tensor], Tensor], int]:
    """Images to continuous codes, and the side of an image in pixels."""
    model = import_open_clip().create_model(chain.tower, pretrained=None)
    tower = model.visual.eval().requires_grad_(False).to(device, _dtype(device))
    size = tower.image_size
    head = (
        nn.Linear(tower.output_dim, chain.n_bits).to(device, _dtype(device)).requires_grad_(False)
    )
    return (lambda images: head(tower(images)).float()), size if isinstance(size, int) else size[0]


def _times(call: Callable[[], object], device: str, seconds: float) -> list[float]:
    """Seconds of single calls; on a GPU between events on its stream."""
    for _ in range(WARM_UP):
        call()
    clock = _seconds_on_cpu if device == "cpu" else _seconds_on_gpu
    found, end = [], time.perf_counter() + seconds
    while len(found) < 5 or time.perf_counter() < end:
        found.append(clock(call))
    return found


def _seconds_on_cpu(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _seconds_on_gpu(call: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def table(rows: list[dict[str, Any]]) -> Table:
    """A line a chain, medians."""
    shown = Table("chain", "encode", "search", "share", "both", "as a graph")
    for row in rows:
        found = {name: f"{1e3 * seconds:.3g} ms" for name, seconds in row["median_s"].items()}
        share = f"{row['search_share']:.0%}"
        graph = found.get("graph", "-")
        if "search_share_of_graph" in row:
            graph += f" ({row['search_share_of_graph']:.0%} search)"
        shown.add_row(row["name"], found["encode"], found["search"], share, found["chain"], graph)
    return shown
