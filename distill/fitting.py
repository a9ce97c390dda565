"""The training loop with its records and states kept in a run folder."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from distill import checkpoint, parallel
from distill.loop import Record, State, fit
from distill.methods.base import Method, Stage
from distill.types import DistillError, Split


def fit_run(
    run: checkpoint.Run,
    method: Method,
    split: Split,
    validate: Callable[[Stage], dict[str, float]],
    *,
    resume: bool,
    frozen: Mapping[str, Tensor] | None = None,
) -> None:
    """Train a method and keep its records and checkpoints in the run folder.

    Args:
        run: an open run.
        method: is trained.
        split: the training rows.
        validate: as in `loop.fit`.
        resume: go on from the run's checkpoint, if it has one.
        frozen: what is learned from beside the rows: the tensors of a teacher.

    Raises:
        DistillError: the checkpoint was made from other training rows, or another teacher, or by
            another number of processes.
    """
    inputs = _digest(split, frozen or {})
    saved = parallel.in_turn(lambda: _saved(run, inputs)) if resume else None
    records: list[Record] = [] if saved is None else saved["records"]

    def record(entry: Record) -> None:
        records.append(entry)
        if parallel.rank() == 0:
            checkpoint.save_records(run, records)

    def save(state: State) -> None:
        if parallel.rank() == 0:
            about = {"records": records, "inputs": inputs, "processes": parallel.size()}
            checkpoint.save_checkpoint(run, {**state, **about})

    fit(
        method,
        split,
        run.config.optim,
        validate=validate,
        record=record,
        save=save,
        resume=saved,
    )


def _saved(run: checkpoint.Run, inputs: str) -> dict[str, Any] | None:
    """The run's checkpoint, if it has one, which must be of these inputs and processes."""
    saved = checkpoint.load_checkpoint(run)
    if saved is None:
        return None
    if saved["inputs"] != inputs:
        raise DistillError(
            f"resume: expected the training items, encoder and teacher of {run.path}, got others; "
            "choose another --run"
        )
    begun = saved.get("processes", 1)
    if begun != parallel.size():
        raise DistillError(
            f"resume: expected {begun} processes, as {run.path} was begun with, got "
            f"{parallel.size()}; start as many, or choose another --run"
        )
    return saved


def _digest(split: Split, frozen: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that is trained on."""
    digest = hashlib.sha256(_bytes(split.labels))
    masks = {f"present.{name}": mask for name, mask in split.present.items()}
    if split.hidden is not None:
        masks["hidden"] = split.hidden
    parts = (split.features, frozen, masks)
    for name, tensor in [entry for part in parts for entry in sorted(part.items())]:
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return np.ascontiguousarray(tensor.cpu().numpy()).data
