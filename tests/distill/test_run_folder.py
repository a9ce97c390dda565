import dataclasses
from pathlib import Path

import numpy as np
import pytest

from distill import checkpoint, run_folder, train
from distill.config import DataConfig, HeadConfig, TrainConfig
from distill.types import DistillError
from tests.distill.started import start_run


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(run=tmp_path / "run", bits=16)


def test_an_existing_run_is_refused_or_replaced_or_taken_up(config: TrainConfig) -> None:
    run = start_run(config)
    (run.path / "metrics.json").write_text("{}")
    with pytest.raises(DistillError, match="give --resume, --overwrite or another --run"):
        start_run(config)
    assert start_run(config, resume=True) == run
    assert (run.path / "metrics.json").exists()
    start_run(config, overwrite=True)
    assert not (run.path / "metrics.json").exists()


def test_a_folder_that_is_no_run_is_never_touched(config: TrainConfig) -> None:
    folder = config.run_folder
    folder.mkdir()
    start_run(config)  # an empty folder is as good as none
    (folder / "config.toml").unlink()
    (folder / "thesis.tex").write_text("precious")
    for flags in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(DistillError, match="run: expected a new folder or a run"):
            start_run(config, **flags)
        with (
            pytest.raises(DistillError, match="run: expected a new folder or a run"),
            run_folder.training(config, **flags),
        ):
            pass
    assert (folder / "thesis.tex").read_text() == "precious"


def test_another_configuration_is_refused_by_its_keys(config: TrainConfig) -> None:
    start_run(config)
    other = dataclasses.replace(config, bits=32, head=HeadConfig(hidden=9))
    message = r"got other values of bits, head\.hidden; repeat the run's own settings"
    with pytest.raises(DistillError, match=message):
        start_run(other, resume=True)
    assert checkpoint.load_run(config.run_folder).config == config


def test_a_run_of_an_older_version_is_not_gone_on_with(config: TrainConfig) -> None:
    run = start_run(config)
    file = run.path / "config.toml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith("contrast =")))
    message = r"resume: expected a run of this version, .* name soda\.teacher\.contrast, "
    with pytest.raises(DistillError, match=message):
        start_run(config, resume=True)


class KilledError(Exception):
    pass


def fail(config: TrainConfig, *, saved: bool = False, **flags: bool) -> None:
    """Begin a training that dies before or after its first checkpoint."""

    def begin() -> None:
        with run_folder.training(config, **flags) as run:
            if saved:
                checkpoint.save_checkpoint(run, {})
            raise KilledError

    with pytest.raises(KilledError):
        begin()


def test_a_failure_before_the_first_checkpoint_leaves_nothing(config: TrainConfig) -> None:
    fail(config)
    assert not list(config.run_folder.parent.iterdir())
    fail(config, saved=True)
    assert config.run_folder.is_dir()
    fail(config, resume=True)
    assert (config.run_folder / checkpoint.CHECKPOINT).is_file()


def test_an_overwritten_run_is_kept_until_the_new_one_is_finished(config: TrainConfig) -> None:
    run = start_run(config)
    checkpoint.save_metrics(run, '"old"')
    fail(config, overwrite=True)
    assert run.metrics() == '"old"'
    fail(config, overwrite=True, saved=True)
    fail(config, overwrite=True)
    assert run.metrics() == '"old"'
    with run_folder.training(config, overwrite=True):
        checkpoint.save_metrics(run, '"new"')
    assert run.metrics() == '"new"'
    assert list(config.run_folder.parent.iterdir()) == [config.run_folder]


def test_a_run_that_was_only_laid_aside_comes_back(config: TrainConfig) -> None:
    run = start_run(config)
    run.path.rename(run.path.with_name(".run.old"))  # killed before the new run's first file
    run_folder.check_run(config)
    assert not run.path.exists()  # a check changes nothing
    with pytest.raises(DistillError, match="got the existing run"):
        start_run(config)
    assert checkpoint.load_run(run.path) == run
    run.path.rename(run.path.with_name(".run.old"))
    nowhere = DataConfig(name="manifest", path=run.path / "missing.jsonl")
    with pytest.raises(DistillError, match="got the existing run"):
        train.train(dataclasses.replace(config, data=nowhere))  # before it looks at the dataset
    assert checkpoint.load_run(run.path) == run


def test_an_empty_folder_outlives_a_failure(config: TrainConfig) -> None:
    folder = config.run_folder
    folder.mkdir()
    before = folder.stat().st_ino

    def begin() -> None:
        with run_folder.training(config) as run:
            checkpoint.save_codes(run, "image", np.zeros((2, 2), np.uint8), np.zeros((2, 16)))
            raise KilledError

    with pytest.raises(KilledError):
        begin()
    assert folder.stat().st_ino == before
    assert not list(folder.iterdir())


def test_resume_and_overwrite_exclude_each_other(config: TrainConfig) -> None:
    start_run(config)
    with pytest.raises(DistillError, match="expected --resume or --overwrite, got both"):
        start_run(config, resume=True, overwrite=True)


def test_temporary_files_of_a_killed_run_are_cleared(config: TrainConfig) -> None:
    folder = config.run_folder
    folder.mkdir()
    (folder / ".config.toml.abcd0123.partial").write_text("half")
    run = start_run(config)
    (folder / "codes").mkdir()
    for name in (
        ".checkpoint.pt.abcd0123.partial",
        ".encoder.safetensors.abcd0123.partial",
        ".clusters-0f.safetensors.abcd0123.partial",
        "codes/.image.npy.abcd0123.partial",
        ".pseudo_labels.npy.abcd0123.partial",
        ".notes",
    ):
        (folder / name).write_text("half")
    start_run(config, resume=True)
    left = {file.name for file in run.path.rglob("*") if file.is_file()}
    assert left == {"config.toml", ".notes"}


def test_a_link_to_a_run_is_not_overwritten(config: TrainConfig, tmp_path: Path) -> None:
    start_run(dataclasses.replace(config, run=tmp_path / "elsewhere"))
    config.run_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DistillError, match="run: expected a folder to overwrite, got the link"):
        run_folder.check_run(config, overwrite=True)
