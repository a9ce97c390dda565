"""SKDCH's stages: their terms against loops, what they may read, and where they pick up again."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hamming
from distill.config import HeadConfig, OptimConfig, SkdchConfig, TrainConfig
from distill.heads import head_output
from distill.loop import Record, State, fit
from distill.methods import skdch
from distill.methods.adversarial import Adversarial
from distill.methods.base import Method
from distill.methods.ranking import Ranking
from distill.metrics import mean_average_precision
from distill.triplets import Triplets
from distill.types import Batch, Split

DIMS = {"image": 12, "text": 10, "tags": 8}
N, N_LABELS, N_BITS = 60, 4, 16
OPTIM = OptimConfig(epochs=3, batch_size=16, lr=3e-3, validate_every=1, checkpoint_every=1)
SMALL = {"pretraining": 2, "rounds": 2, "candidates": 0.3}


def config(optim: OptimConfig = OPTIM, **options: Any) -> TrainConfig:
    head = HeadConfig(hidden=16)
    settings = SkdchConfig(**SMALL | options)
    return TrainConfig(method="skdch", bits=N_BITS, head=head, optim=optim, skdch=settings)


def truth(n: int = N, seed: int = 3) -> Split:
    """Three modalities that show a class; a third of the items lack tags."""
    fixed = torch.Generator().manual_seed(1)
    maps = {m: torch.randn(N_LABELS, d, generator=fixed) for m, d in DIMS.items()}
    drawn = torch.Generator().manual_seed(seed)
    classes = torch.randint(N_LABELS, (n,), generator=drawn)
    labels = nn.functional.one_hot(classes, N_LABELS).float()
    features = {
        m: labels @ values + 0.5 * torch.randn(n, values.shape[1], generator=drawn)
        for m, values in maps.items()
    }
    return Split(features, labels, present={"tags": torch.arange(n) % 3 > 0})


def split(*, fill: float = math.nan, n: int = N) -> Split:
    """The same, half of it without labels."""
    whole = truth(n)
    hidden = torch.arange(n) % 2 == 1
    labels = whole.labels.clone()
    labels[hidden] = fill
    return dataclasses.replace(whole, labels=labels, hidden=hidden)


def trained(
    method: Method,
    data: Split,
    *,
    optim: OptimConfig = OPTIM,
    resume: State | None = None,
    stop: int = 999,
    records: list[Record] | None = None,
) -> list[State]:
    states: list[State] = []

    def save(state: State) -> None:
        states.append(
            torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, state)
        )
        if len(states) == stop:
            raise KeyboardInterrupt

    record: Callable[[Record], None] = (lambda _: None) if records is None else records.append
    with contextlib.suppress(KeyboardInterrupt):
        fit(method, data, optim, validate=lambda _: {}, record=record, save=save, resume=resume)
    return states


def built(
    build: Callable[..., Method] = skdch.build, dims: Mapping[str, int] = DIMS, **options: Any
) -> Method:
    torch.manual_seed(0)
    return build(config(**options), {**dims, "classes": N_LABELS})


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def stage_of(method: Method, name: str) -> Any:
    return next(stage for stage in method.stages if stage.name == name)


def distance(a: Tensor, b: Tensor) -> float:
    return sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True)) / 4


def test_a_stages_terms_are_sums_over_ordered_pairs() -> None:
    stage = stage_of(built(), "student")
    data = truth()
    stage.prepare(data)
    torch.manual_seed(4)
    drawn = {
        pair: stage.drawn(torch.arange(20), *pair) for pair in (("image", "tags"), ("tags", "text"))
    }
    with torch.no_grad():
        codes = {m: stage.nets[m](data.features[m]) for m in DIMS}
        terms = stage.ranked(drawn)
    wanted = dict.fromkeys(("ranking", "pull", "partner"), 0.0)
    for (a, b), t in drawn.items():
        n = len(t.queries)
        assert n > 20
        for q, p, x in zip(
            t.queries.tolist(), t.positives.tolist(), t.negatives.tolist(), strict=True
        ):
            near, far = distance(codes[a][q], codes[b][p]), distance(codes[a][q], codes[b][x])
            within = distance(codes[b][p], codes[b][x])
            wanted["ranking"] += max(0.0, N_BITS / 8 + near - (far + within) / 2) / n
            wanted["pull"] += max(0.0, 0.1 + near) / n
            own = math.log1p(math.exp(near if p == q else -near))
            wanted["partner"] += (own + math.log1p(math.exp(-far))) / n
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(wanted, rel=1e-4)
    assert stage.weights == {"ranking": 1.0, "pull": 0.02, "partner": 0.1}


@pytest.mark.parametrize("sampling", ["batch", "all"])
def test_triplets_keep_to_labelled_items_that_have_the_modality(sampling: str) -> None:
    stage = stage_of(built(sampling=sampling), "supervised")
    data = split()
    stage.prepare(data)
    rows = torch.arange(0, 30, 2)
    assert stage.rows_of(data).tolist() == list(range(0, N, 2))
    seen = set()
    for _ in range(30):
        t = stage.drawn(rows, "image", "tags")
        others = torch.cat([t.positives, t.negatives])
        assert (others % 2 == 0).all()
        assert (others % 3 > 0).all()
        seen |= set(others.tolist())
    assert (max(seen) > 29) == (sampling == "all")


def test_the_student_learns_from_all_and_the_student_alone_from_the_labelled() -> None:
    data = split()
    for build, rows in ((skdch.build, N), (skdch.build_student, N // 2)):
        stage = stage_of(built(build), "student")
        stage.prepare(data)
        assert len(stage.rows_of(data)) == rows
        assert stage.labels[stage.rows_of(data)].isfinite().all()


def adversarial(**options: Any) -> tuple[Adversarial, Split]:
    stage, data = stage_of(built(**options), "adversarial"), split()
    stage.prepare(data)
    return stage, data


def test_rounds_alternate() -> None:
    stage, data = adversarial(rounds=2, generator_epochs=2, discriminator_epochs=1)
    assert stage.epochs == 6
    turns = []
    for epoch in range(6):
        stage.begin_epoch(data, epoch)
        turns.append(sorted(stage.weights))
        before = {k: v.clone() for k, v in stage.modules.state_dict().items()}
        optimizer = torch.optim.SGD(stage.modules.parameters(), lr=0.1)
        rows = stage.rows_of(data)
        terms = stage.loss(Batch(rows, {}, data.labels[rows]))
        assert terms.keys() == stage.weights.keys()
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        changed = {
            k.split(".")[0]
            for k, v in stage.modules.state_dict().items()
            if not torch.equal(v, before[k])
        }
        assert changed == {"generator" if epoch % 3 < 2 else "discriminator"}
    assert turns == [["choice", "classes"]] * 2 + [["partner", "ranking"]] + [
        ["choice", "classes"]
    ] * 2 + [["partner", "ranking"]]


def test_the_generators_terms() -> None:
    """Draw what the stage draws, by the same seed, and add it up in a loop."""
    stage, data = adversarial(candidates=1.0)
    queries = torch.arange(0, 20, 2)
    drawn: list[Tensor] = []
    original = torch.multinomial

    def spy(chances: Tensor, n: int, replacement: bool) -> Tensor:
        drawn.append(original(chances, n, replacement=replacement))
        return drawn[-1]

    order: list[Tensor] = []
    shuffle = torch.randperm
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch, "multinomial", spy)
        patch.setattr(torch, "randperm", lambda n: order.append(shuffle(n)) or order[-1])
        terms = stage._generated(queries, "image", "text")
        named = {m: stage.generators[m](data.features[m]) for m in ("image", "text")}
        codes = {m: stage.nets[m](data.features[m]) for m in ("image", "text")}
    (candidates,), (positives, chosen) = order, drawn
    choice, entropies = 0.0, []
    for i, q in enumerate(queries.tolist()):
        picked = [int(candidates[j]) for j in chosen[i]]
        scores = [-distance(named["image"][0][q], named["text"][0][c]) for c in picked]
        norm = sum(map(math.exp, scores))
        for j, c in enumerate(picked):
            p = int(queries[positives[i, j]])
            assert (data.labels[q] * data.labels[p]).sum() > 0
            near = distance(codes["image"][q], codes["text"][p])
            reward = 10 ** -abs(N_BITS / 8 + near - distance(codes["image"][q], codes["text"][c]))
            choice += abs(math.exp(scores[j]) / norm - reward) / 2 / len(queries)
    items = [("image", q) for q in queries.tolist()]
    items += [("text", int(candidates[j])) for j in sorted(set(chosen.flatten().tolist()))]
    for modality, row in items:
        if row % 2 == 0:
            for logit, label in zip(named[modality][1][row], data.labels[row], strict=True):
                sign = 1 if label > 0 else -1
                entropies.append(math.log1p(math.exp(-sign * logit.item())))
    assert any(row % 2 for _, row in items)
    assert terms["choice"].item() == pytest.approx(choice, rel=1e-4)
    assert terms["classes"].item() == pytest.approx(sum(entropies) / len(entropies), rel=1e-4)


def test_choices_known_to_be_similar_give_way_to_random_negatives() -> None:
    stage, data = adversarial(candidates=1.0, picks=3, triplets=4)
    whole = truth()
    hidden = 0
    for _ in range(20):
        t: Triplets = stage.drawn(torch.arange(0, 30, 2), "image", "text")
        for q, p, x in zip(
            t.queries.tolist(), t.positives.tolist(), t.negatives.tolist(), strict=True
        ):
            assert (data.labels[q] * data.labels[p]).sum() > 0
            hidden += x % 2
            if x % 2 == 0:
                assert (data.labels[q] * data.labels[x]).sum() == 0
        picked = t.negatives.view(-1, 4)
        assert (picked[:, 3] % 2 == 0).all()
    assert hidden > 0
    assert whole.labels.isfinite().all()


@pytest.mark.parametrize("sampling", ["batch", "all"])
def test_hidden_labels_are_not_read(sampling: str) -> None:
    """NaN, zeros and ones in their place: the same weights to the last bit."""
    found = []
    for fill in (math.nan, 0.0, 1.0):
        method = built(sampling=sampling)
        found.append(trained(method, split(fill=fill))[-1]["modules"])
        assert all(value.isfinite().all() for value in found[-1].values())
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_the_authors_leak_reads_them() -> None:
    whole = truth()
    hidden = split().hidden
    zeros = dataclasses.replace(split(fill=0.0))
    leaked = dataclasses.replace(whole, hidden=hidden)
    weights = [
        trained(built(skdch.build_teacher, authors_leak=True), data)[-1]["modules"]
        for data in (leaked, zeros)
    ]
    assert not same(*weights)


def test_the_authors_bug_changes_pseudo_labels() -> None:
    found = {}
    for bug in (False, True):
        stage = stage_of(built(authors_bug=bug), "student")
        stage.prepare(split())
        found[bug] = stage.labels
    assert not torch.equal(found[False], found[True])


@pytest.mark.parametrize("stop", [1, 3, 4, 6, 7, 9, 10, 12])
def test_resuming_equals_never_having_stopped(stop: int) -> None:
    data = split()
    whole = trained(built(), data)
    assert len(whole) == 2 + 6 + 2 + 3
    half = trained(built(), data, stop=stop)[-1]
    other = skdch.build(config(), {**DIMS, "classes": N_LABELS})
    resumed = trained(other, data, resume=half)
    assert len(resumed) == len(whole) - stop
    assert same(whole[-1]["modules"], resumed[-1]["modules"])
    assert torch.equal(whole[-1]["rng"], resumed[-1]["rng"])


def test_the_teacher_alone_is_the_one_within() -> None:
    alone = built(skdch.build_teacher)
    trained(alone, split())
    within = built()
    trained(within, split())
    nets = stage_of(within, "adversarial").nets
    assert same(alone.heads.state_dict(), nets.state_dict())
    assert not same(within.heads.state_dict(), nets.state_dict())


def test_it_learns_from_items_without_labels() -> None:
    """With one label in twenty, the student of all items ranks better than that of the labelled."""
    whole, test = truth(400), truth(200, seed=8)
    hidden = torch.arange(400) % 20 > 0
    labels = whole.labels.clone()
    labels[hidden] = math.nan
    data = dataclasses.replace(whole, labels=labels, hidden=hidden)
    optim = dataclasses.replace(OPTIM, epochs=20)
    found = {}
    for build in (skdch.build, skdch.build_student):
        method = built(build, optim=optim, pretraining=10)
        trained(method, data, optim=optim)
        codes = {
            m: np.asarray(hamming.pack(head_output(method.heads[m], f).numpy()))
            for m, f in test.features.items()
        }
        found[build] = mean_average_precision(
            codes["image"], codes["text"], test.labels.numpy(), test.labels.numpy()
        )
    assert found[skdch.build] > 0.5  # chance is 0.25
    assert found[skdch.build] > found[skdch.build_student] + 0.05


def test_records_have_the_terms_of_their_turn() -> None:
    records: list[Record] = []
    method = built()
    trained(method, split(), records=records)
    turns = [set(r["terms"]) for r in records if r["stage"] == "adversarial"]
    assert turns[:3] == [{"choice", "classes"}] * 2 + [{"ranking", "partner"}]
    validated = [r["epoch"] for r in records if r["stage"] == "adversarial" and "validation" in r]
    assert validated == [3, 6]
    assert [s.name for s in method.stages] == [
        "supervised",
        "adversarial",
        "pretraining",
        "student",
    ]


@pytest.mark.parametrize("loss", ["improved", "plain"])
def test_the_rates_are_those_of_their_stage(loss: str) -> None:
    method = built(loss=loss, student_rate=0.5, discriminator_rate=0.1, generator_rate=2.0)
    rates = {stage.name: dict(stage.rates) for stage in method.stages}
    assert rates == {
        "supervised": {},
        "adversarial": {"discriminator": 0.1, "generator": 2.0},
        "pretraining": {},
        "student": dict.fromkeys(DIMS, 0.5),
    }


def test_pseudo_labels_are_kept() -> None:
    method, data = built(), split()
    trained(method, data)
    kept = method.kept()["pseudo_labels"]
    assert kept.dtype == torch.uint8
    assert torch.equal(kept[::2].float(), data.labels[::2])
    assert (kept.sum(dim=1) >= 1).all()
    assert built(skdch.build_student).kept() == {}


def test_stages_can_be_left_out() -> None:
    assert [s.name for s in built(pretraining=0).stages] == ["adversarial", "student"]
    names = [s.name for s in built(rounds=0).stages]
    assert names == ["supervised", "pretraining", "student"]
    assert [s.name for s in built(skdch.build_student, pretraining=0).stages] == ["student"]


def test_a_batch_without_triplets_costs_nothing() -> None:
    stage = stage_of(built(), "supervised")
    assert isinstance(stage, Ranking)
    data = truth()
    stage.prepare(data)
    rows = (data.labels[:, 0] > 0).nonzero().flatten()[:3]  # one class: there is no negative
    terms = stage.loss(Batch(rows, {}, data.labels[rows]))
    assert {k: v.item() for k, v in terms.items()} == {"ranking": 0, "partner": 0}
    sum(terms.values()).backward()
