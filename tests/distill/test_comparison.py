"""Several runs beside each other: rows, intervals, figures, and the same queries' hits."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

import hamming
from distill import checkpoint, data, evaluate
from distill.config import DataConfig, ImagesConfig, TrainConfig
from distill.data.images import NoImages
from distill.evaluation import Evaluation
from distill.report import Entry, write_comparison, write_report
from distill.report.groups import grouped
from tests.distill.started import start_run
from tests.distill.test_report import Page

SODA, OTHER = "A · soda · 16 bits", "B · no_teacher · 16 bits"


def reference_precisions(query_codes, db_codes, query_labels, db_labels):
    """Average precision of each query; equal distances by index."""
    found = []
    for code, label in zip(query_codes, query_labels, strict=True):
        distances = np.unpackbits(code ^ db_codes, axis=1).sum(axis=1, dtype=int)
        order = sorted(range(len(db_codes)), key=lambda i, d=distances: (d[i], i))
        hits = [bool((db_labels[i] & label).any()) for i in order]
        ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
        found.append(np.mean([n / rank for n, rank in enumerate(ranks, start=1)]) if ranks else 0)
    return np.array(found)


def changed(run, to, seed, method="soda", **codes):
    """A copy of a run with another seed and method, and other codes."""
    shutil.copytree(run, to)
    text = (to / "config.toml").read_text()
    text = text.replace('method = "soda"', f'method = "{method}"')
    (to / "config.toml").write_text(text.replace("seed = 0", f"seed = {seed}", 1))
    for modality, array in codes.items():
        np.save(to / "codes" / f"{modality}.npy", array)
    return to


@pytest.fixture
def runs(run, tmp_path):
    """Two seeds of a method, of which the second has random texts, and one run of another."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 256, (48, 2), dtype=np.uint8) for _ in range(3)]
    return [
        run,
        changed(run, tmp_path / "second", 1, text=drawn[0]),
        changed(run, tmp_path / "third", 0, "no_teacher", image=drawn[1], text=drawn[2]),
    ]


def cells(text, title):
    """The rows of a Markdown table, by their first cell."""
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    section = {name.replace("\\", ""): part for name, part in sections.items()}[title]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return split[0], {row[0].replace("\\", ""): row[1:] for row in split[2:]}


def test_tables(runs, tmp_path, capsys):
    out = tmp_path / "out.md"
    evaluate.main([*map(str, runs), "--compare", str(out)])
    assert str(out) in capsys.readouterr().out
    text = out.read_text()
    scores = [Evaluation.from_json((run / "metrics.json").read_text()).directions for run in runs]
    maps = [each["image_to_text"].map for each in scores]
    columns, rows = cells(text, "MAP")
    assert columns[:4] == ["row", "runs", "image → text", "text → image"]
    assert list(rows) == [SODA, OTHER]
    assert rows[SODA][:2] == ["2", f"{np.mean(maps[:2]):.3f} ± {np.std(maps[:2], ddof=1):.3f}"]
    assert rows[OTHER][:2] == ["1", f"{maps[2]:.3f}"]
    columns, rows = cells(text, "Queries → database: text → image")
    assert columns == ["row", "MAP", "MAP tie mean", "P@10", "P r≤2"]
    lookups = [each["text_to_image"].lookup_radius_2 for each in scores[:2]]
    assert rows[SODA][-1] == f"{np.mean(lookups):.3f} ± {np.std(lookups, ddof=1):.3f}"


def test_both_meanings_of_map_at_k(runs, shapes):
    entries = opened(runs, shapes)
    wide = [
        dataclasses.replace(e, evaluation=_with_depths(e.evaluation, i))
        for i, e in enumerate(entries)
    ]
    out = write_comparison(wide, runs[0] / "out.md")
    columns, rows = cells(out.read_text(), "Queries → database: image → text")
    assert columns[3:5] == ["MAP @50", "MAP 50 rel."]
    assert rows[SODA][2:4] == ["0.150 ± 0.071", "0.650 ± 0.071"]


def _with_depths(evaluation, i):
    at = {"rank": {50: 0.1 + i / 10}, "relevant": {50: 0.6 + i / 10}}
    scores = {
        name: dataclasses.replace(each, map_at=at) for name, each in evaluation.directions.items()
    }
    return dataclasses.replace(evaluation, n_database=60, directions=scores)


def opened(runs, shapes):
    dataset = data.load("manifest", path=shapes)
    loaded = [checkpoint.load_run(run) for run in runs]
    return [Entry(run, dataset, evaluate._evaluated(run, dataset)) for run in loaded]


def test_differences_are_paired_over_queries(runs, shapes, tmp_path):
    out = tmp_path / "out.md"
    evaluate.main([*map(str, runs), "--compare", str(out)])
    _, rows = cells(out.read_text(), f"Difference from {SODA}")
    dataset = data.load("manifest", path=shapes)
    query, database = dataset.splits["query"], dataset.splits["database"]
    precisions = []
    for run in runs:
        image, text = (np.load(run / "codes" / f"{name}.npy") for name in ("image", "text"))
        labels = dataset.labels[query], dataset.labels[database]
        precisions.append(reference_precisions(text[query], image[database], *labels))
    paired = precisions[2] - np.mean(precisions[:2], axis=0)
    rng = np.random.default_rng(0)
    means = paired[rng.integers(len(paired), size=(10_000, len(paired)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert list(rows) == [OTHER]
    assert rows[OTHER][1].replace("\\", "") == f"{paired.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def test_every_table_states_what_its_numbers_depend_on(runs, tmp_path):
    for name in ("out.md", "out.html"):
        evaluate.main([*map(str, runs), "--compare", str(tmp_path / name)])
    markdown = (tmp_path / "out.md").read_text().replace("\\", "")
    page = Page((tmp_path / "out.html").read_text())
    n_tables = len(page.all("table"))
    assert n_tables == 6  # MAP, differences, four directions
    protocol = json.loads((runs[0] / "metrics.json").read_text())["protocol"].rstrip(".")
    for part in (
        protocol,
        "12 queries",
        "16 bits, seeds 0, 1",
        "RANDOM weights, frozen",
        "equal distances in database order",
        "first k relevant items wherever they rank",
    ):
        assert markdown.count(part) >= n_tables
        assert page.text.count(part) >= n_tables


def test_page_holds_all_and_the_same_queries(runs, shapes, tmp_path):
    out = tmp_path / "out.html"
    evaluate.main([*map(str, runs), "--compare", str(out)])
    page = Page(out.read_text(encoding="utf-8"))
    sources = [a.get(key) for _, a in page.elements for key in ("src", "href", "xlink:href")]
    assert {source[:5] for source in sources if source and source[0] != "#"} == {"data:"}
    assert len(page.all("figure")) == 8  # two of each direction
    assert not page.all("b")
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    dataset = data.load("manifest", path=shapes)
    rows = np.random.default_rng(0).permutation(dataset.splits["query"])[:6]
    database = dataset.splits["database"]
    pictures = [a["alt"] for a in page.all("img") if a["width"] == "128"]
    shown = iter(pictures)
    for row in rows:  # text queries come first
        for run in (runs[0], runs[2]):
            text, image = (np.load(run / "codes" / f"{name}.npy") for name in ("text", "image"))
            found = database[hamming.topk(text[row], image[database], 10).indices]
            assert [next(shown) for _ in found] == [dataset.texts[i] for i in found]
    assert len(pictures) == 2 * 6 * 2 * 10
    marked = len(page.all("li", **{"class": "hit relevant"}))
    assert marked + len(page.all("li", **{"class": "hit other"})) == len(pictures)
    assert marked == sum(map(int, re.findall(r"(\d+) of 10 relevant", page.text)))
    assert "no_teacher" in page.text


def test_same_runs_same_page(runs, shapes, tmp_path):
    entries = opened(runs, shapes)
    one = write_comparison(entries, tmp_path / "1.html").read_bytes()
    assert write_comparison(entries, tmp_path / "2.html").read_bytes() == one
    assert write_comparison(entries, tmp_path / "3.html", seed=1).read_bytes() != one


def test_other_queries_are_not_compared(runs, shapes, tmp_path):
    entries = opened(runs, shapes)
    dataset = entries[0].dataset
    splits = {**dataset.splits, "query": dataset.splits["query"][:4]}
    entries[2] = dataclasses.replace(
        entries[2], dataset=dataclasses.replace(dataset, splits=splits)
    )
    text = write_comparison(entries, tmp_path / "out.md").read_text()
    assert cells(text, f"Difference from {SODA}")[1][OTHER] == ["other queries"] * 4
    assert "do not share one dataset and split" in text
    page = Page(write_comparison(entries, tmp_path / "out.html").read_text())
    assert "do not share one dataset and split" in page.text
    entries[1] = dataclasses.replace(entries[1], dataset=entries[2].dataset)
    text = write_comparison(entries, tmp_path / "out.md").read_text()
    assert cells(text, f"Difference from {SODA}")[1][OTHER] == ["several splits"] * 4


def test_groups_differ_in_seeds_alone(runs, shapes):
    first, second, third = opened(runs, shapes)
    config = first.run.config

    def entry(**settings):
        return dataclasses.replace(
            first, run=checkpoint.Run(first.run.path, dataclasses.replace(config, **settings))
        )

    other_split = dataclasses.replace(config.data, split_seed=7)
    other_text = dataclasses.replace(config.data, text="scrubbed")
    groups = grouped([first, third, second, entry(data=other_split), entry(data=other_text)])
    assert [len(group.entries) for group in groups] == [3, 1, 1]
    assert [group.label for group in groups] == [SODA, OTHER, f"C{SODA[1:]} · text scrubbed"]
    assert groups[0].made_by.endswith(", seeds 0, 1, split seeds default, 7")


def test_one_run(run, tmp_path):
    out = tmp_path / "out.md"
    evaluate.main([str(run), "--compare", str(out)])
    assert "Difference" not in out.read_text()
    assert "±" not in "".join(cells(out.read_text(), "MAP")[1][SODA])


@pytest.mark.parametrize("name", ["out.pdf", "out"])
def test_another_kind_of_file_is_refused_before_anything_is_written(run, tmp_path, capsys, name):
    (run / "metrics.json").unlink()
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(run), "--compare", str(tmp_path / name)])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: compare: expected a file that ends in .html")
    assert not (run / "metrics.json").exists()


def without_pictures(runs, shapes):
    """The dataset as features alone, without texts, and the runs as runs of it."""
    dataset = data.load("manifest", path=shapes)
    names = tuple(f"row {i}" for i in range(len(dataset)))
    features = {name: np.ones((len(dataset), 3), np.float32) for name in ("image", "text")}
    bare = dataclasses.replace(
        dataset, images=NoImages(names), texts=("",) * len(dataset), features=features
    )
    for run in runs:
        checkpoint.save_dataset(checkpoint.load_run(run), bare)
    return bare


def test_a_dataset_without_pictures_shows_names(runs, shapes, tmp_path, monkeypatch):
    bare = without_pictures(runs, shapes)
    entries = [dataclasses.replace(entry, dataset=bare) for entry in opened(runs, shapes)]
    monkeypatch.setattr(data, "load", lambda **_: bare)
    for out in (
        write_comparison(entries, tmp_path / "out.html"),
        write_report(runs[0], tmp_path / "report.html"),
    ):
        page = Page(out.read_text())
        assert not page.all("img")
        row = np.random.default_rng(0).permutation(bare.splits["query"])[0]
        assert f"“row {row}”" in page.text
        assert len(page.all("li", **{"class": "hit relevant"})) > 0


def image_run(path, method, seed, shapes, teacher=None):
    """A run folder of a method that hashes images, with random codes."""
    config = TrainConfig(
        method=method,
        bits=16,
        seed=seed,
        run=path,
        data=DataConfig(name="manifest", path=shapes),
        images=ImagesConfig(teacher_run=teacher),
    )
    run = start_run(config)
    rng = np.random.default_rng([seed, len(method)])
    checkpoint.save_dataset(run, data.load("manifest", path=shapes))
    for model in ("teacher", "student") if method == "brcd" else ("teacher",):
        codes = rng.integers(0, 256, (48, 2), dtype=np.uint8)
        checkpoint.save_codes(run, model, codes, np.zeros((48, 16), np.float32))
    return path


def test_runs_that_hash_images_alone(tmp_path, shapes):
    teachers = [image_run(tmp_path / f"t{seed}", "cibhash", seed, shapes) for seed in (0, 1)]
    teachers.append(image_run(tmp_path / "b", "bihalf", 0, shapes))
    students = [
        image_run(tmp_path / f"s{i}", "brcd", i, shapes, teacher)
        for i, teacher in enumerate(teachers)
    ]
    out = tmp_path / "out.html"
    evaluate.main([*map(str, [*students, teachers[0]]), "--compare", str(out)])
    page = Page(out.read_text())
    assert page.text.count("student → teacher") > 1
    evaluate.main([*map(str, [*students, teachers[0]]), "--compare", str(tmp_path / "out.md")])
    columns, rows = cells((tmp_path / "out.md").read_text(), "MAP")
    assert columns[2:5] == ["student → student", "student → teacher", "teacher → teacher"]
    ours, other, teacher = rows
    assert [rows[name][0] for name in (ours, other, teacher)] == ["2", "1", "1"]
    assert "bihalf" not in ours
    assert other == "B · brcd · 16 bits · teacher_run b"
    assert rows[teacher][1:3] == ["-", "-"]
    missing = cells((tmp_path / "out.md").read_text(), f"Difference from {ours}")[1][teacher]
    assert missing[:2] == ["-", "-"]
    assert re.fullmatch(r"[+-]\d.*", missing[2])
