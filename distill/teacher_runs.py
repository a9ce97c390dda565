"""The teacher's run that a student learns from: its head, its backbone, and whether they match."""

import dataclasses

from torch import nn

from distill import checkpoint
from distill.config import TrainConfig
from distill.data import ImageTextDataset
from distill.heads import build_heads
from distill.image_encoder import TEACHERS
from distill.types import DistillError


def with_teacher(config: TrainConfig) -> tuple[TrainConfig, nn.Module | None]:
    """A student's settings completed by those of its teacher's run, and the teacher's head.

    Raises:
        DistillError: a student has no teacher, or one that it cannot learn from.
    """
    if config.method in TEACHERS:
        return config, None
    path = config.images.teacher_run
    if path is None:
        raise DistillError(
            "teacher_run: expected the run folder of a trained teacher, got none; train one with "
            "python -m distill.train --method cibhash and give --teacher-run"
        )
    if path.resolve() == config.run_folder.resolve():
        raise DistillError(
            f"run: expected another folder than the teacher's, got {path}; choose another --run"
        )
    run = checkpoint.load_run(path)
    if run.config.method not in TEACHERS:
        raise DistillError(
            f"teacher_run: expected a run of {' or '.join(TEACHERS)}, got one of "
            f"{run.config.method} in {path}; train a hashing teacher"
        )
    if run.config.bits != config.bits:
        raise DistillError(
            f"bits: expected the teacher's {run.config.bits} bits, got {config.bits}; "
            f"give --bits {run.config.bits}, or train a teacher of {config.bits} bits"
        )
    head = build_heads(*run.weights())["teacher"]
    towers = run.config.images
    images = dataclasses.replace(
        config.images,
        backbone=towers.backbone,
        backbone_size=towers.backbone_size,
        backbone_weights=towers.backbone_weights,
    )
    return dataclasses.replace(config, images=images), head


def check_same_split(config: TrainConfig, dataset: ImageTextDataset) -> None:
    """Of the same pictures teacher and student must have the same split: queries are for neither.

    Raises:
        DistillError: they have not.
    """
    if config.images.teacher_run is None:
        return
    run = checkpoint.load_run(config.images.teacher_run)
    own, theirs = config.data, run.config.data
    if (own.name, own.root, own.path) == (theirs.name, theirs.root, theirs.path):
        run.check_dataset(dataset)
