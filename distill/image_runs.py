"""Training runs of the methods that hash images: a teacher, or a small student of one."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distill import checkpoint, run_folder
from distill.clusters import check_clusters
from distill.config import DistillConfig, ImagesConfig, TrainConfig
from distill.data import ImageTextDataset
from distill.encoders.backbones import Backbone
from distill.encoders.view_cache import clean_features, online_views, view_features
from distill.evaluation import Evaluation, evaluate
from distill.fitting import fit_run
from distill.heads import head_output
from distill.image_encoder import Model, models_of, open_backbone
from distill.inputs import load_dataset, packed, packed_codes
from distill.methods import bihalf, brcd, cibhash
from distill.methods.base import Method, Stage
from distill.metrics import mean_average_precision
from distill.metrics.bits import neighbours_kept
from distill.metrics.scores import IMAGE_DIRECTIONS, KEPT_DEPTH
from distill.teacher_runs import check_same_split, with_teacher
from distill.types import Batch, DistillError, Split

_BUILD: dict[str, Callable[[TrainConfig, Mapping[str, int]], Method]] = {
    "cibhash": cibhash.build,
    "bihalf": bihalf.build,
}
VALIDATION_DEPTH = 1000
"""Validation is MAP at this rank, against the training images."""
_ASKED = 1000
_STUDENTS = 10**6  # seeds of students lie so far from those of teachers


@dataclasses.dataclass(frozen=True)
class OnlineSplit(Split):
    """Training rows whose batches have views that no earlier epoch has seen.

    Attributes:
        backbones: model -> backbone, in the order of the features.
        dataset: the pictures.
        rows: (n) row numbers in the dataset.
        settings: seed and kind of the views.
    """

    backbones: tuple[tuple[str, Backbone], ...]
    dataset: ImageTextDataset
    rows: NDArray[np.int64]
    settings: ImagesConfig

    def batches(self, parts: Sequence[Tensor], epoch: int) -> Iterator[Batch]:
        """See `Split.batches`; what is learned once, such as mean and deviation, is of epoch 0."""
        views = online_views(
            [backbone for _, backbone in self.backbones],
            self.dataset,
            [self.rows[part.numpy()].tolist() for part in parts],
            seed=self.settings.view_seed,
            epoch=epoch + 1,
            blur=self.settings.blur,
        )
        for index, features in zip(parts, views, strict=True):
            named = dict(zip((model for model, _ in self.backbones), features, strict=True))
            yield Batch(index, named, self.labels[index])


def train(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run one training from data to evaluation; see `distill.train.train`.

    Raises:
        DistillError, ConfigError, OSError: what a user can cause; nothing half-written is left.
    """
    config, teacher = with_teacher(config)
    run_folder.restore_run(config)
    run_folder.check_run(config, resume=resume, overwrite=overwrite)
    dataset = load_dataset(config)
    dataset.require_images("to hash")
    _check_amount(config, dataset)
    check_same_split(config, dataset)
    backbones: dict[str, Backbone] = {m: open_backbone(config, m) for m in models_of(config)}
    clean, split = _features(config, dataset, backbones)
    with torch.random.fork_rng(devices=[]):
        # Of one seed and backbone a student would begin where its teacher began, bit for bit.
        torch.manual_seed(config.seed if teacher is None else (config.seed + _STUDENTS) % 2**63)
        dims = {model: backbone.dim for model, backbone in backbones.items()}
        if teacher is None:
            method = _BUILD[config.method](config, dims)
        else:
            method = brcd.build(config, dims, teacher, cache=config.run_folder)
        heads = nn.ModuleDict(dict(method.heads) | ({"teacher": teacher} if teacher else {}))
        with run_folder.training(config, resume=resume, overwrite=overwrite) as run:
            validate = image_validation_map(heads, dataset, clean)
            frozen = teacher.state_dict() if teacher else None
            fit_run(run, method, split, validate, resume=resume, frozen=frozen)
            _finish(run, heads, dataset, clean)
    return run.path


def image_learned_rows(config: TrainConfig, dataset: ImageTextDataset) -> NDArray[np.int64]:
    """Rows (n) that are learned from, ascending or in the dataset's own order."""
    splits = dataset.splits
    if config.method in _BUILD or config.images.learn_from == "train":
        return splits["train"]
    return splits["database"][~np.isin(splits["database"], splits["validation"])]


def towers_line(config: TrainConfig) -> str:
    """What the features came from, for tables: random weights are named as such."""
    images = config.images
    named: dict[Model, tuple[str, int, str | None]] = {
        "student": (images.student, images.student_size, images.student_weights),
        "teacher": (images.backbone, images.backbone_size, images.backbone_weights),
    }
    lines = []
    for model in models_of(config):
        name, size, weights = named[model]
        source = {None: "its own weights", "random": "RANDOM weights"}.get(weights, weights)
        lines.append(f"{model} {name} at {size} px, {source}")
    return f"{'; '.join(lines)}; frozen"


def method_name(config: TrainConfig) -> str:
    """The method, and how a student's distillation differs from the default, for tables."""
    if config.method != "brcd":
        return config.method
    usual = dataclasses.asdict(DistillConfig())
    given = dataclasses.asdict(config.distill)
    changed = ", ".join(f"{key} {value}" for key, value in given.items() if value != usual[key])
    return f"brcd ({changed})" if changed else "brcd"


def image_validation_map(
    heads: nn.ModuleDict, dataset: ImageTextDataset, clean: Mapping[str, Tensor]
) -> Callable[[Stage], dict[str, float]]:
    """MAP of the validation rows against the training rows, as a function of the stage.

    Only what the first modality, which is the one that trains, is asked with; data without labels
    give nothing.
    """
    queries, database = dataset.splits["validation"], dataset.splits["train"]
    labels = dataset.labels[queries], dataset.labels[database]
    judged = len(queries) and labels[0].any()

    def validate(stage: Stage) -> dict[str, float]:
        if not judged:
            return {}
        modalities = stage.modalities
        codes = {m: packed_codes(heads[m], clean[m]) for m in modalities}
        return {
            name: mean_average_precision(
                codes[a][queries], codes[b][database], *labels, top=VALIDATION_DEPTH
            )
            for name, (a, b) in IMAGE_DIRECTIONS.items()
            if a == modalities[0] and b in codes
        }

    return validate


def evaluate_image_run(
    run: checkpoint.Run, dataset: ImageTextDataset, codes: Mapping[str, NDArray[np.uint8]]
) -> Evaluation:
    """Score a run's codes in every direction between its models; the queries' labels are opened.

    Data without labels have no directions; how much of the teacher's neighbourhood a student keeps
    can be told of them too.
    """
    config, splits = run.config, dataset.splits
    protocol = dataset.protocol
    if "student" in codes and config.images.learn_from == "database":
        n = len(image_learned_rows(config, dataset))
        protocol += f" The student learned from {n:,} images of the database, without labels."
    about: dict[str, Any] = {
        "n_bits": config.bits,
        "protocol": protocol,
        "method": method_name(config),
        "backbone": towers_line(config),
        "seed": config.seed,
    }
    directions = {k: pair for k, pair in IMAGE_DIRECTIONS.items() if set(pair) <= set(codes)}
    found = evaluate(codes, dataset.labels, splits, directions=directions, **about)
    if "student" not in codes:
        return found
    # Without queries the items themselves ask.
    rows = splits["query"] if len(splits["query"]) else splits["database"][:_ASKED]
    database = codes["teacher"][splits["database"]]
    if len(database) <= KEPT_DEPTH:  # all of it would be found
        return found
    kept = neighbours_kept(codes["student"][rows], codes["teacher"][rows], database, KEPT_DEPTH)
    return dataclasses.replace(found, neighbours_kept=kept)


def _check_amount(config: TrainConfig, dataset: ImageTextDataset) -> None:
    n = len(dataset.splits["train"])
    if n < 2:
        raise DistillError(
            f"data: expected at least 2 training images, got {n} in {dataset.name}; give more"
        )
    if config.method == "brcd" and config.distill.kind == "brcd":
        check_clusters(config.distill.clusters, n)


def _features(
    config: TrainConfig, dataset: ImageTextDataset, backbones: Mapping[str, Backbone]
) -> tuple[dict[str, Tensor], Split]:
    """Clean features (n_items, d) of all images, and the training rows with their views."""
    cache, images = config.encoder.cache, config.images
    learned = image_learned_rows(config, dataset)
    rows, everything = learned.tolist(), range(len(dataset))
    clean: dict[str, Tensor] = {
        model: clean_features(backbone, dataset, everything, cache=cache)
        for model, backbone in backbones.items()
    }
    views = view_features(
        list(backbones.values()),
        dataset,
        rows,
        n_views=images.views,
        seed=images.view_seed,
        blur=images.blur,
        cache=cache,
    )
    index = torch.tensor(rows)
    if images.clean_view:
        plain = (clean[model][index][:, None] for model in backbones)
        views = [torch.cat([one, other], dim=1) for one, other in zip(views, plain, strict=True)]
    kept = clean["teacher"][index]
    features = {**dict(zip(backbones, views, strict=True)), "clean": kept}
    labels = torch.tensor(dataset.labels[rows]).float()
    if images.online:
        towers = tuple(backbones.items())
        return clean, OnlineSplit(features, labels, towers, dataset, learned, images)
    return clean, Split(features, labels)


def _finish(
    run: checkpoint.Run,
    heads: nn.ModuleDict,
    dataset: ImageTextDataset,
    clean: Mapping[str, Tensor],
) -> None:
    """Write weights, codes and, where there are labels, the evaluation."""
    specs = {model: head.spec for model, head in heads.items()}
    checkpoint.save_weights(run, checkpoint.Weights(specs, heads.state_dict()))
    checkpoint.save_dataset(run, dataset)
    codes = {}
    for model, head in heads.items():
        logits = head_output(head, clean[model])
        codes[model] = packed(logits)
        checkpoint.save_codes(run, model, codes[model], logits.numpy())
    checkpoint.save_metrics(run, evaluate_image_run(run, dataset, codes).to_json())
