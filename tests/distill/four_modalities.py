"""A run of four modalities, three of which some items lack: its dataset, features and folder."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import nn

from distill import checkpoint, data, train
from distill.config import DataConfig, EncoderConfig, TrainConfig
from distill.data.base import Modality
from distill.data.images import Pictures
from distill.encoders import load_encoder
from distill.heads import HashHead
from distill.methods.base import Method
from tests.distill.started import start_run

NAMES = ("image", "text", "fluent", "tags")
N, N_BITS = 48, 16
UNLABELLED = np.array([8, 5, 40])
WITHOUT_IMAGE = (2, 13, 33)


@dataclasses.dataclass(frozen=True)
class Some:
    """Pictures of items, by the numbers that they have in another source; None is missing."""

    source: data.images.ImageSource
    numbers: tuple[int | None, ...]

    @property
    def names(self):
        return ["" if k is None else self.source.names[k] for k in self.numbers]

    def read(self, i):
        return self.source.read(self.numbers[i])


MIRRORED = tuple(None if i % 3 == 1 else N - 1 - i for i in range(N))


def made_dataset(shapes):
    """The drawn shapes with fluent pictures and tags; three items are learned from unlabelled."""
    base = data.load("manifest", path=shapes)
    tags = tuple("" if i % 5 < 2 else f"tag {i % 7} <i>" for i in range(N))
    train_rows = base.splits["train"]
    splits = {
        **base.splits,
        "train": train_rows[~np.isin(train_rows, UNLABELLED)],
        "unlabelled": UNLABELLED,
    }
    images = Some(base.images, tuple(None if i in WITHOUT_IMAGE else i for i in range(N)))
    others = {
        "fluent": Modality(images=Some(base.images, MIRRORED)),
        "tags": Modality(texts=tags),
    }
    return dataclasses.replace(
        base,
        images=images,
        others=others,
        chosen=NAMES,
        splits=splits,
        present={"image": ~np.isin(np.arange(N), WITHOUT_IMAGE)},
    )


def made_features(dataset):
    """Features of what the items have, and nonsense of what they lack."""
    encoder = load_encoder(EncoderConfig(teacher="tiny", pretrained="random"))
    tags, blank = dataset.others["tags"].texts, Image.new("RGB", (9, 9))

    def encoded(source):
        pictures = Pictures(source)
        found = (pictures.image(i) if name else blank for i, name in enumerate(source.names))
        return encoder.encode_images(found)

    return {
        "image": encoded(dataset.images),
        "text": encoder.encode_texts(dataset.texts),
        "fluent": encoded(dataset.others["fluent"].images),
        "tags": encoder.encode_texts([text or "nothing" for text in tags]),
    }


def made_run(dataset, shapes, path):
    """The run folder, as a training on the features ends."""
    config = TrainConfig(
        method="skdch",
        bits=N_BITS,
        run=path,
        data=DataConfig(name="manifest", path=shapes),
        encoder=EncoderConfig(teacher="tiny", pretrained="random"),
    )
    run = start_run(config)
    torch.manual_seed(0)
    heads = nn.ModuleDict({name: HashHead(64, N_BITS).eval() for name in NAMES})
    labels = torch.arange(30).view(15, 2).byte()
    method = Method((), heads, kept=lambda: {"pseudo_labels": labels})
    inputs = SimpleNamespace(features=lambda _: made_features(dataset))
    train._finish(run, method, dataset, inputs)
    checkpoint.save_records(run, [_record(i) for i in range(1, 7)])
    return run.path


def _record(epoch):
    generates = epoch % 3 != 0
    terms = {"choice": 1.0, "classes": 0.5} if generates else {"ranking": 2.0, "partner": 0.25}
    return {"stage": "adversarial", "epoch": epoch, "loss": 1.5, "terms": terms, "seconds": 1.0}
