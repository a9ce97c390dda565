"""What the commands of the bench share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def parser(prog: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring.

    Args:
        prog: the file, as it is called.
        doc: a summary, and after an empty line the rest.
    """
    summary, _, rest = (doc or "").partition("\n\n")
    return argparse.ArgumentParser(
        prog=prog,
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def record_path(options: object, defaults: object, usual: Path, sizes: Sequence[str] = ()) -> Path:
    """Where a record goes, found out before minutes of measuring and not after.

    Args:
        options: of the command; `out` is the file that was asked for, or None.
        defaults: the same options where none is given.
        usual: the file where none is asked for; pages are made of it.
        sizes: options that make a record another one than the usual.

    Raises:
        ValueError: a size was given without `out`, or the file cannot be written.
    """
    out: Path | None = getattr(options, "out", None)
    for name in sizes if out is None else ():
        if getattr(options, name) != getattr(defaults, name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option}: expected --out as well, got none; {usual.name} is for the usual sizes"
            )
    path = out or usual
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(f"--out: expected a file that can be written, got {path}")
    return path


def parsed_path(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    usual: Path,
    sizes: Sequence[str] = (),
) -> Path:
    """`record_path` of a parser's options; its errors end the command with status 2."""
    defaults = argparse.Namespace(**{name: parser.get_default(name) for name in sizes})
    try:
        return record_path(options, defaults, usual, sizes)
    except ValueError as error:
        parser.error(str(error))
