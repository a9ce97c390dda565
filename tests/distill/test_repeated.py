"""Runs on several splits: their settings, what is refused at once, and the spread."""

import dataclasses
import json
import shutil
import statistics
from pathlib import Path

import pytest

from distill import checkpoint, repeated, train
from distill.config import (
    DataConfig,
    EncoderConfig,
    HeadConfig,
    OptimConfig,
    TrainConfig,
    config_to_toml,
)
from distill.evaluation import Evaluation
from distill.types import DistillError


@pytest.fixture
def config(shapes: Path, tmp_path: Path) -> TrainConfig:
    """A run on the drawn shapes without the split they come with."""
    manifest = shapes.parent / "unsplit.jsonl"
    lines = [json.loads(line) for line in shapes.read_text().splitlines()]
    kept = [{key: value for key, value in line.items() if key != "split"} for line in lines]
    manifest.write_text("\n".join(map(json.dumps, kept)))
    return TrainConfig(
        bits=8,
        run=tmp_path / "run",
        data=DataConfig(name="manifest", path=manifest, split_seed=3),
        encoder=EncoderConfig(teacher="tiny", pretrained="random", cache=tmp_path / "cache"),
        head=HeadConfig(hidden=8),
        optim=OptimConfig(epochs=1, batch_size=16),
    )


def test_each_run_has_a_seed_and_a_folder(config: TrainConfig) -> None:
    found = repeated.split_configs(config, 3)
    assert [each.data.split_seed for each in found] == [3, 4, 5]
    assert [each.run_folder.name for each in found] == ["split-3", "split-4", "split-5"]
    assert {each.run_folder.parent for each in found} == {config.run_folder}
    data = DataConfig(name="dcmh", protocol="mirflickr-mith")
    published = repeated.split_configs(dataclasses.replace(config, data=data), 2)
    assert [each.data.split_seed for each in published] == [1, 2]
    with pytest.raises(DistillError, match="n-splits: expected at least 1, got 0"):
        repeated.split_configs(config, 0)


def test_data_with_a_split_of_their_own_are_refused(config: TrainConfig, shapes: Path) -> None:
    fixed = dataclasses.replace(config, data=DataConfig(name="manifest", path=shapes))
    configs = repeated.split_configs(fixed, 2)
    with pytest.raises(DistillError, match="n-splits: expected data whose split is drawn at"):
        repeated.check_splits(configs, resume=False, overwrite=False)


def test_the_command_trains_all_and_prints_the_spread(
    config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Paths as people type them: what is resumed was written with whole ones.
    assert config.data.path is not None
    monkeypatch.chdir(config.data.path.parent)
    data = dataclasses.replace(config.data, path=Path(config.data.path.name))
    config = dataclasses.replace(config, data=data)
    preset = tmp_path / "mine.toml"
    preset.write_text(config_to_toml(config))
    arguments = ["--preset", str(preset), "--n-splits", "2"]
    train.main(arguments)
    printed = capsys.readouterr().out
    runs = [checkpoint.load_run(config.run_folder / f"split-{seed}") for seed in (3, 4)]
    scores = [Evaluation.from_json(run.metrics()).directions["image_to_text"] for run in runs]
    values = [score.map for score in scores]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    assert deviation > 0
    assert f"image → text  {mean:.3f} ± {deviation:.3f}" in printed.partition("MAP over 2")[2]
    with pytest.raises(SystemExit):
        train.main(arguments)
    assert "got the existing run" in capsys.readouterr().err
    train.main([*arguments, "--resume"])
    assert capsys.readouterr().out == printed
    shutil.rmtree(runs[0].path)
    runs[1].path.rename(runs[1].path.with_name(".split-4.old"))  # killed while it was replaced
    with pytest.raises(SystemExit):
        train.main(arguments)
    assert "got the existing run" in capsys.readouterr().err
    assert not runs[0].path.exists()  # refused before the first is trained
