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
from distill.checkpoint import load_run
from distill.command import one_sentence
from distill.files import write_array, write_bytes, write_text
from distill.item_encoder import open_item_encoder
from distill.item_files import check_unicode, image_files, text_lines
from distill.progress import progress_bar
from distill.queries import open_image
from distill.types import DistillError


@dataclass(frozen=True)
class Encode:
    """Encode images or texts with a trained run and write their packed codes.

    Row i of the result is item i; for images a list of the files, one a line, lies beside it.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder, as written by python -m distill.train."""
    images: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR|FILE ...")] = ()
    """Image files, and folders whose image files are taken in alphabetical order. Linked folders in
    them are not followed: they are named, and can be given themselves."""
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
    if options.texts and existing and _listing(options.out).exists():
        listing = _listing(options.out)
        if not (options.texts.exists() and listing.samefile(options.texts)):
            raise DistillError(
                f"out: expected no list of pictures beside the codes of texts, got {listing}; "
                "remove it, or give another --out"
            )
    names: list[str] = []
    codes = _encode_texts(options) if options.texts else _encode_images(options, names)
    packed: NDArray[np.uint8] = hamming.pack(codes.numpy())
    _write(options.out, packed, names)
    return len(packed)


def _encode_texts(options: Encode) -> Tensor:
    run = load_run(options.run)
    encode = open_item_encoder(run, "text", modality=options.modality, model=options.model)
    assert options.texts is not None
    texts = text_lines(options.texts)
    with progress_bar("texts", len(texts), unit="texts") as advance:
        return encode(texts, done=advance)


def _encode_images(options: Encode, names: list[str]) -> Tensor:
    """Values whose sign is the code; `names` receives the name of each image that was read."""
    run = load_run(options.run)
    encode = open_item_encoder(run, "image", modality=options.modality, model=options.model)
    files = image_files(options.images)
    check_unicode(files)
    with progress_bar("images", len(files), unit="images") as advance:
        images = _images(files, names, skip=options.bad_images == "skip")
        return encode(images, done=advance)


def _listing(out: Path) -> Path:
    return out.with_suffix(".txt")


def _write(out: Path, packed: NDArray[np.uint8], names: Sequence[str]) -> None:
    """Both files or none; a failure leaves what was there."""
    if not names:
        write_array(out, packed)
        return
    listing = _listing(out)
    former = listing.read_bytes() if listing.exists() else None
    write_text(listing, "\n".join(names) + "\n")
    try:
        write_array(out, packed)
    except BaseException:
        if former is None:
            listing.unlink()
        else:
            write_bytes(listing, former)
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


if __name__ == "__main__":
    main()
