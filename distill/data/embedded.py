"""The datasets that come with the package: one zip archive each, read whole into memory.

An archive holds `items.jsonl`, a manifest with every item's split, and the pictures it names.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources

from distill.data.assemble import assemble, labelled
from distill.data.base import ImageTextDataset, Item, Text
from distill.data.further import images_of, others_of
from distill.data.images import ImageSource, MemoryImages
from distill.data.manifest import dump, parse
from distill.data.splits import SplitProtocol, describe, from_words
from distill.modalities import MODALITIES
from distill.types import DistillError

ARCHIVES = resources.files("distill.data") / "embedded"
PROTOCOLS = {
    "openclipart": SplitProtocol(queries=250, validation=0.1, seed=0),
    "emoji": SplitProtocol(queries=150, validation=0.1, seed=0),
}
"""How the stored splits were drawn; another seed draws another split of the same sizes."""


def load_embedded(
    name: str,
    *,
    text: Text,
    split_seed: int,
    fields: str,
    folder: str = "",
    title: str = "",
    chosen: Sequence[str] | None = None,
) -> ImageTextDataset:
    """Read an embedded dataset.

    Args:
        name: of the archive, a key of `PROTOCOLS`.
        text: see `assemble.assemble`.
        split_seed: 0 takes the stored split.
        fields: what text and labels are, for the protocol sentence.
        folder: folder of the pictures inside the archive when the manifest's own is not wanted.
        title: short name of the dataset; "": that of the archive.
        chosen: the modalities that are used; None: image and text.
    """
    items, blobs = _read(name)
    if folder:
        items = [replace(i, image=f"{folder}/{i.image.rpartition('/')[2]}") for i in items]
    mask = labelled(items, where=name)
    protocol = PROTOCOLS[name]
    if split_seed == protocol.seed:
        splits, origin = from_words([str(item.split) for item in items], mask, protocol), "fixed"
    else:
        splits = SplitProtocol(protocol.queries, protocol.validation, split_seed).draw(mask)
        origin = f"drawn with split seed {split_seed}"
    title = title or name
    sentence = f"{title} (embedded, {len(items)} items): {describe(splits)}, {origin}; {fields}"

    def source(names: tuple[str, ...]) -> ImageSource:
        return MemoryImages(names, tuple(blobs[image] for image in names))

    return assemble(
        title,
        items,
        images_of(items, source),
        splits,
        text=text,
        protocol=sentence,
        others=others_of(items, chosen or (), source),
        chosen=chosen or MODALITIES,
    )


def read_items(name: str) -> list[Item]:
    """The items of an archive."""
    return _read(name)[0]


def pack_archive(items: Sequence[Item], blobs: Mapping[str, bytes]) -> bytes:
    """Make the bytes of an archive; equal input gives equal bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, "items.jsonl", dump(items), zipfile.ZIP_DEFLATED)
        for name in sorted(blobs):
            _add(archive, name, blobs[name], zipfile.ZIP_STORED)
    return file.getvalue()


def _read(name: str) -> tuple[list[Item], dict[str, bytes]]:
    try:
        data = (ARCHIVES / f"{name}.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            blobs = {entry: archive.read(entry) for entry in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise DistillError(
            f"{name}: expected its archive in the installed package, got {error}; install again"
        ) from error
    return parse(blobs.pop("items.jsonl"), where=f"{name}.zip/items.jsonl"), blobs


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    entry = zipfile.ZipInfo(name)  # its date is 1980-01-01: no clock in the archive
    entry.compress_type, entry.create_system = method, 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
