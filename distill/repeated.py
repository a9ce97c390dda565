"""The same training on several random splits: the settings of each run, and the spread of MAP."""

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np

from distill import data, run_folder
from distill.config import TrainConfig
from distill.data.protocols import split_rule
from distill.evaluation import Evaluation
from distill.metrics.scores import direction_label
from distill.types import DistillError


def split_configs(config: TrainConfig, n_splits: int) -> list[TrainConfig]:
    """The settings of runs on splits with successive seeds, each in a folder of its own.

    Args:
        config: its split seed, else the protocol's own, is the first.
        n_splits: at least 2.

    Raises:
        DistillError: another number.
    """
    if n_splits < 2:
        raise DistillError(f"n-splits: expected at least 1, got {n_splits}")
    first = split_rule(config.data.protocol, config.data.split_seed).seed
    return [
        dataclasses.replace(
            config,
            run=config.run_folder / f"split-{seed}",
            data=dataclasses.replace(config.data, split_seed=seed),
        )
        for seed in range(first, first + n_splits)
    ]


def check_splits(configs: Sequence[TrainConfig], *, resume: bool, overwrite: bool) -> None:
    """Refuse before the first run what would be refused at a later one, or would be no repetition.

    Raises:
        DistillError: a run is in the way, or the dataset has the same queries for every seed.
    """
    for config in configs:
        run_folder.check_run(config, resume=resume, overwrite=overwrite)
    one, other = (data.load(**dataclasses.asdict(config.data)) for config in configs[:2])
    if np.array_equal(one.splits["query"], other.splits["query"]):
        raise DistillError(
            f"n-splits: expected data whose split is drawn at random, got {one.name}, whose "
            "queries are the same for every split seed; leave it out"
        )


def spread(evaluations: Sequence[Evaluation]) -> str:
    """Mean and sample standard deviation of MAP by direction, a line each.

    Args:
        evaluations: at least 2, of runs that differ in their split.
    """
    lines = [f"MAP over {len(evaluations)} splits, mean ± standard deviation"]
    for name in evaluations[0].directions:
        if any(name in each.unscored for each in evaluations):
            continue
        scores = [each.directions[name].map for each in evaluations]
        mean, deviation = statistics.mean(scores), statistics.stdev(scores)
        lines.append(f"{direction_label(name):>17}  {mean:.3f} ± {deviation:.3f}")
    return "\n".join(lines)
