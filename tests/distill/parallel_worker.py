"""What the processes of test_parallel.py do: torchrun parallel_worker.py PART FOLDER MANIFEST."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill import loop, parallel, train
from distill.config import DataConfig, EncoderConfig, HeadConfig, OptimConfig, TrainConfig
from distill.types import DistillError

ROWS = torch.arange(1.0, 16).view(5, 3)  # an odd number: the processes have unequal parts


def config(folder: Path, manifest: Path, run: str, *, n: int = 8, **changes: Any) -> TrainConfig:
    """A run whose batches have n rows in each process."""
    head = HeadConfig(hidden=16, dropout=0.5 if run.startswith("dropout") else 0.0)
    return TrainConfig(
        bits=20,
        run=folder / run,
        data=DataConfig(name="manifest", path=manifest),
        encoder=EncoderConfig(teacher="tiny", pretrained="random", cache=folder / "cache"),
        head=head,
        optim=OptimConfig(epochs=3, batch_size=n, validate_every=2, checkpoint_every=1),
        **changes,
    )


def finetuned(config: TrainConfig) -> TrainConfig:
    """The same with towers that learn."""
    return dataclasses.replace(
        config,
        encoder=dataclasses.replace(config.encoder, mode="finetune"),
        optim=dataclasses.replace(config.optim, epochs=2, tower_lr=1e-4),
    )


def gradients(rows: Tensor) -> dict[str, Any]:
    """Of a loss over all pairs of rows, by a layer that sees only its own."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    codes = parallel.gather(layer(parallel.own_rows(rows)))
    (codes @ codes.T).tanh().sum().backward()
    parallel.sum_gradients(layer.parameters())
    return {"codes": codes.tolist(), "weight": layer.weight.grad.tolist()}


def whole(folder: Path, manifest: Path) -> None:
    """Runs from beginning to end, and what each process finds."""
    with parallel.processes("cpu"):
        found = {"rank": parallel.rank(), "size": parallel.size(), **gradients(ROWS)}
        found["order"] = parallel.draw_rows(7).tolist()
        found["mask"] = torch.rand(4).tolist()
        found["said"] = parallel.on_first(lambda: f"by {parallel.rank()}")
        (folder / f"rank{parallel.rank()}.json").write_text(json.dumps(found))
        for method in ("soda", "no_teacher", "contrastive", "dcmh", "ssah", "dchmt"):
            train.train(config(folder, manifest, f"two-{method}", method=method))
        train.train(finetuned(config(folder, manifest, "two-finetuned")))
        train.train(config(folder, manifest, "dropout-whole"))
        try:
            train.train(config(folder, manifest, "images", method="cibhash"))
        except (DistillError, SystemExit) as error:
            (folder / f"refused{parallel.rank()}").write_text(str(error))


def die_at(step: int) -> None:
    """Let process 1 fail at a step."""
    update, count = loop.update, iter(range(1, 10**6))

    def failing(*arguments: Any) -> None:
        if parallel.rank() == 1 and next(count) == step:
            raise RuntimeError("process 1 was told to fail")
        update(*arguments)

    loop.update = failing


def killed(folder: Path, manifest: Path) -> None:
    """A run that fails in the second epoch of its second stage."""
    die_at(3 * 2 + 2 + 1)
    train.train(config(folder, manifest, "dropout-killed"))


def resumed(folder: Path, manifest: Path) -> None:
    """The same run to its end, and one that fails before anything is saved."""
    train.train(config(folder, manifest, "dropout-killed"), resume=True)
    die_at(1)
    train.train(config(folder, manifest, "stillborn"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    part, *places = sys.argv[1:]
    {"whole": whole, "killed": killed, "resumed": resumed}[part](*map(Path, places))
