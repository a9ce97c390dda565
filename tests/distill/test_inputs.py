"""What a method is given to learn from: which rows, modalities and labels, and what is refused."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from distill import data, inputs, parallel, train
from distill.config import (
    DataConfig,
    EncoderConfig,
    HeadConfig,
    SkdchConfig,
    SodaConfig,
    TrainConfig,
)
from distill.data import ImageTextDataset
from distill.encoders import Encoder, load_encoder
from distill.heads import HashHead
from distill.input_checks import check_settings
from distill.types import DistillError, Split

CPU = torch.device("cpu")
TINY = EncoderConfig(teacher="tiny", pretrained="random")
N = 48
SKETCHED = [i for i in range(N) if i % 4]
FOUR = ("image", "text", "sketch", "tags")
METHODS = ("soda", "no_teacher", "contrastive", "skdch", "schgan", "triplet")


@pytest.fixture(scope="module")
def make(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ImageTextDataset]:
    """Read a manifest of shapes with sketches and tags; changes by item number."""

    def read(changes: dict[int, dict] | None = None, **settings: object) -> ImageTextDataset:
        lines = []
        for i, line in enumerate(shapes.read_text().splitlines()):
            entry = json.loads(line)
            entry["image"] = str(shapes.parent / entry["image"])
            sketch = {"image": str(shapes.parent / f"{N - 1 - i}.png")} if i in SKETCHED else None
            entry["modalities"] = {"sketch": sketch, "tags": {"text": f"tag {i % 6}"}}
            lines.append(json.dumps(entry | (changes or {}).get(i, {})))
        path = tmp_path_factory.mktemp("items") / "items.jsonl"
        path.write_text("\n".join(lines))
        return data.load("manifest", path=path, **settings)

    return read


@pytest.fixture(scope="module")
def dataset(make) -> ImageTextDataset:
    """Four modalities, a third of the training items labelled."""
    return make(modalities=FOUR, labelled=0.35)


@pytest.fixture(scope="module")
def pair(make) -> ImageTextDataset:
    return make(labelled=0.35)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        method="skdch",
        bits=12,
        data=DataConfig(name="manifest"),
        encoder=dataclasses.replace(TINY, cache=tmp_path / "cache"),
    )


def split_of(config: TrainConfig, dataset: ImageTextDataset) -> Split:
    return inputs.open_inputs(config, dataset, CPU).split


def content(split: Split) -> list[tuple[str, bytes]]:
    """Every bit of a split."""
    tensors = {f"features.{m}": values for m, values in split.features.items()}
    tensors |= {f"present.{m}": mask for m, mask in split.present.items()}
    tensors |= {"labels": split.labels, "labelled": split.labelled}
    return [(name, values.numpy().tobytes()) for name, values in sorted(tensors.items())]


def with_garbage(dataset: ImageTextDataset, seed: int) -> ImageTextDataset:
    """The same dataset with other labels where they are hidden."""
    labels = dataset.labels.copy()
    hidden = dataset.splits["unlabelled"]
    labels[hidden] = np.random.default_rng(seed).integers(2, size=(len(hidden), labels.shape[1]))
    assert not np.array_equal(labels, dataset.labels)
    return dataclasses.replace(dataset, labels=labels)


@pytest.mark.parametrize("method", ["skdch", "schgan"])
def test_unlabelled_rows_are_learned_from_without_their_labels(
    config: TrainConfig, dataset: ImageTextDataset, method: str
) -> None:
    split = split_of(dataclasses.replace(config, method=method), dataset)
    train, hidden = dataset.splits["train"], dataset.splits["unlabelled"]
    rows = np.sort(np.concatenate([train, hidden]))
    assert len(split) == len(rows)
    assert split.hidden is not None
    assert split.hidden.tolist() == [row in hidden for row in rows]
    assert split.labels[split.hidden].isnan().all()
    assert np.array_equal(split.labels[split.labelled].numpy(), dataset.labels[train])
    assert set(split.features) == set(FOUR)
    features = inputs.encode_dataset(load_encoder(TINY), dataset, config)
    for modality in FOUR:
        assert torch.equal(split.features[modality], features[modality][torch.tensor(rows)])


@pytest.mark.parametrize("method", METHODS)
def test_hidden_labels_change_no_bit(
    config: TrainConfig, pair: ImageTextDataset, method: str
) -> None:
    config = dataclasses.replace(config, method=method)
    expected = content(split_of(config, pair))
    for seed in range(3):
        assert content(split_of(config, with_garbage(pair, seed))) == expected


@pytest.mark.parametrize(
    "method", ["soda", "no_teacher", "contrastive", "triplet", "dcmh", "ssah", "dchmt"]
)
def test_the_others_see_labelled_rows_alone(
    config: TrainConfig, pair: ImageTextDataset, method: str
) -> None:
    split = split_of(dataclasses.replace(config, method=method), pair)
    assert split.hidden is None
    assert np.array_equal(split.labels.numpy(), pair.labels[pair.splits["train"]])
    assert ("label" in split.features) == (method == "soda")


def test_given_rows_keep_their_order(config: TrainConfig, pair: ImageTextDataset) -> None:
    backwards = {**pair.splits, "train": pair.splits["train"][::-1].copy()}
    turned = dataclasses.replace(pair, splits=backwards)
    split = split_of(dataclasses.replace(config, method="no_teacher"), turned)
    assert np.array_equal(split.labels.numpy(), pair.labels[backwards["train"]])
    assert content(split_of(config, turned)) == content(split_of(config, pair))


def test_the_authors_leak_shows_hidden_labels(config: TrainConfig, dataset, make) -> None:
    leaky = dataclasses.replace(config, skdch=SkdchConfig(authors_leak=True))
    split = split_of(leaky, dataset)
    plain = split_of(config, dataset)
    assert split.hidden is not None
    assert torch.equal(split.hidden, plain.hidden)
    rows = np.sort(np.concatenate([dataset.splits[part] for part in ("train", "unlabelled")]))
    assert np.array_equal(split.labels.numpy(), dataset.labels[rows])
    bare = make({4: {"labels": []}}, modalities=FOUR)
    with pytest.raises(DistillError, match="authors_leak: expected labels of all unlabelled items"):
        split_of(leaky, bare)
    assert split_of(config, bare).labels.isnan().any(dim=1).sum() == 1


def test_without_unlabelled_items_nothing_is_hidden(config: TrainConfig, make) -> None:
    whole = make(modalities=FOUR)
    split = split_of(config, whole)
    assert split.hidden is None
    assert np.array_equal(split.labels.numpy(), whole.labels[whole.splits["train"]])


def test_every_label_vector_of_a_labelled_row_has_a_label(config: TrainConfig, pair) -> None:
    labels = pair.labels.copy()
    labels[pair.splits["train"][2]] = 0
    broken = dataclasses.replace(pair, labels=labels)
    for method in METHODS:
        changed = dataclasses.replace(config, method=method)
        if method == "contrastive":  # which reads none
            assert len(split_of(changed, broken)) == len(pair.splits["train"])
            continue
        with pytest.raises(
            DistillError, match=r"labels: expected .* for every .* got none for 1 of"
        ):
            split_of(changed, broken)


def test_what_an_item_lacks_is_zero_and_said(config: TrainConfig, dataset) -> None:
    found = inputs.open_inputs(config, dataset, CPU)
    split = found.split
    assert set(split.present) == {"sketch"}
    rows = np.sort(np.concatenate([dataset.splits[part] for part in ("train", "unlabelled")]))
    lacking = torch.tensor([row not in SKETCHED for row in rows])
    assert torch.equal(split.has("sketch"), ~lacking)
    assert split.has("image").all()
    assert not split.features["sketch"][lacking].any()
    assert split.features["sketch"][~lacking].any(dim=1).all()
    assert found.dims == {"image": 64, "text": 64, "sketch": 64, "tags": 64, "classes": 6}


def test_codes_of_what_an_item_lacks_are_zero(config: TrainConfig, dataset) -> None:
    found = inputs.open_inputs(config, dataset, CPU)
    torch.manual_seed(0)
    head = HashHead(64, 16).eval()
    for part in ("train", "validation"):
        codes = found.codes("sketch", head, part)
        has = np.isin(dataset.splits[part], SKETCHED)
        assert codes.shape == (len(has), 2)
        assert codes.dtype == np.uint8
        assert codes.any(axis=1).tolist() == has.tolist()
        assert found.codes("tags", head, part).any(axis=1).all()


def test_all_modalities_are_encoded_once(config: TrainConfig, dataset, monkeypatch) -> None:
    seen: dict[str, int] = {"images": 0, "texts": 0}

    def counting(kind: str, method: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def count(self: Encoder, items: Iterable[object], **settings: object) -> Tensor:
            listed = list(items)
            seen[kind] += len(listed)
            return method(self, listed, **settings)

        return count

    for kind in seen:
        name = f"encode_{kind}"
        monkeypatch.setattr(Encoder, name, counting(kind, getattr(Encoder, name)))
    encoder = load_encoder(TINY)
    features = inputs.encode_dataset(encoder, dataset, config)
    assert seen == {"images": N + len(SKETCHED), "texts": len(set(dataset.texts)) + 6}
    again = inputs.encode_dataset(encoder, dataset, config)
    assert seen["images"] == N + len(SKETCHED)
    assert list(features) == list(again) == list(FOUR)
    assert all(torch.equal(again[modality], features[modality]) for modality in FOUR)
    # Item i is sketched by the picture of item N - 1 - i.
    assert torch.allclose(features["sketch"][5], features["image"][N - 6], atol=1e-5)


def test_only_chosen_modalities_are_encoded(config: TrainConfig, make) -> None:
    dataset = make(modalities=("tags", "image"))
    features = inputs.encode_dataset(load_encoder(TINY), dataset, config)
    assert list(features) == ["tags", "image"]


def test_given_features_are_taken_with_zeros_for_nan(config: TrainConfig, dataset) -> None:
    audio = np.random.default_rng(0).standard_normal((N, 5)).astype(np.float32)
    audio[[3, 9]] = np.nan
    given = dataclasses.replace(
        dataset, features={"audio": audio}, others={}, chosen=("image", "audio")
    )
    features = inputs.encode_dataset(load_encoder(TINY), given, config)["audio"]
    assert not features[[3, 9]].any()
    assert np.array_equal(features.numpy(), np.nan_to_num(audio))
    assert np.isnan(audio[3]).all()


ALONE = {"image": None, "modalities": {}}


@pytest.mark.parametrize("method", ["skdch", "schgan", "triplet"])
def test_items_of_one_modality_are_refused_or_let_in(
    config: TrainConfig, make, method: str
) -> None:
    config = dataclasses.replace(config, method=method)
    dataset = make(
        {4: ALONE, 6: ALONE, 0: ALONE, 15: ALONE}, modalities=FOUR
    )  # two are no training items
    n = len(dataset.splits["train"])
    with pytest.raises(DistillError) as caught:
        split_of(config, dataset)
    assert str(caught.value) == (
        f"items: expected at least two modalities of every item that is learned from, got 2 of {n} "
        "with one alone, the first being a red ellipse no. 4; leave them out, mark them "
        '"database", or give --skdch.unpaired'
    )
    unpaired = dataclasses.replace(config, skdch=SkdchConfig(unpaired=True))
    split = split_of(unpaired, dataset)
    assert (~split.has("image")).sum() == (~split.has("tags")).sum() == 2
    assert split.has("text").all()


@pytest.mark.parametrize("method", ["soda", "no_teacher", "contrastive"])
def test_methods_of_two_modalities_need_both(config: TrainConfig, make, method: str) -> None:
    config = dataclasses.replace(config, method=method, skdch=SkdchConfig(unpaired=True))
    with pytest.raises(DistillError) as caught:
        split_of(config, make({5: {"text": None}}))
    assert str(caught.value).startswith(
        "items: expected image and text of every item that is learned from, got 1 of "
    )
    assert str(caught.value).endswith('; leave them out, or mark them "database"')
    split_of(config, make({0: {"text": None}}))  # a query


@pytest.mark.parametrize("chosen", [("image", "text", "tags"), ("image", "sketch"), ("text",)])
def test_methods_of_two_modalities_take_no_others(config: TrainConfig, make, chosen) -> None:
    dataset = make(modalities=chosen)
    message = (
        "modalities: expected image and text for method soda, got .*; choose these two, or method "
        "schgan, skdch or triplet, which take others"
    )
    with pytest.raises(DistillError, match=message):
        split_of(dataclasses.replace(config, method="soda"), dataset)


def test_the_order_of_two_modalities_is_free(config: TrainConfig, make) -> None:
    split = split_of(dataclasses.replace(config, method="soda"), make(modalities=("text", "image")))
    assert set(split.features) == {"image", "text", "label"}


def test_one_modality_is_too_few(config: TrainConfig, make) -> None:
    message = "modalities: expected at least two for method skdch, got tags; choose more"
    with pytest.raises(DistillError, match=message):
        split_of(config, make(modalities=("tags",)))


@pytest.mark.parametrize("method", ["skdch", "schgan", "triplet"])
def test_frozen_towers_and_one_process(config: TrainConfig, method: str, monkeypatch) -> None:
    config = dataclasses.replace(config, method=method)
    check_settings(config)
    tuned = dataclasses.replace(config, encoder=dataclasses.replace(TINY, mode="finetune"))
    message = f"encoder-mode: expected frozen for method {method}, got finetune; leave it out"
    with pytest.raises(DistillError, match=message):
        check_settings(tuned)
    monkeypatch.setattr(parallel, "size", lambda: 2)
    message = f"torchrun: expected one process for method {method}, got 2; start it with python -m"
    with pytest.raises(DistillError, match=message):
        check_settings(config)
    check_settings(dataclasses.replace(config, method="soda"))


@pytest.mark.parametrize("method", ["soda", "contrastive", "ssah"])
def test_towers_that_learn_have_no_z_scores(config: TrainConfig, method: str) -> None:
    config = dataclasses.replace(config, method=method, head=HeadConfig(kind="tanh"))
    check_settings(config)
    message = "head: expected mlp or linear where towers are fine-tuned, got tanh, which z-scores"
    with pytest.raises(DistillError, match=message):
        check_settings(
            dataclasses.replace(config, encoder=dataclasses.replace(TINY, mode="finetune"))
        )


@pytest.mark.parametrize("method", sorted(train.METHODS))
def test_a_tanh_head_z_scores_what_it_learns_from(config: TrainConfig, method: str, make) -> None:
    config = dataclasses.replace(config, method=method, head=HeadConfig("tanh", hidden=8))
    found = inputs.open_inputs(config, make(), CPU)
    built = train.METHODS[method](config, found.dims, found.wrap)
    for modality in ("image", "text"):
        taken = built.heads[modality].body[0](found.split.features[modality])
        assert torch.allclose(taken.mean(dim=0), torch.zeros(64), atol=1e-4)
        scale = taken.std(dim=0, correction=0)
        assert torch.allclose(scale[scale > 0], torch.ones(()), atol=1e-3)


def test_towers_learn_from_whole_pairs(config: TrainConfig, make) -> None:
    tuned = dataclasses.replace(
        config, method="soda", encoder=dataclasses.replace(config.encoder, mode="finetune")
    )
    message = "encoder-mode: expected frozen for items, of whose items some lack image or text, got"
    with pytest.raises(DistillError, match=message):
        split_of(tuned, make({0: {"text": None}}))


def test_towers_that_learn_take_prompts_for_soda_alone(config: TrainConfig, pair) -> None:
    encoder = dataclasses.replace(config.encoder, mode="finetune")
    for method, has in (("soda", True), ("no_teacher", False)):
        found = inputs.open_inputs(
            dataclasses.replace(config, method=method, encoder=encoder, soda=SodaConfig()),
            pair,
            CPU,
        )
        assert ("label" in found.split.features) == ("label" in found.dims) == has


def test_label_prompts_of_numbers_are_warned_of(make, caplog: pytest.LogCaptureFixture) -> None:
    numbers = make({i: {"labels": [f"label {i % 4}"]} for i in range(N)})
    words = "labels have only numbers for names, so that label prompts carry no meaning"
    for config, warned in (
        (TrainConfig(method="soda", encoder=TINY), 1),
        (TrainConfig(method="soda", encoder=TINY, soda=SodaConfig(prompt="multihot")), 0),
        (TrainConfig(method="no_teacher", encoder=TINY), 0),
    ):
        caplog.clear()
        inputs.open_inputs(config, numbers, CPU)
        assert caplog.text.count(words) == warned
