"""A finished run folder, made without training: random towers and heads over drawn shapes."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

import hamming
from distill import checkpoint, data, index_update
from distill.config import DataConfig, EncoderConfig, TrainConfig
from distill.encoders import load_encoder
from distill.evaluation import evaluate
from distill.heads import HashHead, head_output
from tests.distill import four_modalities
from tests.distill.started import start_run

COLOURS = ("red", "green", "blue", "orange")
N_ITEMS, N_BITS = 48, 16


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, which lose much where cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of drawn shapes; the text of item 0 is markup that a page must escape."""
    folder = tmp_path_factory.mktemp("shapes")
    lines = []
    for i in range(N_ITEMS):
        colour, shape = COLOURS[i % 4], ("ellipse", "rectangle")[i % 2]
        image = Image.new("RGB", (40, 40), "white")
        getattr(ImageDraw.Draw(image), shape)((4 + i % 7, 5, 30, 20 + i % 11), fill=colour)
        image.save(folder / f"{i}.png")
        text = f"a {colour} {shape} no. {i}" if i else "<b>bold</b> & red"
        split = ("query", "train", "train", "database")[(i // 4) % 4]
        line = {"image": f"{i}.png", "text": text, "labels": [colour, shape], "split": split}
        lines.append(json.dumps(line))
    (folder / "items.jsonl").write_text("\n".join(lines))
    return folder / "items.jsonl"


@pytest.fixture(scope="session")
def _finished_run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = TrainConfig(
        bits=N_BITS,
        run=tmp_path_factory.mktemp("runs") / "run",
        data=DataConfig(name="manifest", path=shapes),
        encoder=EncoderConfig(teacher="tiny", pretrained="random"),
    )
    run = start_run(config)
    dataset = data.load("manifest", path=shapes)
    encoder = load_encoder(config.encoder)
    features = {
        "image": encoder.encode_images(dataset.image(i) for i in range(len(dataset))),
        "text": encoder.encode_texts(dataset.texts),
    }
    codes, specs, tensors = {}, {}, {}
    for modality, values in features.items():
        torch.manual_seed(1)
        head = HashHead(values.shape[1], N_BITS).eval()
        floats = head_output(head, values)
        codes[modality] = hamming.pack(floats.numpy())
        checkpoint.save_codes(run, modality, codes[modality], floats.numpy())
        specs[modality] = head.spec
        tensors |= {f"{modality}.{name}": value for name, value in head.state_dict().items()}
    checkpoint.save_dataset(run, dataset)
    checkpoint.save_weights(run, checkpoint.Weights(specs, tensors))
    checkpoint.save_records(
        run, [_record(stage, e) for stage in ("teacher", "student") for e in range(1, 5)]
    )
    scores = evaluate(
        codes,
        dataset.labels,
        dataset.splits,
        n_bits=N_BITS,
        protocol=dataset.protocol,
        method="soda",
    )
    checkpoint.save_metrics(run, scores.to_json())
    return run.path


def _record(stage: str, epoch: int) -> dict:
    record = {
        "stage": stage,
        "epoch": epoch,
        "loss": 3 / epoch,
        "terms": {"inter": 2 / epoch, "gap": 1 / epoch},
        "seconds": 0.5,
        "samples_per_second": 100.0,
    }
    return record | ({"validation": {"image_to_image": 0.1 * epoch}} if epoch % 2 == 0 else {})


@pytest.fixture
def run(_finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that the test may change."""
    return shutil.copytree(_finished_run, tmp_path / "run")


@pytest.fixture(scope="session")
def four_dataset(shapes: Path) -> data.ImageTextDataset:
    """The shapes with four modalities, three of which some items lack."""
    return four_modalities.made_dataset(shapes)


@pytest.fixture(scope="session")
def four_finished(
    four_dataset: data.ImageTextDataset, shapes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run on them; only with `four_run` its dataset is found."""
    path = tmp_path_factory.mktemp("runs") / "run"
    return four_modalities.made_run(four_dataset, shapes, path)


@pytest.fixture
def four_run(
    four_finished: Path,
    four_dataset: data.ImageTextDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A copy of that run which the test may change."""
    monkeypatch.setattr(data, "load", lambda **_: four_dataset)
    return shutil.copytree(four_finished, tmp_path / "run")


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> Path:
    """A folder of ten of the drawn shapes in two folders, to be indexed."""
    for i in range(10):
        folder = tmp_path / "photos" / ("even", "odd")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(shapes.parent / f"{i}.png", folder)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that the index command decodes."""
    names: list[str] = []
    opened = index_update.open_image
    monkeypatch.setattr(
        index_update, "open_image", lambda path: names.append(path.name) or opened(path)
    )
    return names
