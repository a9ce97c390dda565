from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image

from distill.config import EncoderConfig
from distill.encoders import cache, image_features, load_encoder, prompt_features, text_features
from distill.encoders.prompts import label_prompts
from distill.types import DistillError

TEXTS = ["a red thing", "a blue thing", "a red thing"]


@dataclass
class Pictures:
    """A dataset that has pictures, and labels nobody may look at."""

    colours: list[str]
    decoded: list[int] = field(default_factory=list)

    @property
    def labels(self) -> None:
        raise AssertionError("labels were read")

    @property
    def fingerprint(self) -> None:
        raise AssertionError("the fingerprint covers labels")

    def __len__(self) -> int:
        return len(self.colours)

    def image(self, i: int) -> Image.Image:
        self.decoded.append(i)
        return Image.new("RGB", (40, 40), self.colours[i])

    def image_bytes(self, i: int) -> bytes:
        return self.colours[i].encode()


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderConfig(teacher="tiny", pretrained="random"))


def test_images_are_encoded_once_and_labels_never_read(encoder, tmp_path: Path) -> None:
    pictures = Pictures(["red", "green", "blue"])
    first = image_features(encoder, pictures, cache=tmp_path)
    again = image_features(encoder, pictures, cache=tmp_path)
    assert pictures.decoded == [0, 1, 2]
    assert torch.equal(first, again)
    assert first.shape == (3, 64)


def test_other_content_or_encoder_is_computed_anew(encoder, tmp_path: Path) -> None:
    image_features(encoder, Pictures(["red", "green"]), cache=tmp_path)
    image_features(encoder, Pictures(["green", "red"]), cache=tmp_path)
    text_features(encoder, ["red", "green"], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_texts_are_encoded_once_each_and_keep_their_order(encoder, tmp_path: Path) -> None:
    features = text_features(encoder, TEXTS, cache=tmp_path)
    assert torch.equal(features[0], features[2])
    assert torch.allclose(features, encoder.encode_texts(TEXTS), atol=1e-5)
    assert torch.equal(text_features(encoder, TEXTS, cache=tmp_path), features)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_a_damaged_file_is_computed_anew(encoder, tmp_path: Path, damage: str) -> None:
    features = text_features(encoder, TEXTS, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    damaged = {"truncate": content[:-9], "flip": content, "empty": b"", "text": b"hello" * 9}
    file.write_bytes(damaged[damage])
    assert torch.equal(text_features(encoder, TEXTS, cache=tmp_path), features)
    assert file.read_bytes() != damaged[damage]


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.default_cache() == Path("/somewhere/hamming-kd")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_cache() == Path.home() / ".cache/hamming-kd"


NAMES = ("sky", "plant_life", "tree")
LABELS = torch.tensor([[1.0, 1, 1], [0, 1, 0], [1, 0, 1]])


def test_prompts_read_as_the_docs_say() -> None:
    sentences = label_prompts(LABELS, NAMES)
    assert sentences == [
        "a photo of sky, plant life and tree",
        "a photo of plant life",
        "a photo of sky and tree",
    ]
    bare = label_prompts(LABELS, NAMES, style="bare")
    assert bare == ["sky plant life tree", "plant life", "sky tree"]
    assert label_prompts(LABELS[1:2], NAMES, template="{} here") == ["plant life here"]


def test_set_prompts_average_one_direction_per_label() -> None:
    table = {f"a photo of {n}": torch.randn(5) for n in ("sky", "plant life", "tree")}
    got = prompt_features(
        LABELS, NAMES, lambda texts: torch.stack([table[t] for t in texts]), style="set"
    )
    directions = [v / v.norm() for v in table.values()]
    for row, features in zip(LABELS, got, strict=True):
        chosen = [d for d, is_on in zip(directions, row, strict=True) if is_on]
        mean = sum(chosen) / len(chosen)
        assert torch.allclose(features, mean / mean.norm(), atol=1e-6)


def test_a_training_item_without_labels_is_refused() -> None:
    with pytest.raises(DistillError, match="labels: expected at least one for every training item"):
        prompt_features(torch.zeros(1, 3), NAMES, lambda texts: torch.zeros(len(texts), 2))
