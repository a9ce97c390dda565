"""Build the full Open Clip Art set: python -m distill.data.debian_clipart --out DIR.

Takes Debian's packages openclipart-png and openclipart-svg, either as installed (`--from
/usr/share/openclipart`) or downloaded with apt into a temporary folder and not installed. Writes
`clipart.json`, a list of {"image", "title", "file", "folder", "desc", "tags"}, and the pictures,
each cropped to what is drawn, at most 120 pixels in the middle of 128 x 128 white ones.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from distill.data.embedded import ARCHIVES
from distill.progress import progress_bar
from distill.types import DistillError

PACKAGES = ("openclipart-png", "openclipart-svg")
DROPPED_PATHS = re.compile(r"shapes/stars|icons/.*theme|gradients|/etiquette|lemon|unsorted")
DROPPED_TAGS = frozenset(
    {"", "hash", "magick", "unsorted", "clip_art", "clipart", "image", "svg"}  # say nothing
)
PIXELS, DRAWN_PIXELS, QUALITY = 128, 120, 88
DESCRIPTION_LENGTH = 200

# Patterns, not an XML parser: several of the files are not well formed.
_TITLE = re.compile(r"<dc:title[^>]*>(.*?)</dc:title>", re.DOTALL)
_DESCRIPTION = re.compile(r"<dc:description[^>]*>(.*?)</dc:description>", re.DOTALL)
_SUBJECT = re.compile(r"<dc:subject.*?</dc:subject>", re.DOTALL)
_TAG = re.compile(r"<rdf:li[^>/]*>(.*?)</rdf:li>", re.DOTALL)


class Metadata(NamedTuple):
    """What an SVG file says about itself."""

    title: str
    description: str
    tags: list[str]


def metadata(svg: str) -> Metadata:
    """Read title, description and tags from an SVG file's RDF block.

    >>> metadata("<dc:title> Pear</dc:title><dc:subject><rdf:li>Ripe Fruit</rdf:li></dc:subject>")
    Metadata(title='Pear', description='', tags=['ripe_fruit'])
    """
    title, description = _TITLE.search(svg), _DESCRIPTION.search(svg)
    subject = _SUBJECT.search(svg)
    tags = _TAG.findall(subject.group()) if subject else []
    return Metadata(
        title.group(1).strip() if title else "",
        description.group(1).strip()[:DESCRIPTION_LENGTH] if description else "",
        sorted({tag.strip().lower().replace(" ", "_") for tag in tags} - DROPPED_TAGS),
    )


def find_items(source: Path) -> list[tuple[str, Metadata]]:
    """List the pictures to keep, each under one of its paths, with what is known about them.

    Args:
        source: folder with `png` and `svg`.

    Returns:
        Paths below `png` in the order of the reference list, unlisted ones after it by name.
    """
    png = source / "png"
    aliases: dict[Path, list[str]] = defaultdict(list)
    known: dict[str, Metadata] = {}
    for path in png.rglob("*.png"):
        name = path.relative_to(png).as_posix()
        svg = (source / "svg" / name).with_suffix(".svg")
        if DROPPED_PATHS.search(name) or not svg.is_file():
            continue
        known[name] = metadata(svg.read_text("utf-8", errors="replace"))
        if known[name].tags:
            aliases[path.resolve()].append(name)
    listed = gzip.decompress((ARCHIVES / "clipart_paths.txt.gz").read_bytes()).decode().split("\n")
    rank = {name: i for i, name in enumerate(listed)}

    def order(name: str) -> tuple[int, str]:
        return rank.get(name, len(rank)), name

    chosen = sorted((min(names, key=order) for names in aliases.values()), key=order)
    return [(name, known[name]) for name in chosen]


def render(path: Path) -> Image.Image:
    """Draw a PNG file in the middle of a white square."""
    with Image.open(path) as opened:
        image = opened if opened.mode == "RGBA" else opened.convert("RGBA")
        image = image.crop(image.getchannel("A").getbbox())
    image.thumbnail((DRAWN_PIXELS, DRAWN_PIXELS), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (PIXELS, PIXELS), "white")
    square.paste(image, ((PIXELS - image.width) // 2, (PIXELS - image.height) // 2), image)
    return square


def build(source: Path, out: Path) -> int:
    """Write the set to the folder `out`, whole or not at all, and return the number of items.

    Raises:
        DistillError: `source` is not a folder of the packages, or `out` holds something.
    """
    for folder in ("png", "svg"):
        if not (source / folder).is_dir():
            raise DistillError(
                f"from: expected a folder with png and svg, got {source} without {folder}; "
                f"install {' and '.join(PACKAGES)}, or leave --from out to download them"
            )
    _check_free(out)
    items = find_items(source)
    if not items:
        raise DistillError(f"from: expected pictures with tags in {source}, got none")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        _write(source / "png", items, temporary)
        temporary.chmod(0o755)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(items)


def download(folder: Path) -> Path:
    """Fetch and unpack both packages with apt and dpkg, installing nothing.

    Raises:
        DistillError: not a Debian system, or apt failed.
    """
    _run("apt-get", "download", *PACKAGES, folder=folder)
    for package in sorted(folder.glob("*.deb")):
        _run("dpkg-deb", "--extract", str(package), str(folder), folder=folder)
    return folder / "usr" / "share" / "openclipart"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m distill.data.debian_clipart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="DIR", help="the packages as installed"
    )
    options = parser.parse_args(arguments)
    try:
        _check_free(options.out)
        with tempfile.TemporaryDirectory() as folder:
            number = build(options.source or download(Path(folder)), options.out)
    except (DistillError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {number} pictures")
    return 0


def _run(*command: str, folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise DistillError(
            f"download: expected a Debian system, got no {command[0]}; give --from DIR"
        ) from error
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout).split()[:40])
        raise DistillError(
            f"download: expected {command[0]} to work, got: {said}; try apt-get update"
        ) from error


def _check_free(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DistillError(f"out: expected a new or empty folder, got {out}; choose another")


@contextmanager
def _any_size() -> Iterator[None]:
    """Lift Pillow's guard against decompression bombs: Debian's maps go up to 231 megapixels."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _write(png: Path, items: Sequence[tuple[str, Metadata]], out: Path) -> None:
    (out / "clipart").mkdir()
    entries = []
    with _any_size(), progress_bar("clipart", len(items), unit="pictures") as advance:
        for number, (name, about) in enumerate(items):
            image = f"clipart/{number:05d}.jpg"
            try:
                render(png / name).save(out / image, quality=QUALITY)
            except (OSError, SyntaxError, ValueError) as error:
                raise DistillError(f"{png / name}: expected a PNG image, got {error}") from error
            entries.append(
                {
                    "image": image,
                    "title": about.title,
                    "file": name,
                    "folder": Path(name).parent.as_posix(),
                    "desc": about.description,
                    "tags": about.tags,
                }
            )
            advance()
    with (out / "clipart.json").open("w", encoding="utf-8") as file:
        json.dump(entries, file)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    sys.exit(main())
