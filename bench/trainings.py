"""The trainings behind a table: what is missing is trained, several at a time, nothing twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Sequence

import torch

from distill import checkpoint
from distill.config import TrainConfig, differing_keys, load_config
from distill.train import train
from distill.types import DistillError


def finish(configs: Sequence[TrainConfig], jobs: int) -> None:
    """Train what is not there yet; the first alone, which fills the cache.

    Args:
        configs: one of each run folder.
        jobs: trainings at a time, of one thread each.

    Raises:
        DistillError: a run is there that has other settings.
    """
    missing = [config for config in configs if not _is_finished(config)]
    for config in missing[:1]:
        _train(config)
    if not missing[1:]:
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for number, _ in enumerate(pool.imap_unordered(_train, missing[1:]), 2):
            print(f"{number} of {len(missing)} trainings", file=sys.stderr, flush=True)


def _is_finished(config: TrainConfig) -> bool:
    path = config.run_folder
    if not (path / checkpoint.METRICS).is_file():
        return False
    kept = load_config(path / checkpoint.CONFIG)
    if keys := differing_keys(config.with_absolute_paths(), kept):
        raise DistillError(
            f"runs: expected {path} with the settings of today, got other values of "
            f"{', '.join(keys)}; delete it, or choose another --runs"
        )
    return True


def _train(config: TrainConfig) -> None:
    torch.set_num_threads(1)
    with contextlib.redirect_stderr(None):
        train(config, resume=True)
