"""Train a method, pack the dataset's codes and evaluate them: `python -m distill.train`."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn

import hamming
from distill import checkpoint, data, image_encoder, image_runs, run_folder
from distill.command import one_sentence
from distill.config import PRESET_NAMES, TrainConfig, load_config
from distill.data.base import ImageTextDataset
from distill.encoders import Encoder, image_features, load_encoder, prompt_features, text_features
from distill.evaluation import DIRECTIONS, DirectionScores, Evaluation, evaluate
from distill.fitting import fit_run
from distill.heads import head_output
from distill.methods import contrastive, no_teacher, soda
from distill.methods.base import Method
from distill.metrics import mean_average_precision
from distill.metrics.scores import KEPT_DEPTH, direction_label
from distill.types import Split

METHODS: dict[str, Callable[[TrainConfig, Mapping[str, int]], Method]] = {
    "soda": soda.build,
    "no_teacher": no_teacher.build,
    "contrastive": contrastive.build,
}


def train(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run one training from data to evaluation.

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
    if config.method in image_encoder.METHODS:
        return image_runs.train(config, resume=resume, overwrite=overwrite)
    run_folder.check_run(config, resume=resume, overwrite=overwrite)
    encoder = load_encoder(config.encoder)
    dataset = load_dataset(config)
    features = encode_dataset(encoder, dataset, config)
    split = training_split(encoder, dataset, features, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        dims = {modality: values.shape[1] for modality, values in split.features.items()}
        method = METHODS[config.method](config, dims)
        validate = validation_map(method, dataset, features)
        with run_folder.training(config, resume=resume, overwrite=overwrite) as run:
            fit_run(run, method, split, validate, resume=resume)
            _finish(run, method, dataset, features)
    return run.path


def load_dataset(config: TrainConfig) -> ImageTextDataset:
    """The dataset of a configuration."""
    return data.load(**dataclasses.asdict(config.data))


def encode_dataset(
    encoder: Encoder, dataset: ImageTextDataset, config: TrainConfig
) -> dict[str, Tensor]:
    """Frozen features (n_items, d) of all images and texts; labels are not touched.

    What the dataset brings as features is taken as it is.
    """
    cache = config.encoder.cache
    features = {m: torch.from_numpy(values.copy()) for m, values in dataset.features.items()}
    if "image" not in features:
        features["image"] = image_features(encoder, dataset, cache=cache)
    if "text" not in features:
        features["text"] = text_features(encoder, dataset.texts, cache=cache)
    return features


def training_split(
    encoder: Encoder,
    dataset: ImageTextDataset,
    features: Mapping[str, Tensor],
    config: TrainConfig,
) -> Split:
    """The training rows with their labels and the features of their label prompts."""
    rows = torch.tensor(dataset.splits["train"])
    labels = torch.tensor(dataset.labels[rows]).float()
    prompts = prompt_features(
        labels,
        dataset.label_names,
        lambda texts: text_features(encoder, texts, cache=config.encoder.cache),
        style=config.soda.prompt,
        template=config.soda.template,
    )
    return Split({**{m: f[rows] for m, f in features.items()}, "label": prompts}, labels)


def validation_map(
    method: Method, dataset: ImageTextDataset, features: Mapping[str, Tensor]
) -> Callable[[tuple[str, ...]], dict[str, float]]:
    """MAP of the validation rows against the training rows, as a function of the modalities."""
    queries, database = dataset.splits["validation"], dataset.splits["train"]
    labels = dataset.labels[queries], dataset.labels[database]

    def validate(modalities: tuple[str, ...]) -> dict[str, float]:
        if not len(queries):
            return {}
        codes = {m: packed_codes(method.heads[m], features[m]) for m in modalities}
        return {
            name: mean_average_precision(codes[a][queries], codes[b][database], *labels)
            for name, (a, b) in DIRECTIONS.items()
            if a in codes and b in codes
        }

    return validate


def _finish(
    run: checkpoint.Run,
    method: Method,
    dataset: ImageTextDataset,
    features: Mapping[str, Tensor],
) -> None:
    """Write weights, codes and the evaluation; only here are the queries' labels opened."""
    specs = {modality: head.spec for modality, head in method.heads.items()}
    checkpoint.save_weights(run, checkpoint.Weights(specs, method.heads.state_dict()))
    checkpoint.save_dataset(run, dataset)
    codes = {}
    for modality, head in method.heads.items():
        codes[modality] = packed_codes(head, features[modality])
        floats = head_output(head, features[modality], continuous=True)
        checkpoint.save_codes(run, modality, codes[modality], floats.numpy())
    scores = evaluate(
        codes,
        dataset.labels,
        dataset.splits,
        n_bits=run.config.bits,
        protocol=dataset.protocol,
        method=run.config.method,
        backbone=backbone(run.config),
        seed=run.config.seed,
    )
    checkpoint.save_metrics(run, scores.to_json())


def packed_codes(head: nn.Module, features: Tensor) -> NDArray[np.uint8]:
    """Codes (n, n_bytes) of features (n, d): bit = h > 0."""
    return np.asarray(hamming.pack(head_output(head, features).numpy()))


def backbone(config: TrainConfig) -> str:
    """What the features came from, for tables: random weights are named as such."""
    if config.method in image_encoder.METHODS:
        return image_runs.towers_line(config)
    weights = {None: "pip weights", "random": "RANDOM weights"}.get(config.encoder.pretrained)
    return f"{config.encoder.teacher}, {weights or config.encoder.pretrained}, frozen"


@dataclass(frozen=True)
class Command:
    """Train a hashing method and write a run folder with codes and their evaluation."""

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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        words = list(sys.argv[1:] if arguments is None else arguments)
        command = tyro.cli(
            Command,
            prog="python -m distill.train",
            args=words,
            default=Command(_preset(words)),
        )
        run = train(command.config, resume=command.resume, overwrite=command.overwrite)
        scores = Evaluation.from_json(checkpoint.load_run(run).metrics())
        print(scores.statement)
        for name, direction in scores.directions.items():
            print(f"{direction_label(name):>17}  {_maps(direction)}")
        if scores.directions:
            print(f"{'chance':>17}  MAP {scores.chance:.3f}")
        if scores.neighbours_kept is not None:
            kept = f"{scores.neighbours_kept:.0%} of the teacher's {KEPT_DEPTH} nearest found"
            print(f"{'student → teacher':>17}  {kept}")
        print(f"run folder: {run}")


def _maps(scores: DirectionScores) -> str:
    """MAP over the whole ranking and, in a large database, over its first 1,000."""
    at = scores.map_at["rank"].get(image_runs.VALIDATION_DEPTH)
    return f"MAP {scores.map:.3f}" + (f"  MAP@1000 {at:.3f}" if at is not None else "")


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
