"""The one training loop: optimiser, epochs, the weighted sum, and where to pick up again."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from distill.config import OptimConfig
from distill.methods.base import Method, Stage
from distill.progress import progress_bar
from distill.types import Batch, DistillError, LossTerms, Split

Record = dict[str, Any]
"""One epoch: stage, epoch (from 1), loss, terms, seconds, samples_per_second, validation."""
State = dict[str, Any]
"""All that decides how training goes on: what `fit` hands to `save` and takes as `resume`."""


def fit(
    method: Method,
    split: Split,
    settings: OptimConfig,
    *,
    validate: Callable[[tuple[str, ...]], Mapping[str, float]],
    record: Callable[[Record], None],
    save: Callable[[State], None],
    resume: State | None = None,
) -> None:
    """Train the stages of a method in place, from torch's global generator.

    Args:
        method: is trained; ends in eval mode.
        split: the training rows.
        settings: optimiser, epochs, and how often to validate and save.
        validate: modalities to named figures, for the record; nothing is selected by them.
        record: takes the record of each epoch.
        save: takes the state every so many epochs and at the end of each stage.
        resume: a state that `save` was given; training goes on bit for bit as it would have.
    """
    done = (0, 0) if resume is None else (resume["stage"], resume["epoch"])
    _modules(method).eval()
    if resume is not None:
        _modules(method).load_state_dict(resume["modules"])
    for number, stage in enumerate(method.stages):
        if number < done[0]:
            continue
        stage.prepare(split)
        optimizer = Adam(
            stage.modules.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        first = 0
        if resume is not None and number == done[0]:
            first = done[1]
            optimizer.load_state_dict(resume["optimizer"])
            torch.set_rng_state(resume["rng"])
        with progress_bar(
            stage.name, (settings.epochs - first) * len(split), unit="samples"
        ) as advance:
            for epoch in range(first, settings.epochs):
                entry = _epoch(stage, split, settings, optimizer, epoch, advance)
                last = epoch + 1 == settings.epochs
                if settings.validate_every and (last or (epoch + 1) % settings.validate_every == 0):
                    entry["validation"] = dict(validate(stage.modalities))
                record(entry)
                if last or (epoch + 1) % settings.checkpoint_every == 0:
                    save(_state(method, number, epoch + 1, optimizer))


def total_loss(terms: LossTerms, weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of loss terms; every term needs a weight and every weight a term."""
    if terms.keys() != weights.keys():
        raise DistillError(
            f"weights: expected those of the terms {sorted(terms)}, got {sorted(weights)}"
        )
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def _epoch(
    stage: Stage,
    split: Split,
    settings: OptimConfig,
    optimizer: Adam,
    epoch: int,
    advance: Callable[..., None],
) -> Record:
    """One pass over the rows in random order; leaves the stage in eval mode."""
    started = time.perf_counter()
    batches = torch.randperm(len(split)).split(settings.batch_size)
    sums: dict[str, float] = defaultdict(float)
    stage.modules.train()
    for step, index in enumerate(batches):
        _set_rate(optimizer, settings, epoch + step / len(batches))
        features = {modality: values[index] for modality, values in split.features.items()}
        terms = stage.loss(Batch(index, features, split.labels[index]))
        loss = total_loss(terms, stage.weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, value in {"loss": loss, **terms}.items():
            sums[name] += value.item() * len(index)
        advance(len(index))
    stage.modules.eval()
    seconds = time.perf_counter() - started
    means = {name: value / len(split) for name, value in sums.items()}
    if not math.isfinite(means["loss"]):
        raise DistillError(f"{stage.name}: expected a finite loss, got {means['loss']}; lower lr")
    advance(0, note=f"loss {means['loss']:.3f}")
    return {
        "stage": stage.name,
        "epoch": epoch + 1,
        "loss": means.pop("loss"),
        "terms": means,
        "seconds": seconds,
        "samples_per_second": len(split) / seconds,
    }


def _set_rate(optimizer: Adam, settings: OptimConfig, epoch: float) -> None:
    """Cosine decay to zero: a function of the position alone, so resuming needs no schedule."""
    rate = settings.lr * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    for group in optimizer.param_groups:
        group["lr"] = rate


def _state(method: Method, stage: int, epoch: int, optimizer: Adam) -> State:
    return {
        "stage": stage,
        "epoch": epoch,
        "modules": _modules(method).state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
    }


def _modules(method: Method) -> torch.nn.ModuleDict:
    """Everything that is trained or used at inference, under one roof."""
    stages = {f"stage{i}": stage.modules for i, stage in enumerate(method.stages)}
    return torch.nn.ModuleDict({"heads": method.heads, **stages})
