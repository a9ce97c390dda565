"""Features of views: the same for all backbones, computed once, resumed, or fresh every epoch."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from distill.encoders import view_cache
from distill.encoders.backbones import Backbone, load_backbone
from distill.encoders.view_cache import clean_features, online_views, view_features
from distill.types import DistillError

TWO = {"n_views": 2, "seed": 3}


@dataclass
class Pictures:
    """Drawn pictures; labels nobody may look at."""

    n: int = 7
    decoded: list[int] = field(default_factory=list)
    breaks_at: int = -1

    @property
    def labels(self) -> None:
        raise AssertionError("labels were read")

    def __len__(self) -> int:
        return self.n

    def image(self, i: int) -> Image.Image:
        if i == self.breaks_at:
            raise KeyboardInterrupt
        self.decoded.append(i)
        image = Image.new("RGB", (40, 30), (i * 37 % 256, 90, 160))
        ImageDraw.Draw(image).ellipse((i, 3, 20 + i, 25), fill=(200, i * 29 % 256, 10))
        return image

    def image_bytes(self, i: int) -> bytes:
        return f"picture {i}".encode()


@pytest.fixture(scope="module")
def small() -> Backbone:
    return load_backbone("test_efficientnet", image_size=32, pretrained="random")


@pytest.fixture(scope="module")
def large() -> Backbone:
    return load_backbone("test_efficientnet", image_size=48, pretrained="random")


def test_clean_features_are_those_of_the_clean_picture(small: Backbone, tmp_path: Path) -> None:
    pictures = Pictures()
    got = clean_features(small, pictures, [4, 1], cache=tmp_path)
    expected = small.features(torch.stack([small.resize(pictures.image(i)) for i in (4, 1)]))
    assert got.dtype == torch.float32
    assert torch.equal(got, expected.half().float())


def test_views_are_computed_once(small: Backbone, large: Backbone, tmp_path: Path) -> None:
    pictures = Pictures()
    first = view_features([small, large], pictures, range(7), **TWO, cache=tmp_path)
    assert [f.shape for f in first] == [(7, 2, small.dim), (7, 2, large.dim)]
    assert [f.dtype for f in first] == [torch.float32] * 2
    assert pictures.decoded == list(range(7))
    again = view_features([small, large], pictures, range(7), **TWO, cache=tmp_path)
    alone = view_features([large], pictures, range(7), **TWO, cache=tmp_path)
    assert pictures.decoded == list(range(7))
    assert torch.equal(first[1], alone[0])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_view_depends_on_seed_row_and_number_alone(small: Backbone, tmp_path: Path) -> None:
    (whole,) = view_features([small], Pictures(), range(7), **TWO, cache=tmp_path)
    (some,) = view_features([small], Pictures(), [5, 2], **TWO, cache=tmp_path)
    assert torch.allclose(some, whole[[5, 2]], atol=1e-3)
    (more,) = view_features([small], Pictures(), [5, 2], n_views=3, seed=3, cache=tmp_path)
    assert torch.allclose(more[:, :2], some, atol=1e-3)
    assert not torch.allclose(whole[:, 0], whole[:, 1], atol=1e-2)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"n_views": 3}, {"blur": False}, {"precision": "bfloat16"}]
)
def test_another_recipe_is_computed_anew(small: Backbone, tmp_path: Path, change: dict) -> None:
    view_features([small], Pictures(), [0, 1], **TWO, cache=tmp_path)
    view_features([small], Pictures(), [0, 1], **{**TWO, **change}, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_picture_size_or_kind_is_computed_anew(
    small: Backbone, large: Backbone, tmp_path: Path
) -> None:
    for backbone in (small, large):
        for rows in ([0, 1], [1, 0]):
            clean_features(backbone, Pictures(), rows, cache=tmp_path)
            view_features([backbone], Pictures(), rows, **TWO, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 8


def test_an_interrupted_extraction_goes_on(
    small: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_cache, "CHUNK", 2)
    with pytest.raises(KeyboardInterrupt):
        view_features([small], Pictures(breaks_at=5), range(7), **TWO, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    pictures = Pictures()
    (got,) = view_features([small], pictures, range(7), **TWO, cache=tmp_path)
    assert pictures.decoded == [4, 5, 6]
    (whole,) = view_features([small], pictures, range(7), **TWO, cache=tmp_path / "other")
    assert torch.equal(got, whole)


def test_threads_change_nothing(
    small: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_cache, "_FORWARD", 4)
    (one,) = view_features([small], Pictures(23), range(23), **TWO, cache=tmp_path / "one")
    torch.set_num_threads(3)
    try:
        (three,) = view_features([small], Pictures(23), range(23), **TWO, cache=tmp_path / "three")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, three)


def test_a_damaged_file_is_computed_anew(small: Backbone, tmp_path: Path) -> None:
    first = clean_features(small, Pictures(), range(7), cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert torch.equal(clean_features(small, Pictures(), range(7), cache=tmp_path), first)


def test_online_views_are_new_every_epoch_and_start_with_the_cached_ones(
    small: Backbone, large: Backbone, tmp_path: Path
) -> None:
    batches = [[3, 0], [6]]

    def epoch(number: int) -> list[list[torch.Tensor]]:
        return list(online_views([small, large], Pictures(), batches, seed=3, epoch=number))

    first, again, second = epoch(0), epoch(0), epoch(1)
    assert [f.shape for f in first[0]] == [(2, 2, small.dim), (2, 2, large.dim)]
    assert torch.equal(first[1][0], again[1][0])
    assert not torch.allclose(first[0][0], second[0][0], atol=1e-2)
    cached = view_features([small, large], Pictures(), [3, 0, 6], **TWO, cache=tmp_path)
    for k in (0, 1):
        online = torch.cat([batch[k] for batch in first])
        assert torch.allclose(online, cached[k], atol=1e-2)


def test_pixels_come_at_every_size() -> None:
    views = view_cache._random_views(4, seed=0, blur=True, epoch=0)
    pixels = view_cache._pixels(Pictures(), [1, 2, 3], views, (32, 48))
    assert [p.shape for p in pixels] == [(3, 4, 3, 32, 32), (3, 4, 3, 48, 48)]
    assert all(p.dtype == torch.uint8 for p in pixels)


def test_mistakes_are_one_sentence(small: Backbone, tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="rows: expected at least one picture to encode"):
        clean_features(small, Pictures(), [], cache=tmp_path)
    with pytest.raises(DistillError, match="n_views: expected at least 1, got 0"):
        view_features([small], Pictures(), [0], n_views=0, seed=0, cache=tmp_path)


def test_features_beyond_float16_are_refused(tmp_path: Path) -> None:
    backbone = load_backbone("test_efficientnet", image_size=32, pretrained="random")
    for parameter in backbone.module.parameters():
        parameter.mul_(1e3)
    with pytest.raises(DistillError, match="test_efficientnet: expected finite features below"):
        clean_features(backbone, Pictures(), [0], cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
