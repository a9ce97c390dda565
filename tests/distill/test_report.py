"""The report is one file that holds all it shows, says what must be said, and escapes texts."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from html.parser import HTMLParser
from typing import get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

import hamming
from distill import data, image_encoder
from distill.checkpoint import load_run
from distill.config import SkdchConfig, TrainConfig
from distill.report import Card, Panel, figures, thumbnail, write_report, write_search_page
from distill.report.image_run import NOTES, TITLES
from distill.report.run import METHODS, settings_of
from distill.report.training import stages

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects elements, and fails on tags that do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag, **attributes):
        wanted = attributes.items()
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted)]


@pytest.fixture(scope="module")
def page(_finished_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    return Page(write_report(_finished_run, out).read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_elsewhere(page):
    sources = [
        attrs.get(key) for _, attrs in page.elements for key in ("src", "href", "xlink:href")
    ]
    assert {source[:5] for source in sources if source and source[0] != "#"} == {"data:"}
    assert not page.all("script")
    assert "url(" not in re.sub(r"url\(#", "", str(page.elements))


def test_says_what_must_be_said(page, run):
    scores = json.loads((run / "metrics.json").read_text())
    assert "SODA is reconstructed from its abstract" in page.text
    assert "weights are random" in page.text
    assert scores["protocol"] in page.text
    assert "Relevant: shares a label" in page.text
    for direction in scores["directions"].values():
        assert f"{direction['map']:.3f}" in page.text
    assert f"{scores['chance']:.3f}" in page.text
    assert 'method = "soda"' in page.text
    assert "Stage 1: teacher" in page.text
    assert "Stage 2: student" in page.text


def test_panels_show_the_nearest_items(page, run, shapes):
    dataset, codes = data.load("manifest", path=shapes), load_run(run).codes("image")
    panels = page.all("section", **{"class": "panel"})
    assert len(panels) == 20
    pictures = [attrs["alt"] for attrs in page.all("img") if attrs["width"] == "128"]
    assert len(pictures) == 200
    database = dataset.splits["database"]
    rows = np.random.default_rng(0).permutation(dataset.splits["query"])[-10:]
    found = hamming.topk(codes[rows], codes[database], 10).indices
    assert pictures[100:] == [dataset.texts[i] for i in database[found].ravel()]


def test_relevance_is_a_border_and_words(page):
    relevant = len(page.all("li", **{"class": "hit relevant"}))
    other = len(page.all("li", **{"class": "hit other"}))
    assert relevant + other == 200
    assert min(relevant, other) > 0
    marks = [a["title"] for a in page.all("div", **{"class": "mark"})]
    assert sum(mark.startswith("shares: ") for mark in marks) == relevant
    assert marks.count("shares no label") == other


def test_texts_are_escaped(page):
    assert not page.all("b")
    assert "<b>bold</b> & red" in page.text + str(page.elements)


def test_same_seed_same_page(run):
    one = write_report(run, run / "1.html").read_bytes()
    assert write_report(run, run / "2.html").read_bytes() == one
    assert write_report(run, run / "3.html", seed=1).read_bytes() != one


def test_another_method_has_another_note(run):
    config = run / "config.toml"
    config.write_text(config.read_text().replace('method = "soda"', 'method = "no_teacher"'))
    page = Page(write_report(run, run / "report.html").read_text(encoding="utf-8"))
    assert "reconstructed" not in page.text
    assert "The ablation without a teacher" in page.text


@pytest.mark.parametrize("method", get_args(get_type_hints(TrainConfig)["method"]))
def test_every_method_has_a_title_and_an_honest_sentence(method):
    if method in image_encoder.METHODS:
        title, note = TITLES[method], NOTES[method]
    else:
        title, note = METHODS[method]
        assert isinstance(settings_of(TrainConfig(method=method)), dict)
    assert title
    assert note.endswith(".")


def test_a_repeated_fault_of_the_authors_code_is_told(run):
    metrics, config = run / "metrics.json", run / "config.toml"
    config.write_text(config.read_text().replace('method = "soda"', 'method = "skdch"'))
    metrics.write_text(metrics.read_text().replace('"soda"', '"skdch (authors_leak)"'))
    page = Page(write_report(run, run / "report.html").read_text(encoding="utf-8"))
    assert "For audit, this run is skdch (authors_leak): it repeats a fault of that co" in page.text
    assert "Against that code, the majority vote is mended." in page.text
    assert "closed" not in page.text
    metrics.write_text(metrics.read_text().replace(" (authors_leak)", ""))
    page = Page(write_report(run, run / "report.html").read_text(encoding="utf-8"))
    assert "the leak of hidden labels is closed and the majority vote is mended." in page.text


def test_a_damaged_evaluation_is_one_sentence(run):
    (run / "metrics.json").write_text('{"n_bits": 1')
    with pytest.raises(ValueError, match=r"metrics\.json as it was written, got a damaged file"):
        write_report(run, run / "report.html")


def test_a_curve_has_the_epochs_that_have_the_term():
    def epoch(i, stage, **terms):
        return {"stage": stage, "epoch": i, "loss": 2.0, "terms": terms, "seconds": 1}

    records = [
        *(epoch(i, "pretraining", ranking=1.0, partner=1.0) for i in (1, 2)),
        *(epoch(i, "adversarial", choice=1.0 / i) for i in (1, 2, 4, 5)),
        *(epoch(i, "adversarial", ranking=2.0, partner=1.0) for i in (3, 6)),
    ]
    first, second = stages(records, asdict(SkdchConfig()))
    assert second.summary == "6 epochs, 6 s"
    (_, plain), (_, figure) = first.figures[0], second.figures[0]
    curves = re.findall(r'<path d="(M[^"]*)" clip-path[^>]*stroke: #[^"]*"', figure)
    # Sum and term of four epochs, then sum and two terms of two.
    assert [len(re.findall(r"[ML]", curve)) for curve in curves] == [4, 4, 2, 2, 2]
    names = [">choice<", ">ranking<", ">partner (weight 0.1)<", ">weighted sum: choice<"]
    assert all(name in figure for name in [*names, ">weighted sum: ranking, partner<"])
    assert ">weighted sum<" in plain


def test_a_fine_tuned_run_says_so(run, page):
    assert "only hash heads are trained" in page.text
    config = run / "config.toml"
    config.write_text(config.read_text().replace('mode = "frozen"', 'mode = "finetune"'))
    tuned = Page(write_report(run, run / "report.html").read_text(encoding="utf-8"))
    assert "only hash heads are trained" not in tuned.text
    assert "its towers are trained together with the hash heads" in tuned.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.toml", r"^run: expected a run folder"),
        ("metrics.json", r"^run: expected an evaluated run in .+, got one without metrics\.json; "),
        ("metrics.jsonl", r"^run: expected a finished run in .+ without metrics\.jsonl; "),
        ("codes/text.npy", r"^run: expected a finished run in .+ without codes/text\.npy; "),
    ],
)
def test_incomplete_run_writes_nothing(run, name, message):
    (run / name).unlink()
    with pytest.raises(ValueError, match=message):
        write_report(run, run / "report.html")
    assert not list(run.glob("*report*"))


def test_search_page(tmp_path):
    picture = thumbnail(Image.new("RGB", (300, 100), "red"))
    cards = [Card(picture, f"no. {i}", i) for i in range(3)]
    out = write_search_page(
        tmp_path / "new" / "page.html", Panel("<i>", None, (), cards), lead="1."
    )
    page = Page(out.read_text(encoding="utf-8"))
    assert len(page.all("li", **{"class": "hit unjudged"})) == 3
    assert "“<i>”" in page.text
    assert not page.all("i")
    assert "✗" not in page.text


def test_thumbnail_is_small_and_keeps_the_shape():
    image = Image.new("RGB", (300, 100), "red")
    encoded = thumbnail(image).removeprefix("data:image/webp;base64,")
    small = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert small.size == (128, 43)
    assert image.size == (300, 100)


def test_figures_follow_the_page_and_share_no_id():
    curves = {"a": ([1, 2], [3.0, 2.0]), "b": ([1, 2], [0.5, 0.1])}
    drawn = [
        figures.loss_curves("teacher", curves),
        figures.loss_curves("student", {"zero": ([1, 2], [0.0, -1.0])}),
        figures.validation_curves("teacher", curves),
        figures.precision_recall_curves(curves, chance=0.1),
        figures.precision_at_curves(curves, chance=0.1),
    ]
    ids = []
    for svg in drawn:
        root = ET.fromstring(svg)
        assert root.get("aria-label")
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "var(--ink)" in svg
        assert "#0" not in svg
        ids += [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
