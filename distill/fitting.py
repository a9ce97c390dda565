"""The training loop with its records and states kept in a run folder."""

import hashlib
from collections.abc import Callable, Mapping

from torch import Tensor

from distill import checkpoint
from distill.loop import Record, State, fit
from distill.methods.base import Method
from distill.types import DistillError, Split


def fit_run(
    run: checkpoint.Run,
    method: Method,
    split: Split,
    validate: Callable[[tuple[str, ...]], dict[str, float]],
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
        DistillError: the checkpoint was made from other training rows, or another teacher.
    """
    inputs = _digest(split, frozen or {})
    saved = checkpoint.load_checkpoint(run) if resume else None
    if saved is not None and saved["inputs"] != inputs:
        raise DistillError(
            f"resume: expected the training items, encoder and teacher of {run.path}, got others; "
            "choose another --run"
        )
    records: list[Record] = [] if saved is None else saved["records"]

    def record(entry: Record) -> None:
        records.append(entry)
        checkpoint.save_records(run, records)

    def save(state: State) -> None:
        checkpoint.save_checkpoint(run, {**state, "records": records, "inputs": inputs})

    fit(
        method,
        split,
        run.config.optim,
        validate=validate,
        record=record,
        save=save,
        resume=saved,
    )


def _digest(split: Split, frozen: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that is trained on."""
    digest = hashlib.sha256(split.labels.numpy().tobytes())
    for modality, features in sorted(split.features.items()):
        digest.update(modality.encode())
        digest.update(features.numpy().tobytes())
    for name, tensor in sorted(frozen.items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
