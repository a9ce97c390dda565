"""What a run of four modalities finds and shows; items that lack one are not found by it."""

import dataclasses
import re

import numpy as np
import pytest

from distill import checkpoint, data, encode, search
from distill.data.images import Pictures
from distill.evaluation import Evaluation
from distill.report import picture_of, thumbnail, write_report
from distill.retriever import Retriever
from distill.types import DistillError
from tests.distill.four_modalities import NAMES, WITHOUT_IMAGE, N
from tests.distill.test_report import Page


@pytest.fixture
def run(four_run):
    return four_run


@pytest.fixture(scope="module")
def retriever(four_finished, four_dataset):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda **_: four_dataset)
        return Retriever.load(four_finished)


@pytest.fixture(scope="module")
def report(four_finished, four_dataset, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda **_: four_dataset)
        return write_report(four_finished, tmp_path_factory.mktemp("report") / "a.html").read_text()


def test_the_report_shows_queries_of_every_modality(report, four_finished, four_dataset):
    page = Page(report)
    assert "SKDCH is built after its authors' released code" in page.text
    for name in ("Text", "Image", "Fluent", "Tags"):
        assert f"{name} queries, nearest images" in page.text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"][1:] for attrs in page.all("a")]
    assert set(links) <= set(ids)
    assert not page.all("i")
    n_query = {m: int(four_dataset.has(m)[four_dataset.splits["query"]].sum()) for m in NAMES}
    asked = [min(10, n) for n in n_query.values()]
    assert len(page.all("section", **{"class": "panel"})) == sum(asked)
    shown = [attrs for attrs in page.all("img") if attrs["width"] == "84"]
    assert len(shown) == asked[0] + asked[2]  # images and fluent pictures
    of_tags = [line for line in re.findall(r"“([^”]*)”", page.text) if line.startswith("tag ")]
    assert len(of_tags) == asked[3]
    evaluation = Evaluation.from_json((four_finished / "metrics.json").read_text())
    assert f"items{evaluation.shares}. Relevant: shares a label" in page.text
    # Curves of four directions a figure, of two kinds; the losses.
    assert len(page.all("figure")) == 2 * len(NAMES) + 1


def test_epochs_of_a_stage_may_differ_in_their_terms(report):
    for name in ("choice", "classes", "ranking", "partner (weight 0.1)"):
        assert f">{name}</text>" in report
    assert ">weighted sum: choice, classes</text>" in report
    assert ">weighted sum: ranking, partner</text>" in report


def test_a_hit_shows_what_was_found(retriever, four_dataset):
    tags, mirrored = four_dataset.others["tags"].texts, four_dataset.others["fluent"].images
    for hit in retriever.search_text("red", 4, against="tags"):
        assert hit.text == tags[hit.row] != four_dataset.texts[hit.row]
    for hit in retriever.search_text("red", 4, against="fluent"):
        assert hit.text == four_dataset.texts[hit.row]
        assert hit.image == mirrored.names[hit.row]
        own = picture_of(four_dataset, hit.row, "fluent")
        assert own == thumbnail(Pictures(mirrored).image(hit.row))


@pytest.mark.parametrize("against", NAMES)
def test_what_an_item_lacks_does_not_find_it(retriever, four_dataset, against):
    searchable = np.flatnonzero(four_dataset.has(against))
    for asked, modality in (("text", "text"), ("tags", "tags")):
        texts = four_dataset.texts if asked == "text" else four_dataset.others["tags"].texts
        hits = retriever.search_text(texts[2], len(searchable), against=against, modality=modality)
        code = retriever.codes[asked][2]
        distances = np.unpackbits(code ^ retriever.codes[against], axis=1).sum(axis=1, dtype=int)
        expected = sorted(searchable, key=lambda i, d=distances: (d[i], i))
        assert [hit.row for hit in hits] == expected
        assert [hit.distance for hit in hits] == [distances[i] for i in expected]
    n = len(searchable)
    with pytest.raises(DistillError, match=rf"^k: expected 1\.\.{n} items, got {n + 1}; "):
        retriever.search_text("red", n + 1, against=against)


def test_a_picture_is_encoded_as_the_modality_that_is_named(retriever, four_dataset):
    picture = four_dataset.image(N - 1 - 3)  # what item 3 has as its fluent picture
    for modality, row in (("fluent", 3), ("image", N - 1 - 3)):
        hits = retriever.search_image(picture, 5, against=modality, modality=modality)
        assert hits[0].distance == 0
        code = retriever.codes[modality][row]
        assert (retriever.codes[modality][hits[0].row] == code).all()


def test_a_wrong_modality_is_one_sentence(retriever, four_dataset, run, capsys, tmp_path):
    with pytest.raises(DistillError, match=r"^as: expected text or tags for texts, got fluent; "):
        retriever.search_text("red", modality="fluent")
    with pytest.raises(DistillError, match=r"^as: expected image or fluent for images, got noth"):
        retriever.search_image(four_dataset.image(0), modality="nothing")
    with pytest.raises(DistillError, match=r"^against: expected 'image' or 'text' or 'fluent' or"):
        retriever.search_text("red", against="sound")
    given = dataclasses.replace(four_dataset, features={"tags": np.zeros((N, 3), np.float32)})
    other = Retriever(given, retriever._encoder, retriever._queries.heads, retriever.codes)
    with pytest.raises(DistillError, match=r"^tags: expected a run that encodes tags, got one who"):
        other.search_text("red", modality="tags")
    only = Retriever(
        four_dataset, None, {"image": retriever._queries.heads["image"]}, retriever.codes
    )
    with pytest.raises(DistillError, match=r"^text: expected a run that encodes texts, got one of"):
        only.search_text("red")
    picture = tmp_path / "a.png"
    four_dataset.image(0).save(picture)
    for main, flags in (
        (search.main, ["--image", str(picture)]),
        (encode.main, ["--images", str(picture), "--out", str(tmp_path / "codes.npy")]),
    ):
        with pytest.raises(SystemExit) as caught:
            main([str(run), *flags, "--as", "tags"])
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith("error: as: expected image or fluent for images, got tags; ")


def test_search_command(run, four_dataset, capsys, tmp_path):
    picture = tmp_path / "a.png"
    four_dataset.image(N - 1 - 3).save(picture)
    search.main([str(run), "--image", str(picture), "--as", "fluent", "--against", "fluent"])
    rows = re.findall(r"(\d+)\.png", capsys.readouterr().out.partition("text")[2])
    (page,) = (run / "searches").iterdir()
    assert page.name.startswith("a-png-fluent-")
    assert (
        f"The 10 nearest fluent of {four_dataset.has('fluent').sum()} items, run "
        in page.read_text()
    )
    assert all(four_dataset.has("fluent")[int(row)] for row in rows[:10])
    search.main([str(run), "--image", str(picture), "--against", "fluent"])
    assert len(list((run / "searches").iterdir())) == 2  # another query, another page
    search.main([str(run), "--text", "red", "--against", "text", "-k", str(N), "--out", str(page)])
    shown = Page(page.read_text()).all("img", width="128")
    assert len(shown) == N - len(WITHOUT_IMAGE)  # an item without a picture is shown without


def test_encode_command(run, four_dataset, tmp_path):
    picture, texts = tmp_path / "a.png", tmp_path / "texts.txt"
    four_dataset.image(N - 1 - 3).save(picture)
    texts.write_text(f"{four_dataset.others['tags'].texts[2]}\n")
    out, codes = tmp_path / "codes.npy", checkpoint.load_run(run)
    encode.main([str(run), "--images", str(picture), "--as", "fluent", "--out", str(out)])
    assert np.array_equal(np.load(out), codes.codes("fluent")[[3]])
    out.with_suffix(".txt").unlink()  # the list of the pictures
    options = ["--texts", str(texts), "--as", "tags", "--out", str(out), "--overwrite"]
    encode.main([str(run), *options])
    assert np.array_equal(np.load(out), codes.codes("tags")[[2]])
