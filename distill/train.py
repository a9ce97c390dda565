"""Train a method, pack the dataset's codes and evaluate them: `python -m distill.train`.

Several processes, each with its part of every batch, are started by
`torchrun --standalone --nproc-per-node 2 -m distill.train -- FLAGS`; without the two dashes
torchrun takes --run for an option of its own.
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import nn

from distill import checkpoint, image_encoder, image_runs, parallel, repeated, run_folder
from distill.command import one_sentence
from distill.config import PRESET_NAMES, TrainConfig, load_config, unread_keys
from distill.data.base import ImageTextDataset
from distill.evaluation import DirectionScores, Evaluation
from distill.files import write_array
from distill.fitting import fit_run
from distill.heads import head_output
from distill.input_checks import learned_rows
from distill.inputs import Inputs, load_dataset, open_inputs, packed_codes
from distill.methods import contrastive, dchmt, dcmh, no_teacher, skdch, soda, ssah
from distill.methods.base import Method, Wrap
from distill.metrics.scores import KEPT_DEPTH, direction_label
from distill.modalities import kinds_of
from distill.run_evaluation import evaluate_run, validation_map
from distill.types import DistillError
from distill.words import listed

_log = logging.getLogger(__name__)
METHODS: dict[str, Callable[[TrainConfig, Mapping[str, int], Wrap], Method]] = {
    "soda": soda.build,
    "no_teacher": no_teacher.build,
    "contrastive": contrastive.build,
    "dcmh": dcmh.build,
    "ssah": ssah.build,
    "dchmt": dchmt.build,
    "skdch": skdch.build,
    "schgan": skdch.build_teacher,
    "triplet": skdch.build_student,
}


def train(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run one training from data to evaluation.

    Started by torchrun, all processes call this; the first one alone writes.

    Args:
        config: all settings.
        resume: go on with an interrupted run of the same settings.
        overwrite: replace an existing run, which is kept until the new one is finished.

    Returns:
        The run folder.

    Raises:
        DistillError, ConfigError, OSError: what a user can cause; no half-written file is left, and
            no folder of a new run that has no checkpoint yet.
    """
    config = config.with_absolute_paths()
    flags = {"resume": resume, "overwrite": overwrite}
    with parallel.processes(config.device) as device:
        if config.method in image_encoder.METHODS:
            parallel.on_first(lambda: _check_images_alone(config))
            return image_runs.train(config, **flags)
        parallel.on_first(lambda: run_folder.restore_run(config))
        parallel.on_first(lambda: run_folder.check_run(config, **flags))
        dataset = parallel.in_turn(lambda: load_dataset(config))
        inputs = parallel.in_turn(lambda: open_inputs(config, dataset, device))
        unused = config.optim.patience and not len(dataset.splits["validation"])
        if unused and parallel.rank() == 0:
            _log.warning(
                "patience: %s has no labels to validate by, so it ends nothing", dataset.name
            )
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
            torch.manual_seed(config.seed)
            method = METHODS[config.method](config, inputs.dims, inputs.wrap)
            for module in (method.heads, *(stage.modules for stage in method.stages)):
                module.to(device)
            validate = validation_map(method, dataset, inputs)
            with run_folder.training(config, **flags) as run:
                fit_run(run, method, inputs.split, validate, resume=resume)
                if parallel.rank() == 0:
                    _finish(run, method, dataset, inputs)
    return config.run_folder


def _check_images_alone(config: TrainConfig) -> None:
    if parallel.size() > 1:
        raise DistillError(
            f"torchrun: expected one process for method {config.method}, got {parallel.size()}; "
            "start it with python -m distill.train"
        )
    if config.data.labelled != 1 or config.data.modalities is not None:
        name = "modalities" if config.data.labelled == 1 else "labelled"
        given = getattr(config.data, name)
        raise DistillError(
            f"{name}: expected none for method {config.method}, which learns from images without "
            f"labels, got {given}; leave it out"
        )
    if config.head.kind == "tanh":
        raise DistillError(
            f"head: expected mlp or linear for method {config.method}, got tanh; leave it out"
        )
    if config.device != "cpu":
        raise DistillError(
            f"device: expected cpu for method {config.method}, got {config.device}; leave it out"
        )


def _finish(run: checkpoint.Run, method: Method, dataset: ImageTextDataset, inputs: Inputs) -> None:
    """Write weights, codes and the evaluation; only here are the queries' labels opened."""
    checkpoint.save_weights(run, _weights(method.heads))
    checkpoint.save_dataset(run, dataset, kinds_of(dataset.others, method.heads))
    features, codes = inputs.features(run), {}
    for modality, head in method.heads.items():
        has = dataset.has(modality)[:, None]
        codes[modality] = packed_codes(head, features[modality]) * has
        floats = head_output(head, features[modality], continuous=True).cpu().numpy()
        checkpoint.save_codes(run, modality, codes[modality], np.where(has, floats, 0))
    if kept := {name: array.cpu().numpy() for name, array in method.kept().items()}:
        kept["training_rows"] = learned_rows(run.config, dataset)
    for name, array in kept.items():
        write_array(run.path / f"{name}.npy", array)
    if method.teacher is not None:
        checkpoint.save_weights(run, _weights(method.teacher), file=checkpoint.TEACHER)
        by_teacher = {
            m: packed_codes(head, features[m]) * dataset.has(m)[:, None]
            for m, head in method.teacher.items()
        }
        found = evaluate_run(run, dataset, by_teacher)
        named = dataclasses.replace(found, method=f"the teacher of {found.method}")
        checkpoint.save_metrics(run, named.to_json(), file=checkpoint.TEACHER_METRICS)
    checkpoint.save_metrics(run, evaluate_run(run, dataset, codes).to_json())


def _weights(heads: nn.ModuleDict) -> checkpoint.Weights:
    return checkpoint.Weights({m: head.spec for m, head in heads.items()}, heads.state_dict())


@dataclass(frozen=True)
class Command:
    """Train a hashing method and write a run folder with codes and their evaluation.

    Image-text methods train in N processes by torchrun --standalone --nproc-per-node N -m
    distill.train -- FLAGS.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    preset: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="NAME|FILE",
            help=f"Settings to start from: {', '.join(PRESET_NAMES)} or a TOML file; "
            "flags override it.",
        ),
    ] = None
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with an interrupted run; its own settings must be repeated."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace an existing run."""
    n_splits: int = 1
    """Train so many runs, on splits with successive seeds, each in RUN/split-SEED; above 1 the mean
    and spread of their MAP follow."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with parallel.ended_at_once(), one_sentence():
        words = list(sys.argv[1:] if arguments is None else arguments)
        command = tyro.cli(
            Command,
            prog="python -m distill.train",
            args=words,
            default=Command(_preset(words)),
        )
        with parallel.processes(command.config.device):
            if parallel.rank() == 0:
                _warn_of_unread(command, words)
            _train_all(command)


def _warn_of_unread(command: Command, words: Sequence[str]) -> None:
    """Say which flags the method does not read: they may be meant for another one."""
    unread = [f"--{key.replace('_', '-')}" for key in unread_keys(command.config, _preset(words))]
    if unread:
        _log.warning("method %s does not read %s", command.config.method, listed(unread))


def _train_all(command: Command) -> None:
    """Train what was asked for and print what came of it."""
    flags = {"resume": command.resume, "overwrite": command.overwrite}
    configs = [command.config.with_absolute_paths()]
    if command.n_splits != 1:
        configs = repeated.split_configs(configs[0], command.n_splits)
        parallel.on_first(lambda: [run_folder.restore_run(config) for config in configs])
        parallel.on_first(lambda: repeated.check_splits(configs, **flags))
    found = []
    for config in configs:
        run = train(config, **flags)
        if parallel.rank() == 0:
            found.append(Evaluation.from_json(checkpoint.load_run(run).metrics()))
            teacher = checkpoint.load_run(run).teacher_metrics()
            _print_scores(run, found[-1], Evaluation.from_json(teacher) if teacher else None)
    if len(found) > 1:
        print(repeated.spread(found))


def _print_scores(run: Path, scores: Evaluation, teacher: Evaluation | None) -> None:
    print(scores.statement)
    for name, direction in scores.directions.items():
        by_teacher = f"  teacher {teacher.directions[name].map:.3f}" if teacher else ""
        print(f"{direction_label(name):>17}  {_maps(direction)}{by_teacher}")
    if scores.directions:
        print(f"{'chance':>17}  MAP {scores.chance:.3f}")
    if scores.neighbours_kept is not None:
        kept = f"{scores.neighbours_kept:.0%} of the teacher's {KEPT_DEPTH} nearest found"
        print(f"{'student → teacher':>17}  {kept}")
    print(f"run folder: {run}")


def _maps(scores: DirectionScores) -> str:
    """MAP over the whole ranking, in a large database over its first 1,000, and a chance apart."""
    at = scores.map_at["rank"].get(image_runs.VALIDATION_DEPTH)
    figures = {"MAP": scores.map, "MAP@1000": at, "chance": scores.chance}
    return "  ".join(f"{name} {x:.3f}" for name, x in figures.items() if x is not None)


def _preset(words: Sequence[str]) -> TrainConfig:
    """The settings that flags start from, which must be known before flags are read.

    Those that hash images differ from the others in optimiser and head: the method names them.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--preset")
    parser.add_argument("--method")
    try:
        given = parser.parse_known_args(words)[0]
    except argparse.ArgumentError:  # tyro says it better
        return TrainConfig()
    if given.preset is None and given.method in image_encoder.METHODS:
        return load_config(given.method)
    return TrainConfig() if given.preset is None else load_config(given.preset)


if __name__ == "__main__":
    main()
