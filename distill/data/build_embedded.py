"""Build the embedded archives: python -m distill.data.build_embedded --clipart DIR --emoji DIR.

CLIPART is the full set of Open Clip Art (see `debian_clipart`), EMOJI that of emoji (see `emoji`).
Equal input and the same version of libwebp give equal archives.
"""

import argparse
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from distill.data.base import Item
from distill.data.embedded import ARCHIVES, PROTOCOLS, pack_archive
from distill.data.emoji import read_emoji, tags_of
from distill.data.images import decode
from distill.data.modalities import Given
from distill.data.openclipart import LEAST_ITEMS, read_clipart, with_labels
from distill.files import write_whole
from distill.types import DistillError

CLIPART_PER_TEXT, CLIPART_PER_LABEL = 3, 46
EMOJI_PER_LABEL = 40
LEAST_PER_LABEL = 15
NO_LABELS = frozenset({"architetto_francesco_rollandin", "11"})
"""Tags that name an author or nothing at all."""
PIXELS, QUALITY = 128, 75


def select_clipart(items: Sequence[Item]) -> list[Item]:
    """Choose varied items of the full set, in its order.

    At most three items per text (226 are just called "card"), then the rarest labels first, each
    up to a quota, so that flags and road signs do not fill the set.
    """
    items = [
        replace(item, labels=tuple(label for label in item.labels if label not in NO_LABELS))
        for item in items
    ]
    kept, seen = [], Counter[str]()
    for item in items:
        text = (item.text or "").casefold()
        seen[text] += 1
        if text and item.labels and seen[text] <= CLIPART_PER_TEXT:
            kept.append(item)
    chosen: set[str] = set()
    have = Counter[str]()
    by_label = _by_label(kept)
    for label in sorted(by_label, key=lambda label: (len(by_label[label]), label)):
        for item in by_label[label]:
            if have[label] >= CLIPART_PER_LABEL:
                break
            if item.image not in chosen:
                chosen.add(item.image)
                have.update(item.labels)
    return drop_rare([item for item in kept if item.image in chosen])


def select_emoji(root: Path) -> list[Item]:
    """Choose emoji that exist in both styles, at most 40 of a subgroup; images hold the id."""
    items = [
        Item(emoji.number, emoji.name, (emoji.subgroup,), others=tags_of(emoji))
        for emoji in read_emoji(root)
        if emoji.fluent
    ]
    groups = _by_label(items).values()
    # Every k-th of a large subgroup: neighbours are variants of each other.
    chosen = {
        group[i * len(group) // n].image
        for group in groups
        for n in [min(len(group), EMOJI_PER_LABEL)]
        for i in range(n)
    }
    return drop_rare([item for item in items if item.image in chosen])


def drop_rare(items: Sequence[Item]) -> list[Item]:
    """Drop labels of fewer than 15 items and then items without label, until nothing changes."""
    while True:
        count = Counter(label for item in items for label in item.labels)
        labels = {label for label, n in count.items() if n >= LEAST_PER_LABEL}
        if len(labels) == len(count):
            return list(items)
        items = [
            replace(item, labels=tuple(label for label in item.labels if label in labels))
            for item in items
        ]
        items = [item for item in items if item.labels]


def with_splits(items: Sequence[Item], name: str) -> list[Item]:
    """Mark every item with its part of the fixed split."""
    splits = PROTOCOLS[name].draw(np.ones(len(items), bool))
    words = {int(i): part for part in ("query", "validation", "train") for i in splits[part]}
    return [replace(item, split=words[i]) for i, item in enumerate(items)]


def build(clipart: Path, emoji: Path, out: Path) -> None:
    """Write both archives to the folder `out`."""
    drawings = select_clipart(with_labels(read_clipart(clipart), LEAST_ITEMS))
    _write(out, "openclipart", drawings, {"": [clipart / item.image for item in drawings]})
    names = select_emoji(emoji)
    styles = {
        f"{style}/": [emoji / "emoji" / f"{item.image}_{style}.jpg" for item in names]
        for style in ("noto", "fluent")
    }
    _write(out, "emoji", names, styles)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m distill.data.build_embedded",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option, holds in (("--clipart", "the full clipart set"), ("--emoji", "the emoji")):
        parser.add_argument(option, type=Path, required=True, metavar="DIR", help=holds)
    here = Path(str(ARCHIVES))
    parser.add_argument("--out", type=Path, default=here, metavar="DIR", help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        build(options.clipart, options.emoji, options.out)
    except (DistillError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _write(
    out: Path, name: str, items: Sequence[Item], pictures: Mapping[str, Sequence[Path]]
) -> None:
    blobs = {
        f"{folder}{number:04d}.webp": _shrink(file)
        for folder, files in pictures.items()
        for number, file in enumerate(files)
    }
    first, *further = pictures
    stored = [
        replace(
            item,
            image=f"{first}{number:04d}.webp",
            others={
                folder.strip("/"): Given("image", f"{folder}{number:04d}.webp")
                for folder in further
            }
            | dict(item.others),
        )
        for number, item in enumerate(with_splits(items, name))
    ]
    data = pack_archive(stored, blobs)
    write_whole(out / f"{name}.zip", lambda temporary: temporary.write_bytes(data))
    labels = Counter(label for item in items for label in item.labels)
    print(f"{name}: {len(items)} items, {len(labels)} labels, {len(data):,} bytes")


def _shrink(path: Path) -> bytes:
    image = decode(path.read_bytes(), str(path))
    image.thumbnail((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=6)
    return file.getvalue()


def _by_label(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups = defaultdict(list)
    for item in items:
        for label in item.labels:
            groups[label].append(item)
    return groups


if __name__ == "__main__":
    sys.exit(main())
