"""BRCD's stage on drawn features: what it looks at, what it leaves alone, what it aligns."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distill.config import DistillConfig, HeadConfig, OptimConfig, TrainConfig
from distill.heads import LogitHead
from distill.loop import fit
from distill.losses.distillation import brcd_loss
from distill.losses.hashing import straight_through_sign
from distill.losses.quantization import sign
from distill.methods import brcd, cibhash
from distill.methods.views import cibhash_terms, view_pair
from distill.types import Batch, Split

N, VIEWS, BITS = 60, 3, 24
CONFIG = TrainConfig(
    method="brcd",
    bits=BITS,
    head=HeadConfig(kind="linear"),
    optim=OptimConfig(
        epochs=25, batch_size=20, lr=1e-2, schedule="constant", weight_decay=0.0, validate_every=0
    ),
    distill=DistillConfig(clusters=4),
)


@pytest.fixture
def split() -> Split:
    """Four classes; the student sees them through other, noisier eyes."""
    drawn = torch.Generator().manual_seed(0)
    labels = nn.functional.one_hot(torch.arange(N) % 4, 4).float()
    features = {}
    for name, dim, noise in (("teacher", 12, 0.5), ("student", 10, 0.6)):
        means = labels @ torch.randn(4, dim, generator=drawn)
        features[name] = means[:, None] + noise * torch.randn(N, VIEWS, dim, generator=drawn)
    return Split({**features, "clean": features["teacher"].mean(dim=1)}, labels)


@pytest.fixture
def teacher(split: Split) -> LogitHead:
    torch.manual_seed(1)
    head = LogitHead(12, BITS)
    head.standardise(split.features["teacher"])
    return head


def stage_of(teacher: nn.Module, **settings: object) -> brcd.Distillation:
    torch.manual_seed(2)
    config = dataclasses.replace(CONFIG, distill=DistillConfig(clusters=4, **settings))
    (stage,) = brcd.build(config, {"student": 10}, teacher).stages
    return stage


def batch_of(split: Split) -> Batch:
    return next(split.batches([torch.arange(0, N, 3)], 0))


def agreement(head: nn.Module, teacher: nn.Module, split: Split) -> float:
    student = sign(head(split.features["student"].mean(dim=1)))
    return float((student == sign(teacher(split.features["clean"]))).float().mean())


def test_views_are_two_different_ones_and_the_same_for_both_models() -> None:
    numbers = torch.arange(4.0).expand(50, 4)[..., None]
    features = {"teacher": numbers, "student": -numbers}
    torch.manual_seed(0)
    first, second = view_pair(features, ("teacher", "student"))
    assert (first["teacher"] != second["teacher"]).all()
    assert torch.equal(first["teacher"], -first["student"])
    assert torch.equal(second["teacher"], -second["student"])
    assert first["teacher"].unique().tolist() == [0, 1, 2, 3]


def test_the_loss_is_the_function_on_the_teachers_codes(split: Split, teacher: LogitHead) -> None:
    stage = stage_of(teacher, mask="on", alpha=0.6, tau=0.4, filter="negatives")
    stage.prepare(split)
    batch = batch_of(split)
    torch.manual_seed(5)
    terms = stage.loss(batch)
    assert terms.keys() == stage.weights.keys() == {"contrast", "divergence", "distill"}
    torch.manual_seed(5)
    first, second = view_pair(batch.features, ("student", "teacher"))
    student = stage.modules["student"]
    x_i, x_j = student(first["student"]), student(second["student"])
    wanted = brcd_loss(
        straight_through_sign(x_i),
        sign(teacher(first["teacher"])),
        sign(teacher(second["teacher"])),
        stage.clusters.labels[batch.index],
        stage.clusters.centers,
        stage.clusters.mask,
        alpha=0.6,
        tau=0.4,
        filter="negatives",
    )
    assert torch.allclose(terms["distill"], wanted)
    own = cibhash_terms(x_i, x_j, tau=CONFIG.hashing.tau)
    assert all(torch.allclose(terms[name], value) for name, value in own.items())


def test_without_a_loss_of_its_own_only_distillation_is_left(
    split: Split, teacher: LogitHead
) -> None:
    stage = stage_of(teacher, own_loss=False, mask="off")
    stage.prepare(split)
    assert stage.loss(batch_of(split)).keys() == stage.weights.keys() == {"distill"}
    assert stage.mask.all()


def test_labels_and_clean_features_are_not_looked_at_while_training(
    split: Split, teacher: LogitHead
) -> None:
    stage = stage_of(teacher)
    stage.prepare(split)
    batch = batch_of(split)
    blind = Batch(
        batch.index,
        {**batch.features, "clean": torch.full_like(batch.features["clean"], torch.nan)},
        torch.full_like(batch.labels, torch.nan),
    )
    torch.manual_seed(0)
    one = stage.loss(batch)
    torch.manual_seed(0)
    other = stage.loss(blind)
    assert all(torch.equal(other[name], value) for name, value in one.items())


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_the_student_takes_the_teachers_bits_and_the_teacher_stays(
    split: Split, teacher: LogitHead, tmp_path: Path
) -> None:
    teacher.train()  # as a training loop that is not careful would leave it
    before = snapshot(teacher)
    found = {}
    for kind in ("brcd", "alone", "pointwise", "sp"):
        torch.manual_seed(3)
        settings = DistillConfig(clusters=4, kind=kind, weight=5.0)
        config = dataclasses.replace(CONFIG, distill=settings)
        method = brcd.build(config, {"student": 10}, teacher, cache=tmp_path)
        quiet = {"validate": lambda _: {}, "record": lambda _: None, "save": lambda _: None}
        fit(method, split, CONFIG.optim, **quiet)
        found[kind] = agreement(method.heads["student"], teacher, split)
    assert not teacher.training
    assert all(torch.equal(teacher.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert min(found["brcd"], found["pointwise"]) > 0.8
    # Relations do not change when bits are permuted or flipped: they cannot align any.
    assert max(found["alone"], found["sp"]) < 0.7
    assert len(list(tmp_path.iterdir())) == 1  # clusters are made once


def test_a_teacher_learns_classes_without_labels(split: Split) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, method="cibhash")
    method = cibhash.build(config, {"teacher": 12})
    blind = Split(split.features, torch.full_like(split.labels, torch.nan))
    quiet = {"validate": lambda _: {}, "record": lambda _: None, "save": lambda _: None}
    fit(method, blind, CONFIG.optim, **quiet)
    codes = sign(method.heads["teacher"](split.features["clean"]))
    similarity = codes @ codes.T / BITS
    same = split.labels @ split.labels.T > 0
    assert similarity[same].mean() > similarity[~same].mean() + 0.5
