"""Methods on synthetic clusters: what each one trains, what it leaves alone, that it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

import hamming
from distill.config import HeadConfig, OptimConfig, SodaConfig, StudentWeights, TrainConfig
from distill.heads import head_output
from distill.loop import fit
from distill.methods import contrastive, no_teacher, soda
from distill.methods.base import Method
from distill.metrics import mean_average_precision
from distill.types import Batch, Split

BUILD = {"soda": soda.build, "no_teacher": no_teacher.build, "contrastive": contrastive.build}
DIMS = {"image": 24, "text": 16, "label": 12}
CONFIG = TrainConfig(
    bits=16,
    head=HeadConfig(hidden=32),
    optim=OptimConfig(epochs=8, batch_size=32, lr=3e-3, validate_every=0, checkpoint_every=100),
)
N_CLASSES = 5


def clusters(n: int, seed: int) -> Split:
    """Each modality shows an item's class through its own noisy random map."""
    fixed = torch.Generator().manual_seed(99)
    maps = {name: torch.randn(N_CLASSES, d, generator=fixed) for name, d in DIMS.items()}
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.nn.functional.one_hot(
        torch.randint(N_CLASSES, (n,), generator=drawn), N_CLASSES
    ).float()
    features = {
        name: labels @ m + 0.5 * torch.randn(n, m.shape[1], generator=drawn)
        for name, m in maps.items()
    }
    return Split(features, labels)


def train(method: Method, split: Split, optim: OptimConfig = CONFIG.optim) -> None:
    fit(method, split, optim, validate=lambda _: {}, record=lambda _: None, save=lambda _: None)


def score(method: Method, test: Split, query: str, database: str) -> float:
    codes = {
        name: np.asarray(hamming.pack(head_output(method.heads[name], test.features[name]).numpy()))
        for name in ("image", "text")
    }
    labels = test.labels.numpy()
    return mean_average_precision(codes[query], codes[database], labels, labels)


@pytest.mark.parametrize("name", sorted(BUILD))
def test_a_method_learns_clusters(name: str) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, method=name)
    method = BUILD[name](config, DIMS)
    train(method, clusters(300, seed=1))
    test = clusters(100, seed=2)
    chance = 1 / N_CLASSES
    floor = 0.5 if name == "contrastive" else 0.8  # contrast sees no labels
    assert score(method, test, "image", "text") > max(floor, 2 * chance)
    assert score(method, test, "text", "image") > max(floor, 2 * chance)


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_stage_two_leaves_the_image_branch_bit_identical() -> None:
    torch.manual_seed(0)
    method = soda.build(CONFIG, DIMS)
    split = clusters(100, seed=1)
    teacher, student = method.stages
    train(dataclasses.replace(method, stages=(teacher,)), split)
    image, text = snapshot(method.heads["image"]), snapshot(method.heads["text"])
    codes = head_output(method.heads["image"], split.features["image"])
    train(dataclasses.replace(method, stages=(student,)), split)
    after = method.heads["image"].state_dict()
    assert all(torch.equal(after[name], value) for name, value in image.items())
    assert torch.equal(head_output(method.heads["image"], split.features["image"]), codes)
    assert torch.equal(student.bank, codes)
    assert not torch.equal(
        method.heads["text"].state_dict()["body.1.weight"], text["body.1.weight"]
    )


def test_the_teacher_never_reads_text_and_the_student_never_prompts() -> None:
    method = soda.build(CONFIG, DIMS)
    split = clusters(20, seed=1)
    seen = {"teacher": {"image", "label"}, "student": {"image", "text"}}
    for stage in method.stages:
        only = {name: split.features[name] for name in seen[stage.name]}
        stage.prepare(Split(only, split.labels))
        index = torch.arange(8)
        features = {name: values[:8] for name, values in only.items()}
        assert stage.loss(Batch(index, features, split.labels[:8])).keys() == stage.weights.keys()


def test_contrast_never_reads_labels() -> None:
    method = contrastive.build(CONFIG, DIMS)
    split = clusters(20, seed=1)
    terms = method.stages[0].loss(
        Batch(torch.arange(20), split.features, torch.full_like(split.labels, torch.nan))
    )
    assert torch.isfinite(terms["info_nce"])
    assert torch.equal(method.heads["image"].rotation, method.heads["text"].rotation)


def test_weights_and_options_come_from_the_configuration() -> None:
    student = StudentWeights(sim=2, relation=0.5)
    config = dataclasses.replace(
        CONFIG, soda=SodaConfig(normalize=True, similarity="multilevel", student=student)
    )
    stage = soda.build(config, DIMS).stages[1]
    per_bit = CONFIG.bits / 64
    assert stage.weights == {
        "sim": 2,
        "contrast": student.contrast,
        "pair": per_bit * student.pair,
        "relation": 0.5,
        "intra": 1,
        "quantization": per_bit * student.quantization,
    }
    plain = soda.build(CONFIG, DIMS).stages[0]
    other = soda.build(config, DIMS).stages[0]
    other.modules.load_state_dict(plain.modules.state_dict())
    split = clusters(10, seed=1)
    batch = Batch(torch.arange(10), split.features, split.labels)
    for stage in (plain, other):
        stage.modules.eval()
    assert plain.loss(batch)["gap"] == other.loss(batch)["gap"]
    assert plain.loss(batch)["inter"] != other.loss(batch)["inter"]
