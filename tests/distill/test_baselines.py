"""DCMH, SSAH-like and DCHMT: their terms against loops, that they learn, where they go on."""

import contextlib
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distill import checkpoint, train
from distill.config import ConfigError, HeadConfig, OptimConfig, TrainConfig, config_from_dict
from distill.evaluation import Evaluation
from distill.heads import HashHead
from distill.loop import State, fit
from distill.methods import dchmt, dcmh, ssah
from distill.methods.base import Method
from distill.types import Batch, Split
from tests.distill import parallel_worker, test_losses_dchmt, test_methods

BUILD = {"dcmh": dcmh.build, "ssah": ssah.build, "dchmt": dchmt.build}
DIMS = {"image": 12, "text": 10}
N, N_LABELS, N_BITS = 30, 4, 16
OPTIM = OptimConfig(epochs=4, batch_size=8, lr=3e-3, validate_every=0, checkpoint_every=1)
ROWS = torch.tensor([4, 1, 20, 7, 9])
Array = NDArray[np.float64]


def config(name: str, **options: Any) -> TrainConfig:
    head = {"hidden": 16, "dropout": 0.3}
    made = config_from_dict({"method": name, "bits": N_BITS, "head": head, name: options})
    return dataclasses.replace(made, optim=OPTIM)


def split() -> Split:
    drawn = torch.Generator().manual_seed(3)
    labels = (torch.rand(N, N_LABELS, generator=drawn) < 0.3).float()
    labels[:, 0] = labels[:, 0].clamp(min=1 - labels[:, 1:].amax(dim=1))  # at least one each
    features = {m: torch.randn(N, d, generator=drawn) for m, d in DIMS.items()}
    return Split(features, labels)


def built(name: str, **options: Any) -> Method:
    torch.manual_seed(0)
    method = BUILD[name](config(name, **options), {**DIMS, "classes": N_LABELS})
    for stage in method.stages:
        stage.modules.eval()
    return method


def batch() -> Batch:
    (found,) = split().batches([ROWS], 0)
    return found


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-4, abs=1e-5)


def numbers(values: Tensor) -> Array:
    return values.detach().double().numpy()


def shares(a: Tensor, b: Tensor) -> Array:
    rows = [[float(any(p and q for p, q in zip(x, y, strict=True))) for y in b] for x in a.tolist()]
    return np.array(rows)


def log_likelihoods(a: Array, b: Array, s: Array) -> float:
    """The sum that DCMH has, of all pairs."""
    total = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            theta = sum(a[i][k] * b[j][k] for k in range(a.shape[1])) / 2
            total += math.log(1 + math.exp(theta)) - s[i, j] * theta
    return total


def test_dcmhs_terms_are_the_published_sums_over_the_pairs_of_a_batch() -> None:
    n = len(ROWS)
    gamma = eta = 1.0
    # What the methods' weights for 64 bits are of gamma and eta: see `distill.methods.dcmh`.
    weights = {"quantization": 2 * gamma * 64 / n, "balance": 2 * eta * 64}
    (stage,) = built("dcmh", **weights).stages
    with torch.no_grad():
        f, g = (numbers(stage.modules[m](split().features[m][ROWS])) for m in ("image", "text"))
        terms = stage.loss(batch())
    assert terms.keys() == stage.weights.keys()
    labels = batch().labels
    likelihood = log_likelihoods(f, g, shares(labels, labels))
    quantization = balance = 0.0
    for k in range(N_BITS):
        for codes in (f, g):
            balance += sum(codes[i][k] for i in range(n)) ** 2
        for i in range(n):
            code = 1 if f[i][k] + g[i][k] > 0 else -1
            quantization += (code - f[i][k]) ** 2 + (code - g[i][k]) ** 2
    assert terms["likelihood"].item() == near(likelihood / n**2)
    total = sum(stage.weights[name] * term.item() for name, term in terms.items())
    assert total == near((likelihood + gamma * quantization + eta * balance) / n**2)


def parts(named: nn.Module, inputs: Tensor) -> tuple[Array, Array]:
    """Codes, and the labels that the hidden layer names."""
    head, classes = named.head, named.classes
    hidden = head.body[:-1](inputs)
    codes = torch.tanh(head.body[-1](hidden))
    return numbers(codes), numbers(1 / (1 + torch.exp(-classes(hidden))))


def ssah_terms(found: Sequence[tuple[Array, Array]], bank: Array, s: Array, y: Array) -> dict:
    terms = {"likelihood": 0.0, "quantization": 0.0, "classes": 0.0}
    for codes, named in found:
        terms["likelihood"] += log_likelihoods(codes, bank, s) / s.size
        for i, k in np.ndindex(codes.shape):
            sign = 1 if codes[i, k] > 0 else -1
            terms["quantization"] += (codes[i, k] - sign) ** 2 / codes.size
        for i, c in np.ndindex(y.shape):
            terms["classes"] += (named[i, c] - y[i, c]) ** 2 / y.size
    return terms


def test_ssahs_terms() -> None:
    label_net, data_nets = built("ssah").stages
    data, labels = split(), batch().labels
    data_nets.prepare(data)
    with torch.no_grad():
        own = parts(label_net.modules["label"], labels)
        bank, _ = parts(label_net.modules["label"], data.labels)
        nets = [parts(data_nets.modules[m], data.features[m][ROWS]) for m in ("image", "text")]
        first, second = label_net.loss(batch()), data_nets.loss(batch())
    y = numbers(labels)
    expected = ssah_terms([own], own[0], shares(labels, labels), y)
    assert {name: term.item() for name, term in first.items()} == {
        name: near(value) for name, value in expected.items()
    }
    expected = ssah_terms(nets, bank, shares(labels, data.labels), y)
    assert {name: term.item() for name, term in second.items()} == {
        name: near(value) for name, value in expected.items()
    }
    assert first.keys() == label_net.weights.keys() == data_nets.weights.keys()


def test_ssahs_label_net_reads_labels_alone_and_then_stays_as_it_is() -> None:
    method = built("ssah")
    label_net, data_nets = method.stages
    labels_alone = dataclasses.replace(split(), features={})
    fit_quietly(dataclasses.replace(method, stages=(label_net,)), labels_alone)
    before = {k: v.clone() for k, v in label_net.modules.state_dict().items()}
    untrained = {k: v.clone() for k, v in method.heads.state_dict().items()}
    fit_quietly(dataclasses.replace(method, stages=(data_nets,)), split())
    after = label_net.modules.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    weight = "image.body.1.weight"
    assert not torch.equal(method.heads.state_dict()[weight], untrained[weight])


def test_dchmts_terms() -> None:
    (stage,) = built("dchmt", margin=0.4, quantization=0.5).stages
    with torch.no_grad():
        codes = [stage.modules[m](split().features[m][ROWS]) for m in ("image", "text")]
        terms = stage.loss(batch())
    # Of h = p_1 - p_0 with p_1 + p_0 = 1.
    v, t = (numbers(torch.cat([(1 + h) / 2, (1 - h) / 2], dim=1)) for h in codes)
    s = shares(batch().labels, batch().labels)
    assert terms["inter"].item() == near(test_losses_dchmt.margin_loss(v, t, s, 0.4))
    assert terms["intra"].item() == near(
        test_losses_dchmt.margin_loss(v, v, s, 0.4) + test_losses_dchmt.margin_loss(t, t, s, 0.4)
    )
    undecided = [1 - float(((2 * p - 1) ** 2).mean()) for p in (v, t)]
    assert terms["quantization"].item() == near(sum(undecided) / 2)
    assert stage.weights == {"inter": 1, "intra": 1, "quantization": 0.5 * N_BITS / 64}


@pytest.mark.parametrize("name", sorted(BUILD))
def test_gradients_are_finite_and_reach_all_that_is_trained(name: str) -> None:
    for stage in built(name).stages:
        stage.prepare(split())
        terms = stage.loss(batch())
        sum(terms.values()).backward()
        for parameter in stage.modules.parameters():
            assert torch.isfinite(parameter.grad).all()
            assert parameter.grad.any()


@pytest.mark.parametrize("name", sorted(BUILD))
def test_a_baseline_learns_clusters(name: str) -> None:
    torch.manual_seed(0)
    plain = dataclasses.replace(test_methods.CONFIG, method=name)
    dims = {**test_methods.DIMS, "classes": test_methods.N_CLASSES}
    method = BUILD[name](plain, dims)
    optim = dataclasses.replace(plain.optim, epochs=24)
    test_methods.train(method, test_methods.clusters(300, seed=1), optim)
    test = test_methods.clusters(100, seed=2)
    assert test_methods.score(method, test, "image", "text") > 0.8
    assert test_methods.score(method, test, "text", "image") > 0.8


def fit_quietly(
    method: Method, data: Split, *, resume: State | None = None, stop: int = 99
) -> list[State]:
    """Train, with figures where a stage has modalities, and return the states."""
    states: list[State] = []

    def save(state: State) -> None:
        states.append(torch.utils._pytree.tree_map(_clone, state))
        if len(states) == stop:
            raise KeyboardInterrupt

    def validate(stage: Any) -> Mapping[str, float]:
        weights = torch.cat([p.flatten() for p in stage.modules.parameters()])
        return {"map": math.sin(1e3 * weights.sum().item())} if stage.modalities else {}

    settings = dataclasses.replace(OPTIM, validate_every=1, patience=9)
    with contextlib.suppress(KeyboardInterrupt):
        fit(
            method,
            data,
            settings,
            validate=validate,
            record=lambda _: None,
            save=save,
            resume=resume,
        )
    return states


def _clone(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


@pytest.mark.parametrize(
    ("name", "stop"), [("dcmh", 2), ("dchmt", 2), ("ssah", 2), ("ssah", 4), ("ssah", 6)]
)
def test_resuming_equals_never_having_stopped(name: str, stop: int) -> None:
    whole = fit_quietly(built(name), split())
    half = fit_quietly(built(name), split(), stop=stop)[-1]
    torch.manual_seed(5)  # other first weights: the state has its own
    other = BUILD[name](config(name), {**DIMS, "classes": N_LABELS})
    resumed = fit_quietly(other, split(), resume=half)[-1]["modules"]
    assert whole[-1]["modules"].keys() == resumed.keys()
    assert all(torch.equal(whole[-1]["modules"][key], value) for key, value in resumed.items())


@pytest.mark.parametrize("name", sorted(BUILD))
def test_towers_learn_under_the_heads(name: str, shapes: Path, tmp_path: Path) -> None:
    one = parallel_worker.config(tmp_path, shapes, name, n=16, method=name)
    run = checkpoint.load_run(train.train(parallel_worker.finetuned(one)))
    assert set(run.weights().specs) == {"image", "text"}
    assert len(Evaluation.from_json(run.metrics()).directions) == 4
    validated = {record["stage"]: record.get("validation") for record in run.records()}
    stages = built(name).stages
    assert {stage for stage, figures in validated.items() if figures} == {stages[-1].name}
    assert list(validated) == [stage.name for stage in stages]


def test_what_is_kept_is_a_hash_head() -> None:
    for name in BUILD:
        heads = built(name).heads
        assert {type(head) for head in heads.values()} == {HashHead}
        assert set(heads) == {"image", "text"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dcmh": {"balance": -1}}, "dcmh.balance: expected a finite number of at least 0, got -1"),
        ({"ssah": {"classes": math.inf}}, "ssah.classes: expected a finite number of at least 0"),
        ({"dchmt": {"margin": 0.0}}, "dchmt.margin: expected a share in (0, 1], got 0.0"),
        ({"dchmt": {"margin": 1.5}}, "dchmt.margin: expected a share in (0, 1], got 1.5"),
        ({"dchmt": {"quantization": -1}}, "dchmt.quantization: expected a finite number of at"),
    ],
)
def test_a_bad_value_is_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        config_from_dict(values)


def test_heads_have_the_width_of_the_configuration() -> None:
    method = built("ssah")
    widths = [m.head.width for stage in method.stages for m in stage.modules.values()]
    assert widths == [HeadConfig(hidden=16).hidden] * 3
