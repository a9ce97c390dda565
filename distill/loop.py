"""The one training loop: optimiser, epochs, the weighted sum, and where to pick up again."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from distill import parallel
from distill.config import OptimConfig
from distill.methods.base import Method, Stage
from distill.optimizer import make_optimizer, set_rate, update
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
    validate: Callable[[Stage], Mapping[str, float]],
    record: Callable[[Record], None],
    save: Callable[[State], None],
    resume: State | None = None,
) -> None:
    """Train the stages of a method in place, from torch's global generator.

    Of several processes (see `distill.parallel`) each calls this; the first one alone validates.

    Args:
        method: is trained; ends in eval mode.
        split: the training rows, on the device of the modules.
        settings: optimiser, epochs, and how often to validate and save.
        validate: the stage that trains to named figures of its modalities, for the record; with
            `settings.patience` their mean ends a stage and chooses its weights.
        record: takes the record of each epoch.
        save: takes the state every so many epochs and at the end of each stage.
        resume: a state that `save` was given; training goes on bit for bit as it would have.
    """
    done = 0 if resume is None else resume["stage"]
    _modules(method).eval()
    if resume is not None:
        _modules(method).load_state_dict(resume["modules"])
    for number, stage in enumerate(method.stages):
        if number < done:
            continue
        stage.prepare(split)

        def keep(
            epoch: int, optimizer: Optimizer, progress: "_Progress", number: int = number
        ) -> None:
            save(_state(method, number, epoch, optimizer, progress) | _generators(split))

        start = resume if number == done else None
        _train(stage, split, settings, validate=validate, record=record, keep=keep, start=start)


@dataclass
class _Progress:
    """What validation has shown so far in a stage.

    Attributes:
        best: highest mean figure.
        bad: validations in a row that did not reach it.
        modules: state of the stage's modules at `best`; None where `patience` is 0.
    """

    best: float = -math.inf
    bad: int = 0
    modules: dict[str, Tensor] | None = None

    def update(self, figures: Mapping[str, float], stage: Stage) -> None:
        """Take the figures of a validation."""
        score = sum(figures.values()) / len(figures)
        if score > self.best:
            self.best, self.bad = score, 0
            self.modules = {k: v.clone() for k, v in stage.modules.state_dict().items()}
        else:
            self.bad += 1


def _train(
    stage: Stage,
    split: Split,
    settings: OptimConfig,
    *,
    validate: Callable[[Stage], Mapping[str, float]],
    record: Callable[[Record], None],
    keep: Callable[[int, Optimizer, _Progress], None],
    start: State | None,
) -> None:
    """Train one stage, from its beginning or from a state of its own."""
    optimizer = make_optimizer(stage, settings)
    first, progress = 0, _Progress()
    if start is not None:
        first, progress = start["epoch"], _Progress(**start.get("progress", {}))
        optimizer.load_state_dict(start["optimizer"])
        _set_generators(start, split)
    epochs = stage.epochs or settings.epochs
    total = (epochs - first) * _items(stage, split, settings)
    with parallel.progress_bar(stage.name, total, unit="samples") as advance:
        for epoch in range(first, epochs):
            entry = _epoch(stage, split, settings, optimizer, epoch, advance)
            last = epoch + 1 == epochs
            every = settings.validate_every * stage.round
            if every and (last or (epoch + 1) % every == 0):
                entry["validation"] = parallel.on_first(lambda: dict(validate(stage)))
                if settings.patience and entry["validation"]:
                    progress.update(entry["validation"], stage)
            record(entry)
            last = last or progress.bad > settings.patience
            if last and progress.modules is not None:
                stage.modules.load_state_dict(progress.modules)
            if last or (epoch + 1) % settings.checkpoint_every == 0:
                # A stage that ended early has no epochs left.
                keep(epochs if last else epoch + 1, optimizer, progress)
            if last:
                break


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
    optimizer: Optimizer,
    epoch: int,
    advance: Callable[..., None],
) -> Record:
    """One pass over the rows in random order; leaves the stage in eval mode.

    A process computes its own rows of every batch, whose index and labels stay those of the whole.
    """
    started = time.perf_counter()
    order = _order(stage, split, settings)
    least = max(stage.least, parallel.size())  # no process is left without a row
    drawn = order.split(settings.batch_size * parallel.size())
    batches = [rows for rows in drawn if len(rows) >= least]
    if not batches:
        raise DistillError(
            f"items: expected at least {least} to train on, got {len(order)}; add items"
        )
    sums: dict[str, float] = defaultdict(float)
    stage.begin_epoch(split, epoch)
    stage.modules.train()
    own = split.batches([parallel.own_rows(rows) for rows in batches], epoch)
    for step, (rows, part) in enumerate(zip(batches, own, strict=True)):
        position = epoch + step / len(batches)
        set_rate(optimizer, settings, position, len(batches), stage.epochs or settings.epochs)
        terms = stage.loss(Batch(rows, part.features, split.labels[rows]))
        loss = total_loss(terms, stage.weights)
        update(optimizer, settings, loss)
        for name, value in {"loss": loss, **terms}.items():
            sums[name] += value.item() * len(rows)
        advance(len(rows))
    stage.modules.eval()
    seconds = time.perf_counter() - started
    seen = sum(map(len, batches))
    means = {name: value / seen for name, value in sums.items()}
    _check_converging(stage, means["loss"])
    advance(0, note=f"loss {means['loss']:.3f}")
    return {
        "stage": stage.name,
        "epoch": epoch + 1,
        "loss": means.pop("loss"),
        "terms": means,
        "seconds": seconds,
        "samples_per_second": seen / seconds,
    }


def _check_converging(stage: Stage, loss: float) -> None:
    """Refuse to go on with a loss or weights beyond all measure: of sign codes the loss is none."""
    if not math.isfinite(loss):
        raise DistillError(f"{stage.name}: expected a finite loss, got {loss}; lower lr")
    for name, weights in stage.modules.named_parameters():
        if not weights.detach().square().isfinite().all():
            size = weights.detach().abs().max().item()
            raise DistillError(
                f"{stage.name}: expected weights whose squares are finite, got up to {size:.0e} in "
                f"{name}; lower lr"
            )


def _items(stage: Stage, split: Split, settings: OptimConfig) -> int:
    """How many items an epoch has."""
    rows = stage.rows_of(split)
    return settings.epoch_items or (len(split) if rows is None else len(rows))


def _order(stage: Stage, split: Split, settings: OptimConfig) -> Tensor:
    """Rows of an epoch: those of the stage in random order, again and again up to its length."""
    rows, device = stage.rows_of(split), split.labels.device
    n, wanted = len(split) if rows is None else len(rows), _items(stage, split, settings)
    passes = max(1, -(-wanted // n)) if n else 1
    order = torch.cat([parallel.draw_rows(n) for _ in range(passes)])[:wanted].to(device)
    return order if rows is None else rows.to(device)[order]


def _state(
    method: Method, stage: int, epoch: int, optimizer: Optimizer, progress: _Progress
) -> State:
    return {
        "stage": stage,
        "epoch": epoch,
        "modules": _modules(method).state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": vars(progress).copy(),
    }


def _generators(split: Split) -> State:
    """Where the random numbers go on: torch's generator, and that of the GPU the rows lie on."""
    device = split.labels.device
    on_gpu = {"rng_gpu": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"rng": torch.get_rng_state(), **on_gpu}


def _set_generators(state: State, split: Split) -> None:
    torch.set_rng_state(state["rng"])
    if "rng_gpu" in state and split.labels.is_cuda:
        torch.cuda.set_rng_state(state["rng_gpu"], split.labels.device)


def _modules(method: Method) -> torch.nn.ModuleDict:
    """Everything that is trained or used at inference, under one roof."""
    stages = {f"stage{i}": stage.modules for i, stage in enumerate(method.stages)}
    return torch.nn.ModuleDict({"heads": method.heads, **stages})
