"""The evaluation command: tables, metrics.json, several seeds."""

import pytest

from distill import evaluate
from distill.evaluation import Evaluation


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


def test_table_fits_a_terminal_of_80_characters(run, capsys):
    evaluate.main([str(run)])
    assert "…" not in capsys.readouterr().out


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
