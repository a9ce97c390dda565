"""Packed codes of new images or texts by a trained run: `python -m distill.encode`."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import hamming
from distill import image_encoder
from distill.checkpoint import load_run
from distill.command import one_sentence
from distill.data.imagefolder import EXTENSIONS
from distill.data.text import is_unicode
from distill.encoders import Encoder, load_encoder
from distill.files import write_array, write_text
from distill.heads import build_heads, head_output
from distill.image_encoder import ImageEncoder
from distill.progress import progress_bar
from distill.retriever import open_image
from distill.types import DistillError


@dataclass(frozen=True)
class Encode:
    """Encode images or texts with a trained run and write their packed codes.

    Row i of the result is item i; for images a list of the files, one a line, lies beside it.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder, as written by python -m distill.train."""
    images: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR|FILE ...")] = ()
    """Image files, and folders whose image files are taken in alphabetical order."""
    texts: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """A UTF-8 file with one text a line."""
    model: Annotated[
        Literal["student", "teacher"] | None,
        tyro.conf.arg(constructor=str, metavar="student|teacher", help_behavior_hint=""),
    ] = None
    """Which model of a run that hashes images alone; without it the student, where there is one."""
    modality: Annotated[
        str | None,
        tyro.conf.arg(name="as", constructor=str, metavar="MODALITY", help_behavior_hint=""),
    ] = None
    """Encode as this modality of the run; without it pictures are images and lines are texts."""
    out: Path = Path("codes.npy")
    """The result: uint8 (n_items, n_bytes), bit = h > 0, as hamming.pack lays it out."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What to do with an image that cannot be read; skip names it."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace an existing result."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        options = tyro.cli(Encode, args=arguments, prog="python -m distill.encode")
        n = encode(options)
        print(f"{n} codes in {options.out}")


def encode(options: Encode) -> int:
    """Encode, write the codes and return their number.

    Raises:
        DistillError: an option or an item is not as described; nothing is written then.
        OSError: a file cannot be read or written.
    """
    if bool(options.images) == bool(options.texts):
        raise DistillError("encode: expected either --images or --texts, got both or none")
    if options.out.suffix != ".npy":
        raise DistillError(f"out: expected a name that ends in .npy, got {options.out}")
    results = [options.out, *([_listing(options.out)] if options.images else [])]
    existing = [str(file) for file in results if file.exists()]
    if existing and not options.overwrite:
        raise DistillError(
            f"out: expected a new file, got the existing {' and '.join(existing)}; "
            "give --overwrite or another --out"
        )
    names: list[str] = []
    codes = _encode_texts(options) if options.texts else _encode_images(options, names)
    packed: NDArray[np.uint8] = hamming.pack(codes.numpy())
    _write(options.out, packed, names)
    return len(packed)


def _encode_texts(options: Encode) -> Tensor:
    run = load_run(options.run)
    if run.config.method in image_encoder.METHODS:
        raise DistillError(
            f"texts: expected a run that encodes texts, got the {run.config.method} run "
            f"{run.path}, which encodes images alone; give --images"
        )
    if options.model is not None:
        raise DistillError(f"model: expected none for a {run.config.method} run; leave it out")
    modality = options.modality or "text"
    run.check_encodes(modality, "text")
    head = build_heads(*run.weights())[modality]
    encoder = load_encoder(run.config.encoder, tuned=run.tuned_weights())
    assert options.texts is not None
    texts = _lines(options.texts)
    with progress_bar("texts", len(texts), unit="texts") as advance:
        return head_output(head, encoder.encode_texts(texts, done=advance))


def _encode_images(options: Encode, names: list[str]) -> Tensor:
    """Values whose sign is the code; `names` receives the name of each image that was read."""
    run = load_run(options.run)
    encoder: Encoder | ImageEncoder
    images_alone = run.config.method in image_encoder.METHODS
    if (options.modality if images_alone else options.model) is not None:
        name = "as" if images_alone else "model"
        raise DistillError(f"{name}: expected none for a {run.config.method} run; leave it out")
    if images_alone:
        encoder = ImageEncoder(run, options.model)
        head = encoder.head
    else:
        modality = options.modality or "image"
        run.check_encodes(modality, "image")
        head = build_heads(*run.weights())[modality]
        encoder = load_encoder(run.config.encoder, tuned=run.tuned_weights())
    files = _image_files(options.images)
    with progress_bar("images", len(files), unit="images") as advance:
        images = _images(files, names, skip=options.bad_images == "skip")
        return head_output(head, encoder.encode_images(images, done=advance))


def _listing(out: Path) -> Path:
    return out.with_suffix(".txt")


def _write(out: Path, packed: NDArray[np.uint8], names: Sequence[str]) -> None:
    """Both files or none."""
    if names:
        write_text(_listing(out), "\n".join(names) + "\n")
    try:
        write_array(out, packed)
    except BaseException:
        if names:
            _listing(out).unlink()
        raise


def _images(files: Sequence[Path], names: list[str], *, skip: bool) -> Iterator[Image.Image]:
    """The readable images; `names` receives the name of each one as it is read."""
    for file in files:
        try:
            image = open_image(file)
        except DistillError as error:
            if not skip:
                raise
            print(f"skipped {error}", file=sys.stderr)
            continue
        names.append(str(file))
        yield image


def _image_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [f for f in sorted(path.rglob("*")) if _is_image(f, path)]
            if not inside:
                raise DistillError(f"images: expected image files in {path}, got none")
            files.extend(inside)
        else:
            files.append(path)
    for file in files:
        if not is_unicode(str(file)) or "\n" in str(file):
            raise DistillError(
                f"images: expected file names in UTF-8 without line breaks, got {str(file)!a}; "
                "rename it"
            )
    return files


def _is_image(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in EXTENSIONS and not hidden and file.is_file()


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DistillError(f"texts: expected UTF-8 in {file}, got {error.reason}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DistillError(f"texts: expected a text in line {number} of {file}, got a blank")
    return lines


if __name__ == "__main__":
    main()
