import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from distill.config import OptimConfig
from distill.loop import State, fit, total_loss
from distill.methods.base import Method, Stage
from distill.types import Batch, DistillError, LossTerms, Split

SETTINGS = OptimConfig(epochs=4, batch_size=4, lr=0.05, validate_every=2, checkpoint_every=1)


class Regression(Stage):
    """Fits y = sum(x) with dropout, so that a wrong generator state shows."""

    modalities = ("image",)

    def __init__(self, name: str, weights: dict[str, float]) -> None:
        self.name, self.weights = name, weights
        self.modules = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
        self.prepared = 0
        self.rows: list[int] = []

    def prepare(self, split: Split) -> None:
        self.prepared += len(split) > 0

    def loss(self, batch: Batch) -> LossTerms:
        assert self.modules.training
        self.rows += batch.index.tolist()
        error = self.modules(batch.features["image"]).squeeze(1) - batch.labels.sum(dim=1)
        return {"square": error.square().mean(), "absolute": error.abs().mean()}


def method() -> Method:
    torch.manual_seed(7)
    stages = tuple(Regression(name, {"square": 1.0, "absolute": 0.5}) for name in ("one", "two"))
    return Method(stages, nn.ModuleDict({"image": stages[1].modules}))


def split() -> Split:
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    return Split({"image": x}, x)


def run(
    which: Method, *, stop_after: int | None = None, resume: State | None = None, **changes: Any
):
    """Train and return records and states; stop by an exception after some epochs."""
    records: list[dict] = []
    states: list[State] = []

    def save(state: State) -> None:
        copied = {k: v for k, v in state.items() if k not in ("modules", "optimizer")}
        nested = {
            k: torch.utils._pytree.tree_map(_clone, state[k]) for k in ("modules", "optimizer")
        }
        states.append({**copied, **nested})
        if stop_after is not None and len(states) == stop_after:
            raise KeyboardInterrupt

    settings = dataclasses.replace(SETTINGS, **changes)
    try:
        fit(
            which,
            split(),
            settings,
            validate=lambda stage: {"score": len(stage.modalities)},
            record=records.append,
            save=save,
            resume=resume,
        )
    except KeyboardInterrupt:
        assert stop_after
    return records, states


def _clone(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def test_every_row_is_seen_once_an_epoch() -> None:
    trained = method()
    run(trained)
    for stage in trained.stages:
        assert isinstance(stage, Regression)
        assert stage.prepared == 1
        for epoch in range(4):
            assert sorted(stage.rows[epoch * 10 : epoch * 10 + 10]) == list(range(10))


class Some(Regression):
    """Learns from three of the rows."""

    def rows_of(self, split: Split) -> torch.Tensor:
        assert len(split) == 10
        return torch.tensor([2, 5, 7])


def test_a_stage_may_choose_its_rows_and_its_epochs() -> None:
    stage = Some("some", {"square": 1.0, "absolute": 0.5})
    stage.epochs = 3
    chosen = Method((stage,), nn.ModuleDict({"image": stage.modules}))
    records, _ = run(chosen)
    assert len(records) == 3
    for epoch in range(3):
        assert sorted(stage.rows[epoch * 3 : epoch * 3 + 3]) == [2, 5, 7]


def test_an_epoch_of_so_many_items_repeats_its_rows() -> None:
    stage = Some("some", {"square": 1.0, "absolute": 0.5})
    records, _ = run(
        Method((stage,), nn.ModuleDict({"image": stage.modules})), epochs=1, epoch_items=8
    )
    assert len(stage.rows) == 8
    assert sorted(stage.rows[:3]) == sorted(stage.rows[3:6]) == [2, 5, 7]
    assert len(set(stage.rows[6:])) == 2
    assert records[0]["samples_per_second"] == pytest.approx(8 / records[0]["seconds"])


def test_validation_waits_for_the_end_of_a_round() -> None:
    stage = Regression("rounds", {"square": 1.0, "absolute": 0.5})
    stage.epochs, stage.round = 7, 3
    records, _ = run(Method((stage,), nn.ModuleDict({"image": stage.modules})), validate_every=1)
    assert [r["epoch"] for r in records if "validation" in r] == [3, 6, 7]


def test_a_record_holds_what_the_report_needs() -> None:
    records, _ = run(method())
    assert [(r["stage"], r["epoch"]) for r in records] == [
        (stage, epoch) for stage in ("one", "two") for epoch in (1, 2, 3, 4)
    ]
    for record in records:
        assert record["terms"].keys() == {"square", "absolute"}
        total = record["terms"]["square"] + 0.5 * record["terms"]["absolute"]
        assert record["loss"] == pytest.approx(total, rel=1e-5)
        assert record["samples_per_second"] == pytest.approx(10 / record["seconds"])
        assert ("validation" in record) == (record["epoch"] % 2 == 0)
    assert records[1]["validation"] == {"score": 1}
    assert records[-1]["loss"] < records[0]["loss"]


@pytest.mark.parametrize("stop", range(1, 9))
def test_resuming_is_bit_equal(stop: int) -> None:
    whole = method()
    records, _ = run(whole)
    interrupted = method()
    first, states = run(interrupted, stop_after=stop)
    fresh = method()
    torch.manual_seed(12345)  # the state brings its own generator
    second, _ = run(fresh, resume=states[-1])
    for one, other in zip(whole.stages, fresh.stages, strict=True):
        expected, got = one.modules.state_dict(), other.modules.state_dict()
        assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert [r["loss"] for r in first + second] == [r["loss"] for r in records]


def test_how_often_states_are_saved() -> None:
    _, states = run(method(), checkpoint_every=3)
    assert [(s["stage"], s["epoch"]) for s in states] == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_the_rate_decays_to_almost_zero() -> None:
    _, states = run(method())
    rates = [s["optimizer"]["param_groups"][0]["lr"] for s in states[:4]]
    assert rates == sorted(rates, reverse=True)
    last = 3 + 2 / 3  # the last of three batches of the last of four epochs
    assert rates[-1] == pytest.approx(0.05 * (1 + math.cos(math.pi * last / 4)) / 2)


def test_a_term_without_a_weight_is_refused() -> None:
    with pytest.raises(DistillError, match=r"weights: expected those of the terms \['a'\], got \["):
        total_loss({"a": torch.tensor(1.0)}, {"b": 1.0})


def test_a_loss_that_is_not_finite_is_one_sentence() -> None:
    broken = method()
    broken.stages[0].weights["square"] = math.inf
    with pytest.raises(DistillError, match=r"one: expected a finite loss, got .*; lower lr"):
        run(broken)


def test_weights_beyond_measure_are_noticed_where_the_loss_is_not() -> None:
    class Signs(Regression):
        def loss(self, batch: Batch) -> LossTerms:
            codes = torch.tanh(self.modules(batch.features["image"]))
            return {"square": codes.square().mean(), "absolute": codes.abs().mean()}

    stage = Signs("signs", {"square": 1.0, "absolute": 0.5})
    stage.modules = nn.Sequential(nn.Linear(3, 1))
    diverging = Method((stage,), nn.ModuleDict({"image": stage.modules}))
    message = r"signs: expected weights whose squares are finite, got up to .e\+30 in .*; lower lr"
    with pytest.raises(DistillError, match=message):
        run(diverging, lr=1e30, epochs=1, batch_size=10)


def scored(scores: list[float], **changes: Any):
    """Train with given validation figures; patience is 1."""
    which, records, states, figures = method(), [], [], iter(scores)

    def save(state: State) -> None:
        states.append({**state, "modules": {k: v.clone() for k, v in state["modules"].items()}})

    settings = dataclasses.replace(SETTINGS, validate_every=1, epochs=6, patience=1, **changes)
    one = dataclasses.replace(which, stages=which.stages[:1])
    fit(
        one,
        split(),
        settings,
        validate=lambda _: {"score": next(figures)},
        record=records.append,
        save=save,
    )
    return one, records, states


def test_a_stage_ends_when_validation_no_longer_improves_and_keeps_its_best_weights() -> None:
    trained, records, states = scored([1.0, 3.0, 2.0, 2.0, 9.0, 9.0])
    assert [r["epoch"] for r in records] == [1, 2, 3, 4]
    best = {k: v for k, v in states[1]["modules"].items() if k.startswith("stage0.")}
    found = trained.stages[0].modules.state_dict()
    assert all(torch.equal(found[k.removeprefix("stage0.")], v) for k, v in best.items())
    assert states[-1]["epoch"] == 6  # no epochs are left, so resuming does not go on
    trained, records, _ = scored([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert len(records) == 6


def test_a_constant_rate() -> None:
    _, states = run(method(), schedule="constant")
    rates = {s["optimizer"]["param_groups"][0]["lr"] for s in states}
    assert rates == {0.05}


def test_a_batch_that_is_too_small_for_a_stage_is_left_out() -> None:
    trained = method()
    for stage in trained.stages:
        stage.least = 3
    records, _ = run(trained)
    assert len(trained.stages[0].rows) == 8 * 4  # of 10 rows in batches of 4
    assert records[0]["samples_per_second"] == pytest.approx(8 / records[0]["seconds"])


def test_a_stage_without_a_whole_batch_is_one_sentence() -> None:
    which = method()
    which.stages[0].least = 11
    with pytest.raises(DistillError, match="items: expected at least 11 to train on, got 10; add"):
        run(which)
