"""The run folder: what a training run leaves on disk, and how it is read back.

    config.toml             every setting
    metrics.jsonl           one object per epoch
    metrics.json            the final evaluation
    weights.safetensors     inference heads, "image.<parameter>"; metadata says how to build them
    teacher.safetensors     of a student, the heads of its teacher that was trained on the way
    teacher.json            their evaluation
    encoder.safetensors     where towers were fine-tuned: the open_clip model they make
    checkpoint.pt           where training goes on with --resume
    dataset.json            name and fingerprint of the dataset, what of it came as features, and
                            the run's modalities where they are not image and text
    codes/image.npy         packed codes of all items, bit = h > 0, all 0 of an item that lacks the
                            modality; codes/text.npy and those of further modalities alike
    codes/image.float.npy   the values whose sign the codes are, or the float embedding
    NAME.npy                arrays that a method keeps: of skdch pseudo_labels, the labels that the
                            student learned from, row i being item training_rows[i] of the dataset
    clusters-HASH.safetensors   BRCD's clusters of the teacher's codes, named by what they are of

Runs that hash images alone have "teacher" and "student" in place of "image" and "text".

Every file is written whole or not at all.
"""

import io
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from distill.config import TrainConfig, load_config
from distill.files import write_array, write_bytes, write_text
from distill.modalities import MODALITIES, check_encodes, kinds_of
from distill.types import DistillError

CONFIG, RECORDS, METRICS = "config.toml", "metrics.jsonl", "metrics.json"
WEIGHTS, CHECKPOINT, CODES = "weights.safetensors", "checkpoint.pt", "codes"
DATASET, ENCODER = "dataset.json", "encoder.safetensors"
TEACHER, TEACHER_METRICS = "teacher.safetensors", "teacher.json"


class Dataset(Protocol):
    """What a run remembers of the dataset it was trained on."""

    @property
    def name(self) -> str:
        """Short name, for people."""

    @property
    def fingerprint(self) -> str:
        """Equal data, equal string."""

    @property
    def features(self) -> Mapping[str, Any]:
        """Modalities that came as features."""


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

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that an image-text run has codes of.

        Raises:
            DistillError: the run is not finished.
        """
        return tuple(self.kinds)

    @property
    def kinds(self) -> dict[str, str]:
        """Its modalities -> "image" or "text", what their items are.

        Raises:
            DistillError: the run is not finished.
        """
        return self._about()[0]

    def codes(self, modality: str) -> NDArray[np.uint8]:
        """Packed codes (n_items, n_bytes) of all items in dataset order, memory-mapped."""
        n_bytes = (self.config.bits + 7) // 8
        return self._array(f"{modality}.npy", np.uint8, n_bytes)

    def continuous(self, modality: str) -> NDArray[np.float32]:
        """Float vectors (n_items, d) of all items: tanh codes, or the embedding of a baseline."""
        return self._array(f"{modality}.float.npy", np.float32)

    def weights(self) -> Weights:
        """The stored inference heads."""
        path = self.file(WEIGHTS)
        with _undamaged(path), safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return Weights(json.loads(file.metadata()["run"])["heads"], tensors)

    def tuned_weights(self) -> Path | None:
        """File of the fine-tuned towers, for `distill.encoders.load_encoder`; None of frozen ones.

        Raises:
            DistillError: the run has no such file (yet).
        """
        return None if self.config.encoder.mode == "frozen" else self.file(ENCODER)

    def records(self) -> list[dict[str, Any]]:
        """One record per epoch, as `distill.loop` makes them."""
        path = self.file(RECORDS)
        with _undamaged(path):
            lines = path.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]

    def metrics(self) -> str:
        """The final evaluation: the JSON of a `distill.evaluation.Evaluation`."""
        path = self.file(METRICS)
        with _undamaged(path):
            text = path.read_text(encoding="utf-8")
            json.loads(text)
            return text

    def teacher_metrics(self) -> str | None:
        """Evaluation of the teacher that was trained on the way, as `metrics`; None: none was."""
        path = self.path / TEACHER_METRICS
        if not path.is_file():
            return None
        with _undamaged(path):
            return path.read_text(encoding="utf-8")

    def check_dataset(self, dataset: Dataset) -> None:
        """Refuse a dataset that is not the one whose rows the codes are.

        Raises:
            DistillError: its items, texts, labels or splits have changed.
        """
        path = self.file(DATASET)
        with _undamaged(path):
            fingerprint = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
        if fingerprint != dataset.fingerprint:
            raise DistillError(
                f"dataset: expected {dataset.name} as it was when {self.path} was trained, "
                "got changed items, texts, labels or splits; restore them, or train anew"
            )

    def check_encodes(self, modality: str, kind: str) -> None:
        """Refuse to encode anew what came as features, or is of another kind.

        Args:
            modality: whose head is to encode.
            kind: "image" or "text", what is to be encoded.

        Raises:
            DistillError: the run encodes no such thing.
        """
        check_encodes(modality, kind, *self._about())

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

    def _about(self) -> tuple[dict[str, str], list[str]]:
        """The kinds of the run's modalities, and what of its dataset came as features."""
        path = self.file(DATASET)
        with _undamaged(path):
            entry = json.loads(path.read_text(encoding="utf-8"))
            kinds = entry.get("modalities", kinds_of({}, MODALITIES))
            return dict(kinds), list(entry.get("features", ()))

    def _array(self, name: str, dtype: type, width: int | None = None) -> NDArray[Any]:
        """A matrix of `codes`, of any width where none is given."""
        path = self.file(f"{CODES}/{name}")
        with _undamaged(path):
            array: NDArray[Any] = np.load(path, mmap_mode="r")
            if array.dtype != dtype or array.ndim != 2 or width not in (None, array.shape[1]):
                raise ValueError("another kind of array")
        return array


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Say in one sentence that a file of the run is not what was written."""
    try:
        yield
    except (ValueError, KeyError, TypeError, EOFError, SafetensorError) as error:
        raise DistillError(
            f"run: expected {path} as it was written, got a damaged file; "
            f"write it anew with the run's own settings and --resume"
        ) from error


def load_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        DistillError: there is no run.
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        raise DistillError(
            f"run: expected a run folder with {CONFIG}, got {path}; "
            "train one with python -m distill.train"
        )
    return Run(path, load_config(path / CONFIG))


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
        return dict(torch.load(path, weights_only=True, map_location="cpu"))
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise DistillError(
            f"resume: expected a checkpoint in {path}, got a damaged file; "
            "delete it, or give --overwrite, to train from the start"
        ) from error


def save_weights(run: Run, weights: Weights, *, file: str = WEIGHTS) -> None:
    """Write weights.safetensors, or the teacher's heads to the file TEACHER."""
    about = {
        "method": run.config.method,
        "bits": run.config.bits,
        "encoder": run.config.encoder_names,
        "heads": weights.specs,
    }
    # safetensors writes several metadata keys in random order: one keeps the bytes reproducible.
    metadata = {"run": json.dumps(about, sort_keys=True)}
    tensors = {name: tensor.contiguous().clone() for name, tensor in weights.tensors.items()}
    write_bytes(run.path / file, save(tensors, metadata))


def save_encoder(run: Run, weights: bytes) -> Path:
    """Write encoder.safetensors, made by `distill.encoders.tuned.tuned_weights`, and return it."""
    write_bytes(run.path / ENCODER, weights)
    return run.path / ENCODER


def save_codes(
    run: Run, modality: str, codes: NDArray[np.uint8], continuous: NDArray[np.float32]
) -> None:
    """Write the packed codes (n_items, n_bytes) and float vectors (n_items, d) of a modality."""
    folder = run.path / CODES
    write_array(folder / f"{modality}.npy", codes)
    write_array(folder / f"{modality}.float.npy", continuous)


def save_dataset(run: Run, dataset: Dataset, kinds: Mapping[str, str] | None = None) -> None:
    """Write dataset.json; `kinds` are those of the run's modalities, None being image and text."""
    entry: dict[str, Any] = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    if dataset.features:
        entry["features"] = sorted(dataset.features)
    if kinds is not None and tuple(kinds) != MODALITIES:
        entry["modalities"] = dict(kinds)
    write_text(run.path / DATASET, json.dumps(entry) + "\n")


def save_metrics(run: Run, text: str, *, file: str = METRICS) -> None:
    """Write metrics.json or TEACHER_METRICS, the JSON of a `distill.evaluation.Evaluation`."""
    write_text(run.path / file, text)
