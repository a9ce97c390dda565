"""The run folder: what a training run leaves on disk, and how it is read back.

    config.toml             every setting
    metrics.jsonl           one object per epoch
    metrics.json            the final evaluation
    weights.safetensors     inference heads, "image.<parameter>"; metadata says how to build them
    checkpoint.pt           where training goes on with --resume
    codes/image.npy         packed codes of all items, bit = h > 0; codes/text.npy alike
    codes/image.float.npy   the values whose sign the codes are, or the float embedding

Every file is written whole or not at all.
"""

import io
import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from distill.config import (
    TrainConfig,
    config_to_toml,
    differing_keys,
    load_config,
)
from distill.files import write_array, write_bytes, write_text
from distill.types import DistillError

CONFIG, RECORDS, METRICS = "config.toml", "metrics.jsonl", "metrics.json"
WEIGHTS, CHECKPOINT, CODES = "weights.safetensors", "checkpoint.pt", "codes"


class Weights(NamedTuple):
    """The inference heads as stored; `distill.heads.build_heads(*weights)` makes modules of them.

    Attributes:
        specs: modality -> arguments of its head.
        tensors: "modality.parameter" -> value.
    """

    specs: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: the folder.
        config: the settings it was trained with.
    """

    path: Path
    config: TrainConfig

    def codes(self, modality: str) -> NDArray[np.uint8]:
        """Packed codes (n_items, n_bytes) of all items in dataset order, memory-mapped."""
        return self._array(f"{modality}.npy")

    def continuous(self, modality: str) -> NDArray[np.float32]:
        """Float vectors (n_items, d) of all items: tanh codes, or the embedding of a baseline."""
        return self._array(f"{modality}.float.npy")

    def weights(self) -> Weights:
        """The stored inference heads."""
        path = self.file(WEIGHTS)
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return Weights(json.loads(file.metadata()["heads"]), tensors)

    def records(self) -> list[dict[str, Any]]:
        """One record per epoch, as `distill.loop` makes them."""
        lines = self.file(RECORDS).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def metrics(self) -> str:
        """The final evaluation: the JSON of a `distill.evaluation.Evaluation`."""
        return self.file(METRICS).read_text(encoding="utf-8")

    def file(self, name: str) -> Path:
        """Path of a file of the finished run.

        Raises:
            DistillError: the run has no such file (yet).
        """
        if not (self.path / name).is_file():
            raise DistillError(
                f"run: expected a finished run in {self.path}, got one without {name}; "
                f"train it with --run {self.path} --resume"
            )
        return self.path / name

    def _array(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.file(f"{CODES}/{name}"), mmap_mode="r")
        return array


def load_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        DistillError: there is no run.
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        raise DistillError(f"run: expected a run folder with {CONFIG}, got {path}")
    return Run(path, load_config(path / CONFIG))


def start_run(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Run:
    """Make the run folder, or take up an existing one.

    Args:
        config: is written to the folder.
        resume: an existing run of the same configuration is wanted or, if none exists, a new one.
        overwrite: an existing run is deleted; a folder that is no run never is.

    Raises:
        DistillError: the folder exists, or holds another configuration.
    """
    path = config.run_folder
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        if not (path / CONFIG).is_file():
            raise DistillError(f"run: expected a new folder or a run, got {path}; choose another")
        if resume:
            _check_same(config, load_config(path / CONFIG), path)
            return Run(path, config)
        if not overwrite:
            raise DistillError(
                f"run: expected a new folder, got the existing run {path}; "
                "give --resume, --overwrite or another --run"
            )
        shutil.rmtree(path)
    write_text(path / CONFIG, config_to_toml(config))
    return Run(path, config)


def save_records(run: Run, records: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.jsonl."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    write_text(run.path / RECORDS, text)


def save_checkpoint(run: Run, state: Mapping[str, Any]) -> None:
    """Write checkpoint.pt: tensors, numbers, texts, lists and dicts."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(run.path / CHECKPOINT, buffer.getvalue())


def load_checkpoint(run: Run) -> dict[str, Any] | None:
    """Read checkpoint.pt; None when the run ended before the first one.

    Raises:
        DistillError: the file is damaged.
    """
    path = run.path / CHECKPOINT
    if not path.is_file():
        return None
    try:
        return dict(torch.load(path, weights_only=True))
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise DistillError(
            f"resume: expected a checkpoint in {path}, got a damaged file; "
            "delete it, or give --overwrite, to train from the start"
        ) from error


def save_weights(run: Run, weights: Weights) -> None:
    """Write weights.safetensors."""
    metadata = {
        "method": run.config.method,
        "bits": str(run.config.bits),
        "encoder": run.config.encoder.teacher,
        "heads": json.dumps(weights.specs),
    }
    tensors = {name: tensor.contiguous().clone() for name, tensor in weights.tensors.items()}
    write_bytes(run.path / WEIGHTS, save(tensors, metadata))


def save_codes(
    run: Run, modality: str, codes: NDArray[np.uint8], continuous: NDArray[np.float32]
) -> None:
    """Write the packed codes (n_items, n_bytes) and float vectors (n_items, d) of a modality."""
    folder = run.path / CODES
    write_array(folder / f"{modality}.npy", codes)
    write_array(folder / f"{modality}.float.npy", continuous)


def save_metrics(run: Run, text: str) -> None:
    """Write metrics.json, the JSON of a `distill.evaluation.Evaluation`."""
    write_text(run.path / METRICS, text)


def _check_same(config: TrainConfig, other: TrainConfig, path: Path) -> None:
    if keys := differing_keys(config, other):
        raise DistillError(
            f"resume: expected the configuration of {path}, got other values of "
            f"{', '.join(keys)}; repeat the run's own settings or choose another --run"
        )
