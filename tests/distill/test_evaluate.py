"""The evaluation command: tables, metrics.json, several seeds."""

import errno
import json
import shutil

import pytest

from distill import evaluate
from distill.evaluation import Evaluation
from distill.metrics.scores import direction_label
from distill.report import write_report
from distill.retriever import Retriever


def test_one_run(run, capsys):
    before = (run / "metrics.json").read_text()
    (run / "metrics.json").unlink()
    evaluate.main([str(run)])
    written = Evaluation.from_json((run / "metrics.json").read_text())
    assert written.directions == Evaluation.from_json(before).directions
    assert written.method == "soda"
    assert written.backbone == "tiny, RANDOM weights, frozen"
    assert written.seed == 0
    printed = capsys.readouterr().out
    for name in ("image → text", "text → image", "image → image", "text → text", "chance"):
        assert name in printed
    assert f"{written.directions['image_to_text'].map:.3f}" in printed
    assert "±" not in printed
    assert not (run / "report.html").exists()


def test_a_narrow_terminal_cuts_no_figure_and_no_name(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    evaluate.main([str(run)])
    lines = capsys.readouterr().out.splitlines()
    scores = Evaluation.from_json((run / "metrics.json").read_text()).directions
    for name, direction in scores.items():
        line = next(line for line in lines if line.strip().startswith(direction_label(name)))
        shown = line.removeprefix(f" {direction_label(name)}").split()
        assert shown[0] == f"{direction.map:.3f}"
        assert shown[-1] == f"{direction.lookup_radius_2:.3f}"


def test_runs_of_other_settings_are_no_repetition(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "other")
    config = (other / "config.toml").read_text()
    (other / "config.toml").write_text(
        config.replace("gap = 1.0", "gap = 0.0").replace("seed = 0", "seed = 1", 1)
    )
    evaluate.main([str(run), str(other)])
    printed = capsys.readouterr().out.split("in their seeds only.")[-1]
    assert "chance" in printed
    assert "±" not in printed


def test_several_runs_and_reports(run, tmp_path, capsys):
    other = tmp_path / "other"
    run.rename(other)
    for seed in (1, 2):
        (tmp_path / f"{seed}").mkdir()
        for file in other.rglob("*.*"):
            target = tmp_path / f"{seed}" / file.relative_to(other)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
        config = tmp_path / f"{seed}" / "config.toml"
        config.write_text(config.read_text().replace("seed = 0", f"seed = {seed}", 1))
    evaluate.main([str(tmp_path / "1"), str(tmp_path / "2"), "--report"])
    assert "±0.000" in capsys.readouterr().out
    for seed in (1, 2):
        written = Evaluation.from_json((tmp_path / f"{seed}" / "metrics.json").read_text())
        assert written.seed == seed
        assert (tmp_path / f"{seed}" / "report.html").is_file()


def test_misuse(run, tmp_path, capsys):
    for arguments in ([], [str(tmp_path / "none")], [str(run), str(tmp_path / "none")]):
        with pytest.raises(SystemExit) as caught:
            evaluate.main(arguments)
        assert caught.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def test_user_text_is_no_markup(run, capsys):
    named = run.rename(run.parent / "[red]x:dog:")
    evaluate.main([str(named), "--report"])
    printed = capsys.readouterr().out.replace("\n", "")
    assert printed.count("[red]x:dog:") == 2


@pytest.mark.parametrize("link", [True, False])
def test_no_run_counts_twice(run, tmp_path, capsys, link):
    other = tmp_path / "other"
    if link:
        other.symlink_to(run)
    else:
        shutil.copytree(run, other)
    (run / "metrics.json").unlink()
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(run), str(other)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: runs: expected ")
    assert f"got {run} and {other}, " in said
    assert not (run / "metrics.json").exists()


def test_scores_are_shown_where_they_cannot_be_kept(run, capsys, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "metrics.json")

    monkeypatch.setattr(evaluate, "save_metrics", refuse)
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(run)])
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert "MAP" in said.out
    assert said.err == "error: metrics.json: Read-only file system\n"


def change_labels(run, shapes, tmp_path):
    """Point the run to a copy of its dataset with the labels of two items exchanged."""
    lines = [json.loads(line) for line in shapes.read_text().splitlines()]
    lines[0]["labels"], lines[1]["labels"] = lines[1]["labels"], lines[0]["labels"]
    for line in lines:
        line["image"] = str(shapes.parent / line["image"])
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join(map(json.dumps, lines)))
    config = (run / "config.toml").read_text()
    assert str(shapes) in config
    (run / "config.toml").write_text(config.replace(str(shapes), str(changed)))


def test_a_changed_dataset_is_refused(run, shapes, tmp_path, capsys):
    change_labels(run, shapes, tmp_path)
    before = (run / "metrics.json").read_text()
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(run)])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: dataset: expected ")
    assert (run / "metrics.json").read_text() == before
    with pytest.raises(ValueError, match=r"^dataset: expected "):
        write_report(run, tmp_path / "report.html")
    with pytest.raises(ValueError, match=r"^dataset: expected "):
        Retriever.load(run)


@pytest.mark.parametrize("damage", ["missing", "codes"])
def test_nothing_is_written_when_one_run_is_wrong(run, tmp_path, capsys, damage):
    other = tmp_path / "other"
    if damage == "codes":
        shutil.copytree(run, other)
        (other / "codes" / "text.npy").unlink()
        config = (other / "config.toml").read_text()
        (other / "config.toml").write_text(config.replace("seed = 0", "seed = 1", 1))
    (run / "metrics.json").unlink()
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(run), str(other)])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: run: expected ")
    assert not (run / "metrics.json").exists()


def test_the_label_share_of_the_texts_is_reported(run, capsys):
    evaluate.main([str(run), "--report"])
    share = "100.0 % of the texts contain one of their labels"
    assert share in " ".join(capsys.readouterr().out.split())
    assert share in (run / "report.html").read_text()
    assert share in Evaluation.from_json((run / "metrics.json").read_text()).protocol
