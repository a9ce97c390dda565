"""SODA's stages: their terms against loops, their options, and where they pick up again."""

import contextlib
import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.config import (
    HeadConfig,
    OptimConfig,
    SodaConfig,
    TrainConfig,
    config_to_toml,
    differing_keys,
    load_config,
)
from distill.loop import State, fit
from distill.methods import soda
from distill.methods.base import Method
from distill.types import Batch, Split

DIMS = {"image": 12, "text": 10, "label": 8}
N, N_LABELS, N_BITS = 30, 4, 16
OPTIM = OptimConfig(epochs=4, batch_size=8, lr=3e-3, validate_every=0, checkpoint_every=1)
PLAIN = SodaConfig()


def config(**options: Any) -> TrainConfig:
    head = HeadConfig(hidden=16, dropout=0.3)
    return TrainConfig(bits=N_BITS, head=head, optim=OPTIM, soda=SodaConfig(**options))


def split() -> Split:
    drawn = torch.Generator().manual_seed(3)
    labels = (torch.rand(N, N_LABELS, generator=drawn) < 0.4).float()
    labels[:, 0] = labels[:, 0].clamp(min=1 - labels[:, 1:].amax(dim=1))  # at least one each
    features = {m: torch.randn(N, d, generator=drawn) for m, d in DIMS.items()}
    return Split(features, labels)


def batch(rows: Tensor) -> Batch:
    data = split()
    return Batch(rows, {m: f[rows] for m, f in data.features.items()}, data.labels[rows])


def built(**options: Any) -> Method:
    torch.manual_seed(0)
    method = soda.build(config(**options), DIMS)
    for stage in method.stages:
        stage.modules.eval()
    return method


def nll(a: Tensor, b: Tensor, s: Tensor) -> float:
    total = 0.0
    for i, x in enumerate(a.tolist()):
        for j, y in enumerate(b.tolist()):
            theta = sum(p * q for p, q in zip(x, y, strict=True)) / 2
            total += math.log1p(math.exp(theta)) - s[i, j].item() * theta
    return total / len(a) / len(b)


def contrast(a: Tensor, b: Tensor, s: Tensor) -> float:
    total = 0.0
    for i, x in enumerate(a.tolist()):
        logits = [
            sum(p * q for p, q in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y) / 0.2
            for y in b.tolist()
        ]
        norm = math.log(sum(map(math.exp, logits)))
        similar = [norm - logit for j, logit in enumerate(logits) if s[i, j] > 0]
        total += sum(similar) / len(similar)
    return total / len(a)


def shares(a: Tensor, b: Tensor) -> Tensor:
    return torch.tensor(
        [[float(any(p and q for p, q in zip(x, y, strict=True))) for y in b.tolist()] for x in a]
    )


@pytest.mark.parametrize("memory", [False, True])
def test_the_teachers_terms(memory: bool) -> None:
    stage = built(memory=memory).stages[0]
    data, rows = split(), torch.tensor([4, 1, 20, 7, 9])
    with torch.no_grad():
        all_v, all_p = (stage.modules[m](data.features[m]) for m in ("image", "label"))
        v, p = all_v[rows], all_p[rows]
        # What has been trained since the epoch began is known of the batch alone.
        stage.begin_epoch(data, 0)
        if memory:
            stage.memory["image"][rows] = 7.0
        terms = stage.loss(batch(rows))
    others_v, others_p, labels = (
        (all_v, all_p, data.labels) if memory else (v, p, data.labels[rows])
    )
    s = shares(data.labels[rows], labels)
    target = torch.where(v + p > 0, 1.0, -1.0)
    near = lambda x: pytest.approx(x, rel=1e-4, abs=1e-5)  # noqa: E731
    assert terms["inter"].item() == near((nll(v, others_p, s) + nll(p, others_v, s)) / 2)
    assert terms["intra"].item() == near((nll(v, others_v, s) + nll(p, others_p, s)) / 2)
    parts = [contrast(v, others_p, s), contrast(p, others_v, s), contrast(v, others_v, s)]
    assert terms["contrast"].item() == near(sum(parts) / 3)
    assert terms["gap"].item() == near((v - p).square().mean().item())
    off = ((target - v).square().mean() + (target - p).square().mean()) / 2
    assert terms["quantization"].item() == near(off.item())
    level = (v.mean(dim=0).square().mean() + p.mean(dim=0).square().mean()) / 2
    assert terms["balance"].item() == near(level.item())


def test_the_students_terms() -> None:
    stage = built(student_updates_image=True).stages[1]
    data, rows = split(), torch.tensor([4, 1, 20, 7, 9])
    stage.prepare(data)
    with torch.no_grad():
        bank = stage.modules["image"](data.features["image"])
        t = stage.modules["text"](data.features["text"][rows])
        for parameter in stage.modules["image"].parameters():
            parameter.add_(0.01)  # V is no longer U
        v = stage.modules["image"](data.features["image"][rows])
        terms = stage.loss(batch(rows))
    u = bank[rows]
    to_all, within = (shares(data.labels[rows], y) for y in (data.labels, data.labels[rows]))
    near = lambda x: pytest.approx(x, rel=1e-4, abs=1e-5)  # noqa: E731
    assert terms["sim"].item() == near(nll(t, bank, to_all))
    assert terms["contrast"].item() == near(contrast(t, bank, to_all))
    assert terms["intra"].item() == near(nll(t, t, within))
    assert terms["pair"].item() == near((t - u).square().mean().item())
    target = torch.where(u > 0, 1.0, -1.0)
    assert terms["quantization"].item() == near((target - t).square().mean().item())
    assert terms["image"].item() == near(nll(v, t, within))
    assert terms["anchor"].item() == near((v - u).square().mean().item())
    assert terms["anchor"].item() > 0


def test_the_joint_stage_has_the_terms_of_both() -> None:
    (stage,) = built(joint=True).stages
    teacher, _ = built().stages
    rows = torch.arange(N)
    terms = stage.loss(batch(rows))
    assert terms.keys() == stage.weights.keys()
    alone = teacher.loss(batch(rows))
    assert {k: terms[f"teacher_{k}"].item() for k in alone} == {
        k: t.item() for k, t in alone.items()
    }
    terms["student_pair"].backward()
    assert stage.modules["image"].body[1].weight.grad.abs().sum() > 0
    per_bit = N_BITS / 64
    assert stage.weights["student_pair"] == per_bit * PLAIN.student.pair
    assert stage.weights["teacher_inter"] == PLAIN.teacher.inter


def trained(method: Method, *, resume: State | None = None, stop: int = 99) -> list[State]:
    states: list[State] = []

    def save(state: State) -> None:
        copied = torch.utils._pytree.tree_map(
            lambda x: x.clone() if isinstance(x, Tensor) else x, state
        )
        states.append(copied)
        if len(states) == stop:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(
            method,
            split(),
            OPTIM,
            validate=lambda _: {},
            record=lambda _: None,
            save=save,
            resume=resume,
        )
    return states


@pytest.mark.parametrize(
    ("option", "stop"),
    [
        ("memory", 2),
        ("memory", 4),
        ("student_updates_image", 3),
        ("student_updates_image", 4),
        ("student_updates_image", 6),
        ("joint", 2),
    ],
)
def test_resuming_equals_never_having_stopped(option: str, stop: int) -> None:
    options = {option: True}
    whole = trained(built(**options))[-1]["modules"]
    half = trained(built(**options), stop=stop)[-1]
    other = soda.build(config(**options), DIMS)
    resumed = trained(other, resume=half)[-1]["modules"]
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], value) for name, value in resumed.items())


def test_the_student_moves_the_images_little_and_only_when_asked() -> None:
    moved = {}
    for updates in (False, True):
        method = built(student_updates_image=updates)
        state = trained(method, stop=OPTIM.epochs)[-1]["modules"]
        before = {k: v for k, v in state.items() if k.startswith("heads.image.")}
        trained(method, resume=trained(built(student_updates_image=updates), stop=4)[-1])
        after = {f"heads.image.{k}": v for k, v in method.heads["image"].state_dict().items()}
        moved[updates] = max((after[k] - v).abs().max().item() for k, v in before.items())
    assert moved[False] == 0
    assert 0 < moved[True] < 0.1 * OPTIM.lr * OPTIM.epochs * 4 * 1.5


@pytest.mark.parametrize("name", ["memory", "student_updates_image"])
def test_joint_excludes_what_needs_stages(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected false where joint is true, got True"):
        SodaConfig(joint=True, **{name: True})


@pytest.mark.parametrize(
    ("preset", "keys"),
    [
        ("soda-bare", ["soda.prompt"]),
        ("soda-set", ["soda.prompt"]),
        ("soda-multihot", ["soda.prompt"]),
        ("soda-no-gap", ["soda.teacher.gap"]),
        ("soda-no-pair", ["soda.student.pair"]),
        ("soda-no-quantization", ["soda.teacher.quantization", "soda.student.quantization"]),
        ("soda-no-contrast", ["soda.teacher.contrast", "soda.student.contrast"]),
        ("soda-joint", ["soda.joint"]),
        ("soda-memory", ["soda.memory"]),
        ("soda-multilevel", ["soda.similarity"]),
        ("soda-normalize", ["soda.normalize"]),
        ("soda-relation", ["soda.student.relation"]),
        ("soda-balance", ["soda.teacher.balance"]),
        ("soda-updates-image", ["soda.student_updates_image"]),
    ],
)
def test_an_ablation_changes_what_it_is_named_after(preset: str, keys: list[str]) -> None:
    assert differing_keys(load_config("main"), load_config(preset)) == keys
    assert dataclasses.replace(load_config(preset), soda=PLAIN) == load_config("main")
    assert "[soda" in config_to_toml(load_config(preset))
