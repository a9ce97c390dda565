"""Towers that learn with their heads: what goes into them, what they leave, how a run goes on."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from distill import checkpoint, data, encode, inputs, train
from distill.config import (
    DataConfig,
    EncoderConfig,
    HeadConfig,
    OptimConfig,
    SodaConfig,
    TrainConfig,
    load_config,
)
from distill.encoders import load_encoder
from distill.encoders.encoder import load_model
from distill.encoders.sources import find_source
from distill.encoders.tuned import TextTower, Tuned, tuned_weights
from distill.evaluation import Evaluation
from distill.heads import HashHead, RotatedHead, head_output
from distill.loop import fit
from distill.methods import soda
from distill.methods.base import codes_of
from distill.retriever import Retriever
from distill.run_evaluation import validation_map
from distill.types import DistillError, Split

TINY = EncoderConfig(teacher="tiny", pretrained="random")
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def config(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("finetune")
    return TrainConfig(
        bits=20,
        run=folder / "run",
        data=DataConfig(name="manifest", path=shapes),
        encoder=dataclasses.replace(TINY, mode="finetune", cache=folder / "cache"),
        head=HeadConfig(hidden=16, dropout=0.5),
        optim=OptimConfig(
            epochs=2,
            batch_size=11,
            optimizer="adamw",
            lr=1e-3,
            tower_lr=1e-4,
            warmup=0.25,
            clip=1.0,
            validate_every=2,
            checkpoint_every=1,
        ),
    )


@pytest.fixture(scope="session")
def finished(config: TrainConfig) -> Path:
    return train.train(config)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_pixels_are_the_preprocessing_but_for_the_normalisation(config: TrainConfig) -> None:
    encoder = load_encoder(TINY)
    drawn = np.random.default_rng(0).integers(0, 256, (3, 90, 130, 3), dtype=np.uint8)
    pictures = [Image.fromarray(drawn[0]), Image.fromarray(drawn[1]).resize((64, 64))]
    pictures.append(Image.fromarray(drawn[2, :, :40]))
    pixels = encoder.pixels(iter(pictures), 3)
    assert pixels.dtype == torch.uint8
    expected = torch.stack([encoder._towers.preprocess(picture) for picture in pictures])
    split = inputs.InputSplit({"image": pixels}, torch.ones(3, 1), *encoder.normalisation)
    rows = torch.tensor([2, 0, 1])
    (batch,) = split.batches([rows], 0)
    assert torch.equal(batch.features["image"], expected[rows])


def test_towers_are_copies_that_can_learn() -> None:
    encoder = load_encoder(TINY)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tokens = encoder.tokens(["a cat", "two dogs"])
    model = encoder._towers.model
    image, text = encoder.image_tower(), encoder.text_tower()
    # Attention takes another path where weights could learn.
    assert torch.allclose(image(images), model.encode_image(images), atol=1e-5)
    assert torch.allclose(text(tokens), model.encode_text(tokens), atol=1e-5)
    assert not any(name.startswith("model.visual") for name in text.state_dict())
    assert all(p.requires_grad for p in (*image.parameters(), *text.parameters()))
    assert not any(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        for parameter in (*image.parameters(), *text.parameters()):
            parameter.zero_()
    assert model.encode_text(tokens).any()
    assert model.encode_image(images).any()


def test_the_text_side_of_the_other_class_of_open_clip_is_a_tower_too() -> None:
    model = load_model(find_source(TINY), force_custom_text=True).eval()
    assert type(model).__name__ == "CustomTextCLIP"
    tokens = load_encoder(TINY).tokens(["a cat"])
    assert torch.equal(TextTower(model)(tokens), model.encode_text(tokens))


def normalised_tower() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


def test_batch_normalisation_keeps_its_statistics() -> None:
    tuned = Tuned(normalised_tower(), HashHead(4, 2))
    before = copied(tuned.tower[1])
    nn.ModuleDict({"image": tuned}).train()
    tuned(torch.rand(5, 4)).sum().backward()
    assert [module.training for module in tuned.tower] == [True, False, True]
    assert tuned.head.training
    assert equal(before, tuned.tower[1].state_dict())
    assert tuned.tower[1].weight.grad.any()


def test_low_precision_is_for_learning_alone() -> None:
    x = torch.rand(5, 4)
    exact, low = (Tuned(nn.Linear(4, 4), RotatedHead(4, 2, 3)) for _ in range(2))
    low.load_state_dict(exact.state_dict())
    low.precision = "bfloat16"
    for tuned in (exact, low):
        tuned.head.eval()
    assert low.embed(x).dtype == torch.float32
    assert not torch.equal(exact.embed(x), low.embed(x))
    assert torch.allclose(exact.embed(x), low.embed(x), atol=0.05)
    for tuned in (exact, low):
        tuned.eval()
    assert torch.equal(exact.embed(x), low.embed(x))


def test_codes_of_all_rows_are_those_of_the_head() -> None:
    head = HashHead(3, 5, hidden=8, dropout=0.5)
    split = Split({"image": torch.rand(9000, 3), "text": torch.rand(9000, 1)}, torch.ones(9000, 1))
    found = codes_of(head, split, "image")
    assert not found.requires_grad
    assert head.training
    assert torch.equal(found, head_output(head.eval(), split.features["image"]))


def test_weights_become_an_encoder_of_their_own(tmp_path: Path) -> None:
    plain = load_encoder(TINY)
    towers = {
        "image": Tuned(plain.image_tower(), HashHead(64, 8)),
        "text": Tuned(plain.text_tower(), HashHead(64, 8)),
    }
    with torch.no_grad():
        for tuned in towers.values():
            for parameter in tuned.tower.parameters():
                parameter.add_(0.01)
    file = tmp_path / "encoder.safetensors"
    preprocessing = {**plain.preprocessing, "mean": (0.1, 0.2, 0.3)}
    file.write_bytes(tuned_weights(towers, preprocessing))
    gone = dataclasses.replace(TINY, pretrained="no longer there.pt")
    loaded = load_encoder(gone, tuned=file)
    tokens = loaded.tokens(["a cat"])
    learned = towers["text"].tower(tokens)
    assert torch.allclose(loaded.encode_texts(["a cat"]), learned, atol=1e-5)
    assert torch.equal(loaded.normalisation[0].flatten(), torch.tensor([0.1, 0.2, 0.3]))
    assert loaded.identity != plain.identity
    file.write_bytes(tuned_weights(towers, plain.preprocessing))
    assert load_encoder(TINY, tuned=file).identity != loaded.identity
    file.write_bytes(file.read_bytes()[:-9])
    message = f"encoder: expected the fine-tuned towers of a run in {re.escape(str(file))}, got a"
    with pytest.raises(DistillError, match=message):
        load_encoder(TINY, tuned=file).encode_texts(["a"])


def test_a_run_teaches_its_towers_and_keeps_them(config: TrainConfig, finished: Path) -> None:
    run = checkpoint.load_run(finished)
    assert run.tuned_weights() == finished / "encoder.safetensors"
    tuned = load_encoder(run.config.encoder, tuned=run.tuned_weights())._towers.model.state_dict()
    pristine = load_encoder(TINY)._towers.model.state_dict()
    learned = {name for name, value in pristine.items() if not torch.equal(value, tuned[name])}
    assert {name.startswith("visual.") for name in learned} == {True, False}
    records = run.records()
    for stage in ("teacher", "student"):
        losses = [record["loss"] for record in records if record["stage"] == stage]
        assert losses[-1] < losses[0]
    assert records[-1]["validation"].keys() >= {"image_to_text", "text_to_image"}
    scores = Evaluation.from_json(run.metrics())
    assert scores.backbone == "tiny, RANDOM weights, fine-tuned"


def test_the_commands_encode_with_the_towers_of_the_run(
    finished: Path, shapes: Path, tmp_path: Path
) -> None:
    run = checkpoint.load_run(finished)
    dataset = data.load("manifest", path=shapes)
    lines = tmp_path / "texts.txt"
    lines.write_text("\n".join(dataset.texts) + "\n")
    pictures = tuple(shapes.parent / dataset.image_name(i) for i in range(len(dataset)))
    options = {"text": {"texts": lines}, "image": {"images": pictures}}
    for modality, given in options.items():
        out = tmp_path / f"{modality}.npy"
        encode.encode(encode.Encode(finished, out=out, **given))
        assert np.array_equal(np.load(out), run.codes(modality))
    hits = Retriever.load(finished).search_text(dataset.texts[5], against="text")
    assert hits[0].distance == 0


def test_a_frozen_run_has_no_towers(config: TrainConfig, tmp_path: Path) -> None:
    frozen = dataclasses.replace(config.encoder, mode="frozen")
    path = train.train(dataclasses.replace(config, encoder=frozen, run=tmp_path / "run"))
    assert not (path / "encoder.safetensors").exists()
    assert checkpoint.load_run(path).tuned_weights() is None


def state_of(path: Path) -> dict[str, Any]:
    run = checkpoint.load_run(path)
    drop = ("seconds", "samples_per_second")
    return {
        "records": [{k: v for k, v in r.items() if k not in drop} for r in run.records()],
        "files": [
            (path / name).read_bytes()
            for name in ("encoder.safetensors", "weights.safetensors", "codes/text.npy")
        ],
    }


@pytest.mark.parametrize("n_saves", [1, 3])
def test_resuming_is_bit_equal(
    config: TrainConfig, finished: Path, n_saves: int, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, run=tmp_path / "run")
    save, count = checkpoint.save_checkpoint, iter(range(1, 1000))

    def saving(*arguments: Any) -> None:
        save(*arguments)
        if next(count) == n_saves:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(checkpoint, "save_checkpoint", saving)
        with pytest.raises(KeyboardInterrupt):
            train.train(config)
    assert state_of(train.train(config, resume=True)) == state_of(finished)


def tuned_inputs(config: TrainConfig) -> inputs.Inputs:
    dataset = train.load_dataset(config)
    return inputs.open_inputs(config, dataset, CPU)


def test_stage_two_leaves_the_image_branch_and_starts_from_pretrained_text(
    config: TrainConfig,
) -> None:
    found = tuned_inputs(config)
    method = soda.build(config, found.dims, found.wrap)
    silent = {"validate": lambda _: {}, "record": lambda _: None, "save": lambda _: None}
    teacher, student = method.stages
    optim = dataclasses.replace(config.optim, epochs=1)
    fit(dataclasses.replace(method, stages=(teacher,)), found.split, optim, **silent)
    image, text = teacher.modules["image"], student.modules["text"]
    pristine = load_encoder(TINY)
    assert equal(text.tower.state_dict(), pristine.text_tower().state_dict())
    assert not equal(image.tower.state_dict(), pristine.image_tower().state_dict())
    label = teacher.modules["label"]
    assert not equal(label.tower.state_dict(), text.tower.state_dict())
    before = copied(image)
    fit(dataclasses.replace(method, stages=(student,)), found.split, optim, **silent)
    assert equal(before, image.state_dict())
    assert not equal(text.tower.state_dict(), pristine.text_tower().state_dict())


def test_a_label_vector_needs_no_tower(config: TrainConfig) -> None:
    found = tuned_inputs(dataclasses.replace(config, soda=SodaConfig(prompt="multihot")))
    head = HashHead(found.dims["label"], 4)
    assert found.dims == {"image": 64, "text": 64, "label": 6, "classes": 6}
    assert found.wrap("label", head) is head
    assert isinstance(found.wrap("text", head), Tuned)


def test_no_rows_to_validate_with_are_no_error(config: TrainConfig) -> None:
    dataset = train.load_dataset(config)
    splits = {**dataset.splits, "validation": np.zeros(0, np.int64)}
    dataset = dataclasses.replace(dataset, splits=splits)
    found = inputs.open_inputs(config, dataset, CPU)
    method = soda.build(config, found.dims, found.wrap)
    assert validation_map(method, dataset, found)(method.stages[-1]) == {}


def test_what_cannot_be_tuned_is_one_sentence(config: TrainConfig) -> None:
    dataset = train.load_dataset(config)
    averaged = dataclasses.replace(config, soda=SodaConfig(prompt="set"))
    with pytest.raises(DistillError, match="prompt: expected sentence, bare or multihot where"):
        inputs.open_inputs(averaged, dataset, CPU)
    labels = dataset.labels.copy()
    labels[dataset.splits["train"][0]] = 0
    with pytest.raises(DistillError, match="labels: expected at least one for every training"):
        inputs.open_inputs(config, dataclasses.replace(dataset, labels=labels), CPU)
    ready = dataclasses.replace(dataset, features={"text": np.ones((48, 3), np.float32)})
    with pytest.raises(DistillError, match="encoder-mode: expected frozen for items"):
        inputs.open_inputs(config, ready, CPU)


def test_the_preset_has_the_settings_of_clip_hashing() -> None:
    preset = load_config("finetune")
    assert preset.encoder.mode == "finetune"
    optim = preset.optim
    assert (optim.optimizer, optim.lr, optim.tower_lr) == ("adamw", 1e-3, 1e-5)
    assert (optim.beta2, optim.eps, optim.weight_decay) == (0.98, 1e-6, 0.2)
    assert (optim.warmup, optim.clip, optim.batch_size, optim.epochs) == (0.1, 1.0, 128, 30)
