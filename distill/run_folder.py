"""How a run folder begins: made anew, taken up again, or put in the place of an older run."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill import parallel
from distill.checkpoint import (
    CHECKPOINT,
    CODES,
    CONFIG,
    DATASET,
    ENCODER,
    METRICS,
    RECORDS,
    TEACHER,
    TEACHER_METRICS,
    WEIGHTS,
    Run,
)
from distill.config import (
    TrainConfig,
    config_to_toml,
    differing_keys,
    load_config,
    unstated_keys,
)
from distill.files import write_text
from distill.types import DistillError

_FILES = (
    CONFIG,
    RECORDS,
    METRICS,
    WEIGHTS,
    ENCODER,
    CHECKPOINT,
    DATASET,
    TEACHER,
    TEACHER_METRICS,
)


@contextmanager
def training(
    config: TrainConfig, *, resume: bool = False, overwrite: bool = False
) -> Iterator[Run]:
    """Make the run folder, or take up an existing one; a failure costs no finished run.

    A run that is overwritten lies aside as .NAME.old until the new one is finished. A new run that
    fails before its first checkpoint is removed, and the old one is in its place again. Of several
    processes the first does this, and the others get the same run.

    Args:
        config: is written to the folder.
        resume: an existing run of the same configuration is wanted or, if none exists, a new one.
        overwrite: an existing run is replaced; a folder that is no run never is.

    Raises:
        DistillError: the folder exists, or holds another configuration.
    """
    if parallel.rank() > 0:
        yield parallel.on_first(lambda: Run(config.run_folder, config))
        return
    restore_run(config)
    check_run(config, resume=resume, overwrite=overwrite)
    path = config.run_folder
    old = _aside(path)
    exists = _is_run(path)
    was_empty = path.is_dir() and not exists
    if exists and overwrite and not old.exists():
        path.rename(old)
    try:
        yield parallel.on_first(lambda: _make(config, resume=resume))
    except BaseException:
        if not (resume and exists) and not (path / CHECKPOINT).is_file():
            _remove(path, keep=was_empty)
            restore_run(config)
        raise
    if _is_run(old):
        shutil.rmtree(old)


def check_run(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuse what `training` would refuse, before the work that comes ahead of it.

    Raises:
        DistillError: the folder exists, or holds another configuration.
    """
    path = config.run_folder
    if resume and overwrite:
        raise DistillError("run: expected --resume or --overwrite, got both; leave one out")
    if not _is_run(path):
        if path.exists() and (not path.is_dir() or set(path.iterdir()) - set(_leftovers(path))):
            raise DistillError(f"run: expected a new folder or a run, got {path}; choose another")
    elif resume:
        _check_same(config, path)
    elif not overwrite:
        raise DistillError(
            f"run: expected a new folder, got the existing run {path}; "
            "give --resume, --overwrite or another --run"
        )
    elif path.is_symlink():
        raise DistillError(f"run: expected a folder to overwrite, got the link {path}; remove it")


def restore_run(config: TrainConfig) -> None:
    """Put back a run that was to be replaced by one that never came to be."""
    path = config.run_folder
    if not path.exists() and _is_run(_aside(path)):
        _aside(path).rename(path)


def _make(config: TrainConfig, *, resume: bool) -> Run:
    path = config.run_folder
    for file in _leftovers(path):
        file.unlink()
    if not (resume and _is_run(path)):
        if _is_run(path):
            shutil.rmtree(path)
        write_text(path / CONFIG, config_to_toml(config))
    return Run(path, config)


def _is_run(path: Path) -> bool:
    return (path / CONFIG).is_file()


def _aside(path: Path) -> Path:
    path = path.absolute()
    return path.with_name(f".{path.name}.old")


def _remove(path: Path, *, keep: bool) -> None:
    """Remove a run folder or, to keep one that was there and empty, all that is in it."""
    if not keep:
        shutil.rmtree(path, ignore_errors=True)
        return
    for item in path.iterdir():
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink()


def _leftovers(path: Path) -> list[Path]:
    """Temporary files of a training that was killed while it wrote."""
    names = "|".join(map(re.escape, _FILES))
    names += r"|.+\.npy|clusters-.+\.safetensors"
    temporary = re.compile(rf"\.({names})\.[0-9a-f]{{8}}\.partial")
    found = [*path.glob(".*"), *path.glob(f"{CODES}/.*")]
    return [file for file in found if temporary.fullmatch(file.name) and file.is_file()]


def _check_same(config: TrainConfig, path: Path) -> None:
    if keys := unstated_keys(path / CONFIG):
        raise DistillError(
            f"resume: expected a run of this version, got {path}, whose settings do not name "
            f"{', '.join(keys)}; train it anew with --overwrite"
        )
    if keys := differing_keys(config, load_config(path / CONFIG)):
        raise DistillError(
            f"resume: expected the configuration of {path}, got other values of "
            f"{', '.join(keys)}; repeat the run's own settings or choose another --run"
        )
