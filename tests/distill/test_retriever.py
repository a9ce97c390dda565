"""A loaded run finds what its codes say, for words and pictures it has not seen as such."""

import numpy as np
import pytest
import torch
from PIL import Image

import hamming
from distill.checkpoint import load_run
from distill.retriever import CodeSearch, Hit, Retriever
from distill.types import DistillError


@pytest.fixture(scope="module")
def retriever(_finished_run):
    return Retriever.load(_finished_run)


def reference(codes, row, database):
    distances = np.unpackbits(codes[row] ^ database, axis=1).sum(axis=1, dtype=int)
    order = np.argsort(distances, kind="stable")
    return list(zip(order.tolist(), distances[order].tolist(), strict=True))


@pytest.mark.parametrize("against", ["image", "text"])
@pytest.mark.parametrize("row", [3, 40])
def test_text_of_an_item_is_encoded_as_in_training(retriever, row, against):
    hits = retriever.search_text(retriever.dataset.texts[row], 48, against=against)
    expected = reference(retriever.codes["text"], row, retriever.codes[against])
    assert [(hit.row, hit.distance) for hit in hits] == expected


@pytest.mark.parametrize("against", ["image", "text"])
def test_image_of_an_item_is_encoded_as_in_training(retriever, shapes, against):
    expected = reference(retriever.codes["image"], 5, retriever.codes[against])
    for image in (
        shapes.parent / "5.png",
        str(shapes.parent / "5.png"),
        retriever.dataset.image(5),
    ):
        hits = retriever.search_image(image, 7, against=against)
        assert [(hit.row, hit.distance) for hit in hits] == expected[:7]


def test_hits_name_their_items(retriever):
    hit = retriever.search_image(retriever.dataset.image(6), 1)[0]
    assert isinstance(hit, Hit)
    assert hit.distance == 0
    assert hit.text == retriever.dataset.texts[hit.row]
    assert hit.image == f"{hit.row}.png"


def test_transparency_is_white(retriever):
    opaque = Image.new("RGB", (40, 40), "white")
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert retriever.search_image(clear, 5) == retriever.search_image(opaque, 5)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text(retriever, text):
    with pytest.raises(ValueError, match=r"^text: expected words, got an empty text; "):
        retriever.search_text(text)


@pytest.mark.parametrize("k", [0, -1, 49])
def test_k_out_of_range(retriever, k):
    with pytest.raises(ValueError, match=rf"^k: expected 1\.\.48 items, got {k}; "):
        retriever.search_text("red", k)


def test_unknown_modality(retriever):
    with pytest.raises(ValueError, match=r"^against: expected 'image' or 'text', got 'sound'; "):
        retriever.search_text("red", against="sound")


def test_unreadable_images(retriever, tmp_path):
    with pytest.raises(ValueError, match=r"^image: expected a picture at .*none\.png, got no such"):
        retriever.search_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"^image: expected a picture at .*, got is a directory"):
        retriever.search_image(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"text\.png: expected a complete image, got "):
        retriever.search_image(tmp_path / "text.png")


def test_missing_or_damaged_run(run, tmp_path):
    with pytest.raises(ValueError, match=r"^run: expected a run folder"):
        Retriever.load(tmp_path / "none")
    (run / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"^run: expected a finished run"):
        Retriever.load(run)


def test_codes_of_another_dataset(run):
    codes = load_run(run).codes("image")[1:]
    np.save(run / "codes" / "image.npy", codes)
    with pytest.raises(ValueError, match=r"^codes: expected 48 image codes .+, got 47; "):
        Retriever.load(run)


def test_text_that_is_no_unicode(retriever):
    with pytest.raises(ValueError, match=r"^text: expected Unicode, got 'a.udcff' .+; [^\n]+$"):
        retriever.search_text("a\udcff")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path):
    with pytest.raises(DistillError, match=r"^device: expected cpu where torch finds no GPU"):
        Retriever.load(tmp_path, device="cuda")


def chain_problem():
    generator = torch.Generator().manual_seed(0)
    database = torch.randn(500, 40, generator=generator)
    batch = torch.randn(7, 12, generator=generator)
    encode = torch.nn.Linear(12, 40)
    return encode, database, batch


def test_a_chain_is_its_steps():
    encode, database, batch = chain_problem()
    codes = hamming.pack(database)
    continuous = encode(batch).detach()
    found = CodeSearch(encode, codes, 5)(batch)
    expected = hamming.topk(hamming.pack(continuous), codes, 5)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    near = hamming.topk(hamming.pack(continuous), codes, 30)
    rescored = CodeSearch(encode, codes, 5, candidates=30)(batch)
    expected = hamming.rescore(continuous, codes, near.indices, 5)
    assert all(torch.equal(a, b) for a, b in zip(rescored, expected, strict=True))
    assert all(isinstance(x, torch.Tensor) and not x.requires_grad for x in (*found, *rescored))


def test_wrong_use_of_a_chain_is_one_sentence():
    encode, database, batch = chain_problem()
    codes = hamming.pack(database)
    with pytest.raises(DistillError, match=r"^candidates: expected at least the 5 results asked"):
        CodeSearch(encode, codes, 5, candidates=4)
    with pytest.raises(DistillError, match=r"^example: expected a batch on a GPU, got one on cpu"):
        CodeSearch(encode, codes, 5).captured(batch)
