"""Groups of parameters and their rates, against formulas written out by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from distill.config import ConfigError, OptimConfig
from distill.encoders.tuned import Tuned
from distill.methods.base import Stage
from distill.optimizer import make_optimizer, set_rate, update
from distill.types import Batch, LossTerms


class Half(Stage):
    """Two children, one of which is a tower with a head, at half the rate."""

    rates = {"image": 0.5}

    def __init__(self) -> None:
        image = Tuned(nn.Linear(2, 2), nn.Linear(2, 1))
        self.modules = nn.ModuleDict({"image": image, "text": nn.Linear(2, 1)})

    def loss(self, batch: Batch) -> LossTerms:
        raise NotImplementedError


def rates(stage: Stage, settings: OptimConfig, epoch: float) -> dict[str, float]:
    """The rate of each parameter at a position; an epoch has 4 steps."""
    optimizer = make_optimizer(stage, settings)
    set_rate(optimizer, settings, epoch, 4, settings.epochs)
    names = {id(parameter): name for name, parameter in stage.modules.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_towers_and_children_have_rates_of_their_own() -> None:
    found = rates(Half(), OptimConfig(lr=0.1, tower_lr=0.001), epoch=0)
    expected = {"image.tower": 0.0005, "image.head": 0.05, "text": 0.1}
    assert len(found) == 6
    for name, rate in found.items():
        assert rate == pytest.approx(expected[name.rpartition(".")[0]])


def test_warm_up_is_linear_and_then_comes_the_cosine() -> None:
    settings = OptimConfig(lr=1.0, epochs=10, warmup=0.1)
    found = [rates(Half(), settings, step / 4)["text.bias"] for step in range(40)]
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    later = [(1 + math.cos(math.pi * (step - 4) / 36)) / 2 for step in range(4, 40)]
    assert found[4:] == pytest.approx(later)
    constant = OptimConfig(lr=1.0, epochs=10, warmup=0.1, schedule="constant")
    assert rates(Half(), constant, 5.0)["text.bias"] == 1.0


def test_the_schedule_in_steps_decays_after_so_many() -> None:
    settings = OptimConfig(lr=1.0, epochs=10, schedule="step", decay=0.5, decay_steps=3)
    found = [rates(Half(), settings, n / 4)["text.bias"] for n in range(9)]
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_sgd_is_the_gradient_and_the_decay() -> None:
    torch.manual_seed(0)
    before = Half().modules["text"].weight.detach().clone()
    changed = step(OptimConfig(optimizer="sgd", lr=0.5, weight_decay=0.01))["text.weight"]
    gradient = torch.tensor([[1.0, 2.0]])
    assert torch.allclose(changed, -0.5 * (gradient + 0.01 * before), atol=1e-6)


def step(settings: OptimConfig, loss_factor: float = 1.0) -> dict[str, Tensor]:
    """The change of each parameter by one step."""
    torch.manual_seed(0)
    stage = Half()
    before = {name: p.detach().clone() for name, p in stage.modules.named_parameters()}
    optimizer = make_optimizer(stage, settings)
    x = torch.tensor([[1.0, 2.0]])
    loss = stage.modules["image"](x).sum() + stage.modules["text"](x).sum()
    update(optimizer, settings, loss_factor * loss)
    return {n: p.detach() - before[n] for n, p in stage.modules.named_parameters()}


def test_a_clipped_step_does_not_depend_on_the_size_of_a_large_gradient() -> None:
    # A large eps leaves Adam's step in proportion to the gradient.
    settings = OptimConfig(lr=1.0, eps=1e3, clip=0.1, weight_decay=0.0)
    one, other = step(settings), step(settings, 7.0)
    assert all(torch.allclose(one[name], other[name]) for name in one)
    open_ended = OptimConfig(lr=1.0, eps=1e3, weight_decay=0.0)
    one, other = step(open_ended), step(open_ended, 7.0)
    assert torch.allclose(7 * one["text.weight"], other["text.weight"], rtol=0.05)


def test_adamw_shrinks_weights_beside_the_gradient() -> None:
    torch.manual_seed(0)
    weight = Half().modules["text"].weight.detach().clone()
    settings = {"lr": 0.1, "weight_decay": 0.5, "optimizer": "adamw"}
    plain = step(OptimConfig(**settings | {"weight_decay": 0.0}))["text.weight"]
    decayed = step(OptimConfig(**settings))["text.weight"]
    assert torch.allclose(decayed, plain - 0.1 * 0.5 * weight, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("tower_lr", 0.0),
        ("warmup", 1.0),
        ("beta2", 1.0),
        ("eps", -1.0),
        ("clip", math.inf),
        ("decay", 0.0),
        ("decay_steps", 0),
        ("epoch_items", -1),
    ],
)
def test_a_value_out_of_range_is_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}: expected .*, got {value}"):
        OptimConfig(**{setting: value})
