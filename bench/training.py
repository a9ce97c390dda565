"""What a training on frozen features costs: SODA on drawn pairs, both stages, every epoch.

    python bench/training.py
    python bench/training.py --epochs 2 --out FILE.json    other sizes, another record

Features are drawn, so the figure is of arithmetic alone: no encoder, no files but the record,
bench/results/training.json.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: find the package, and let an installed `distill` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

import torch
import tyro

from bench.command import record_path
from bench.machine import facts
from distill.command import one_sentence
from distill.config import TrainConfig
from distill.files import write_text
from distill.loop import Record, fit
from distill.methods import soda
from distill.types import Split

RESULTS = Path(__file__).parent / "results" / "training.json"
SIZES = ("pairs", "dim", "bits", "epochs", "threads")
N_LABELS = 24
SHARE = 0.15
"""Of the items, those that carry a label."""


@dataclass(frozen=True)
class Command:
    """Time a SODA training on drawn features."""

    pairs: int = 10_000
    dim: int = 512
    """Width of the features of images, texts and label prompts."""
    bits: int = 64
    epochs: int = TrainConfig().optim.epochs
    """Of each stage."""
    threads: int = 2
    out: Path | None = None
    """JSON file; default bench/results/training.json."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        command = tyro.cli(Command, description=__doc__, args=arguments)
        out = record_path(command, Command(), RESULTS, SIZES)
        torch.set_num_threads(command.threads)
        words = sys.argv[1:] if arguments is None else arguments
        start = {"command": " ".join(["python bench/training.py", *words])}
        record = start | measure(command) | {"facts": facts()}
        write_text(out, json.dumps(record, indent=1) + "\n")
        print(sentence(record))


def measure(command: Command) -> dict[str, Any]:
    """Seconds of each stage, by the wall and of the processor, and samples a second."""
    config = TrainConfig(bits=command.bits)
    config = replace(config, optim=replace(config.optim, epochs=command.epochs, validate_every=0))
    torch.manual_seed(0)
    method = soda.build(config, dict.fromkeys(("image", "text", "label"), command.dim))
    records: list[Record] = []
    wall, cpu = time.perf_counter(), time.process_time()
    fit(
        method,
        drawn(command),
        config.optim,
        validate=lambda _: {},
        record=records.append,
        save=lambda _: None,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "pairs": command.pairs,
        "dim": command.dim,
        "bits": command.bits,
        "epochs": command.epochs,
        "batch_size": config.optim.batch_size,
        "threads": command.threads,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "epochs_of": records,
    }


def drawn(command: Command) -> Split:
    """Features and labels without meaning; every item has a label."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(command.pairs, N_LABELS, generator=generator) < SHARE).float()
    labels[torch.arange(command.pairs), torch.arange(command.pairs) % N_LABELS] = 1
    features = {
        name: torch.randn(command.pairs, command.dim, generator=generator)
        for name in ("image", "text", "label")
    }
    return Split(features, labels)


def sentence(record: dict[str, Any]) -> str:
    """The figure, for people."""
    stages = dict.fromkeys(epoch["stage"] for epoch in record["epochs_of"])
    rates = []
    for stage in stages:
        own = [e["samples_per_second"] for e in record["epochs_of"] if e["stage"] == stage]
        rates.append(f"{sorted(own)[len(own) // 2]:,.0f} samples/s in the {stage}")
    return (
        f"{record['pairs']:,} pairs, {record['dim']}-d features, {record['bits']} bits, "
        f"{len(stages)} stages of {record['epochs']} epochs in batches of {record['batch_size']}: "
        f"{record['wall_seconds']:.0f} s by the wall, {record['cpu_seconds']:.0f} s of CPU on "
        f"{record['threads']} threads ({', '.join(rates)}, median of epochs; peak memory "
        f"{record['peak_memory_bytes'] / 2**20:.0f} MiB). {record['facts']['cpu']}; "
        f"`{record['command']}`."
    )


if __name__ == "__main__":
    main()
