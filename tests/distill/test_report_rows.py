"""Rows of a comparison: which runs they hold, their figures, and pairs over several splits."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from distill import checkpoint, evaluate
from distill.evaluation import Evaluation
from distill.report import figures, write_comparison
from distill.report.compared import curves
from distill.report.groups import grouped, statement
from tests.distill.test_comparison import OTHER, SODA, cells, changed, opened, reference_precisions
from tests.distill.test_report import Page


def with_settings(entry, **settings):
    config = dataclasses.replace(entry.run.config, **settings)
    return dataclasses.replace(entry, run=checkpoint.Run(entry.run.path, config))


def with_soda(entry, **settings):
    return with_settings(entry, soda=dataclasses.replace(entry.run.config.soda, **settings))


def lines_of(figure):
    """Texts of the figure, and how each curve of the legend looks."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure)
    return [text.strip() for text in texts]


def test_eighteen_rows_are_told_apart_by_letters(run, shapes, tmp_path):
    first = opened([run], shapes)[0]
    odd = [with_soda(first, memory=n, template=f"$x_^{{}}$ {n}") for n in range(1, 18)]
    entries = distinct([first, *odd], tmp_path)
    groups = grouped(entries)
    assert len(groups) == 18
    for _, figure in curves(groups, "image_to_text"):  # a warning is an error
        texts = lines_of(figure)
        assert [text for text in texts if re.fullmatch("[A-R]", text)] == list("ABCDEFGHIJKLMNOPQR")
        assert "memory" not in figure
        styles = re.findall(r'style="(fill: none; [^"]*stroke: #[^"]*)"', figure)
        assert len(set(styles)) >= 18
    page = Page(write_comparison(entries, tmp_path / "out.html").read_text())
    assert len(page.all("dt")) == 18
    assert page.text.count("soda.memory 17 (") == 1


def test_a_dollar_is_a_dollar():
    figure = figures.precision_recall_curves({"$x_{$": ([0, 1], [1, 0])}, chance=0.5)
    assert "$x_{$" in lines_of(figure)


def test_chance_is_drawn_where_rows_share_it(runs_of_two, shapes):
    first, second = opened(runs_of_two, shapes)
    for _, figure in curves(grouped([first, second]), "image_to_text"):
        assert "chance" in lines_of(figure)
    scores = {
        name: dataclasses.replace(each, curve_precision=(*each.curve_precision[:-1], 0.1))
        for name, each in second.evaluation.directions.items()
    }
    evaluation = dataclasses.replace(second.evaluation, directions=scores)
    other = dataclasses.replace(second, evaluation=evaluation)
    for caption, figure in curves(grouped([first, other]), "image_to_text"):
        assert "chance" not in lines_of(figure)
        assert "no chance is drawn" in caption


@pytest.fixture
def runs_of_two(run, tmp_path):
    drawn = np.random.default_rng(5).integers(0, 256, (2, 48, 2), dtype=np.uint8)
    return [run, changed(run, tmp_path / "b", 0, "no_teacher", image=drawn[0], text=drawn[1])]


def on_another_split(entry, seed):
    """The run on a split whose first half of the database are the queries."""
    splits = entry.dataset.splits
    stored = splits["database"]
    splits = {**splits, "query": stored[: len(stored) // 2], "database": stored[len(stored) // 2 :]}
    data = dataclasses.replace(entry.run.config.data, split_seed=seed)
    moved = with_settings(entry, data=data)
    return dataclasses.replace(moved, dataset=dataclasses.replace(entry.dataset, splits=splits))


def by_query(entry):
    query, database = (entry.dataset.splits[name] for name in ("query", "database"))
    labels = entry.dataset.labels
    image, text = (np.load(entry.run.path / "codes" / f"{n}.npy") for n in ("image", "text"))
    return reference_precisions(text[query], image[database], labels[query], labels[database])


def test_several_splits_that_rows_share_are_paired(runs_of_two, run, shapes, tmp_path):
    second = changed(run, tmp_path / "second", 1, text=np.load(runs_of_two[1] / "codes/text.npy"))
    one, other, again = opened([*runs_of_two, second], shapes)
    elsewhere = [on_another_split(entry, 3) for entry in (one, other)]
    # Another order of splits, and a split with two seeds.
    entries = [one, elsewhere[1], other, again, elsewhere[0]]
    out = tmp_path / "out.md"
    entries = distinct(entries, tmp_path)
    _, rows = cells(write_comparison(entries, out).read_text(), f"Difference from {SODA}")
    parts = {
        one.dataset.fingerprint: by_query(other) - (by_query(one) + by_query(again)) / 2,
        elsewhere[0].dataset.fingerprint: by_query(elsewhere[1]) - by_query(elsewhere[0]),
    }
    paired = np.concatenate([parts[key] for key in sorted(parts)])
    drawn = np.random.default_rng(0).integers(len(paired), size=(10_000, len(paired)))
    low, high = np.quantile(paired[drawn].mean(axis=1), [0.025, 0.975])
    assert rows[OTHER][1].replace("\\", "") == f"{paired.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    assert "do not share one dataset" not in out.read_text()
    _, rows = cells(
        write_comparison(entries[:3] + entries[4:], out).read_text(), f"Difference from {SODA}"
    )
    assert rows[OTHER][1].startswith(("+", "\\-", "-"))
    _, rows = cells(
        write_comparison([entries[0], entries[2], entries[4]], out).read_text(),
        f"Difference from {SODA}",
    )
    assert rows[OTHER][1] == "several splits"


def distinct(entries, tmp_path):
    """The entries, each with a folder of its own."""
    found = []
    for i, entry in enumerate(entries):
        place = shutil.copytree(entry.run.path, tmp_path / f"own{i}")
        run = checkpoint.Run(place, entry.run.config)
        found.append(dataclasses.replace(entry, run=run))
    return found


def test_an_older_run_is_no_repetition(run, shapes, tmp_path):
    other = changed(run, tmp_path / "other", 1)
    text = (other / "config.toml").read_text()
    (other / "config.toml").write_text(re.sub(r"(?m)^normalize = .*\n", "", text))
    groups = grouped(opened([run, other], shapes))
    assert [group.label for group in groups] == [SODA, f"B{SODA[1:]} · older settings"]
    assert "seed 1, older than the settings soda.normalize, whose" in statement(groups)


def test_titles_and_notes_are_no_markdown(run, shapes, tmp_path):
    first = opened([run], shapes)[0]
    odd = [with_soda(first, template=text) for text in ("*a* {}", "<b> $ _{}_ #")]
    text = write_comparison(distinct(odd, tmp_path), tmp_path / "out.md").read_text()
    assert "soda.template \\<b\\> \\$ \\_{}\\_ \\# (\\*a\\* {} in A)" in text
    plain = [first, with_settings(first, method="no_teacher")]
    plain = distinct(plain[::-1], tmp_path / "more")
    text = write_comparison(plain, tmp_path / "out.md").read_text()
    assert "## Difference from A · no\\_teacher · 16 bits\n" in text
    assert "MAP minus that of A · no\\_teacher · 16 bits," in text


def test_the_runs_of_a_row_are_counted_as_runs(runs_of_two, capsys):
    evaluate.main([*map(str, runs_of_two)])
    printed = capsys.readouterr().out
    assert re.search(r"\brow +runs\b", printed)
    assert "seeds" not in printed.split("their seeds only")[-1]


def test_a_narrow_terminal_cuts_no_figure_of_many_rows(runs_of_two, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    evaluate.main([*map(str, runs_of_two)])
    printed = capsys.readouterr().out.split("their seeds only")[-1]
    rows = [line.split() for line in printed.splitlines() if line.startswith((" A · ", " B · "))]
    for run, row in zip(runs_of_two, rows, strict=True):
        scores = Evaluation.from_json((run / "metrics.json").read_text())
        maps = [each.map for each in scores.directions.values()]
        assert row[-5:] == [f"{value:.3f}" for value in (*maps, scores.chance)]


@pytest.mark.parametrize("place", ["missing/out.md", "file/out.md", "folder.md"])
def test_a_place_that_cannot_be_written_is_refused_first(run, tmp_path, capsys, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder.md").mkdir()
    (run / "metrics.json").unlink()
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(run), "--compare", str(tmp_path / place)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: compare: expected a file in a folder that can be written, got ")
    assert place in said
    assert not (run / "metrics.json").exists()
