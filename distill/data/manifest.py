"""A dataset as one JSON object a line: image, text, labels and, if the file has one, the split.

    {"image": "photos/7.jpg", "text": "two dogs on a beach", "labels": ["dog", "sea"]}

`image` is a path relative to the manifest, or absolute. `split`, on every line or on none, is one
of `splits.WORDS`. Other keys are ignored, but for misspelt ones. Items without labels are never
queries; without a split in the file, or marked "train", they are unlabelled items. Where no item
has a label and none a split, all train, and nothing is evaluated.

Further modalities of an item, of which each is a picture or a text on all lines:

    {"image": "7.jpg", "text": null, "labels": ["dog"], "modalities": {"sketch": {"image": "7.png"},
    "tags": {"text": "dog, beach"}}}

An item need not have all of them: null stands for an image, a text or another modality that it
lacks, and what is in no `modalities` of a line is not there either. Image and text are used, and
others where `--modalities` names them.
"""

import difflib
import functools
import json
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distill.data.assemble import assemble, labelled
from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.further import chosen_of, images_of, others_of, readable_items
from distill.data.images import FileImages
from distill.data.modalities import Given, is_name
from distill.data.splits import WORDS, SplitProtocol, describe, from_words, unlabelled
from distill.data.text import is_unicode
from distill.types import DistillError

_log = logging.getLogger(__name__)
# Misspelt, these would be gone without a word.
_OPTIONAL = ("split", "modalities")


def load(
    path: Path,
    *,
    text: Text,
    bad_images: BadImages,
    split_seed: int,
    modalities: Sequence[str] | None = None,
) -> ImageTextDataset:
    """Read a manifest; `registry.load` describes the settings.

    Raises:
        DistillError: the file, a line of it or a picture is not as it should be.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DistillError(
            f"path: expected a manifest file, got {path} ({error.strerror}); check the path"
        ) from error
    items = parse(data, where=str(path))
    has_split = items[0].split is not None
    without_labels = not has_split and not any(item.labels for item in items)
    if not without_labels:
        labelled(items, where=str(path))
    chosen = chosen_of(items, modalities, name=str(path))
    source = partial(FileImages, path.parent)
    items = readable_items(items, chosen, source, bad_images, where=str(path))
    _warn_of_repeats(items, where=str(path))
    protocol = SplitProtocol(seed=split_seed)
    if without_labels:
        splits, origin = unlabelled(len(items)), "all of which train"
    elif not has_split:
        splits = protocol.draw(labelled(items, where=str(path)))
        origin = f"drawn with split seed {split_seed}"
    else:
        mask = labelled(items, where=str(path))
        splits = from_words([str(item.split) for item in items], mask, protocol)
        origin = "given in the file"
        if not any(item.split == "validation" for item in items):
            origin += f", its validation items drawn with split seed {split_seed}"
    said = f"{path.name}, {len(items)} items"
    sentence = (
        f"{said}, {origin}; text as in the file, no labels"
        if without_labels
        else f"{said}: {describe(splits)}, {origin}; text and labels as in the file"
    )
    return assemble(
        path.stem,
        items,
        images_of(items, source),
        splits,
        text=text,
        protocol=sentence,
        others=others_of(items, chosen, source),
        chosen=chosen,
    )


def _warn_of_repeats(items: Sequence[Item], *, where: str) -> None:
    """Say how many items stand there before: a query may be one that was learned from."""
    contents = {(item.image, item.text, tuple(sorted(item.others.items()))) for item in items}
    if len(contents) < len(items):
        _log.warning(
            "%s: the same items stand there again, %d in all, so that queries may be among what is "
            "learned from; leave them out",
            where,
            len(items) - len(contents),
        )


def parse(data: bytes, *, where: str, complete: bool = True) -> list[Item]:
    """Check every line and return the items, at least one.

    Args:
        data: the file's bytes, UTF-8, with or without byte order mark.
        where: the file's name, for messages.
        complete: whether image, text and labels must stand in every line; else what a line does
            not say is null, and labels are none.

    Raises:
        DistillError: naming the line and what is wrong with it.
    """
    numbered = [
        (number, _item(line, f"{where}, line {number}", complete))
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
        if line.strip()
    ]
    if not numbered:
        raise DistillError(f"{where}: expected one JSON object a line, got an empty file")
    first = numbered[0][1]
    kinds: dict[str, str] = {}
    for number, item in numbered:
        for name, given in item.others.items():
            if kinds.setdefault(name, given.kind) != given.kind:
                raise DistillError(
                    f"{where}, line {number}: expected {name} to be {kinds[name]}s, as in the "
                    f"lines before, got {given.kind}; correct it"
                )
        if (item.split is None) != (first.split is None):
            raise DistillError(
                f'{where}, line {number}: expected "split" on every line or on none, got both '
                "kinds; add or remove it"
            )
    return [item for _, item in numbered]


def dump(items: Iterable[Item]) -> bytes:
    """Write items as `parse` reads them.

    >>> parse(dump([Item("a.png", "a dog", ("dog",), "train")]), where="x")[0].text
    'a dog'
    """
    lines = []
    for item in items:
        entry: dict[str, Any] = {
            "image": item.image or None,
            "text": item.text,
            "labels": item.labels,
        }
        if item.split is not None:
            entry["split"] = item.split
        if item.others:
            others = {name: {given.kind: given.value} for name, given in item.others.items()}
            entry["modalities"] = others
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _item(line: bytes, where: str, complete: bool) -> Item:
    try:
        entry = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise DistillError(
            f"{where}: expected UTF-8 text, got {error.reason}; re-encode"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DistillError(f"{where}: expected one JSON object, got {error}; correct it") from error
    if not isinstance(entry, dict):
        raise DistillError(f"{where}: expected a JSON object, got {_kind(entry)}; put it in braces")
    for key in entry:
        if (meant := _meant(key)) and meant not in entry:
            raise DistillError(
                f'{where}: expected "{meant}", got "{key}"; correct it, or give it another name'
            )
    others = _others(entry.get("modalities", {}), f'{where}, "modalities"')
    needed = ("labels",) if others else ("image", "text", "labels")
    needed = needed if complete else ()
    if missing := [key for key in needed if key not in entry]:
        keys = ", ".join(f'"{key}"' for key in missing)
        raise DistillError(
            f"{where}: expected the keys image, text, labels, got no {keys}; add it "
            '("labels": [] where there are none)'
        )
    image, text = entry.get("image"), entry.get("text")
    image = "" if image is None else _picture(image, f'{where}, "image"')
    text = text if text is None else _text(text, f'{where}, "text"')
    if not image and text is None and not others:
        raise DistillError(f"{where}: expected an image, a text or another modality, got none")
    labels = entry.get("labels", [])
    if not isinstance(labels, list):
        raise DistillError(f'{where}, "labels": expected a list of strings, got {_kind(labels)}')
    wanted = "a list of strings"
    names = tuple(dict.fromkeys(_text(each, f'{where}, "labels"', wanted) for each in labels))
    if "" in names:
        raise DistillError(f'{where}, "labels": expected names, got ""; remove the empty one')
    split = entry.get("split")
    if split is not None and split not in WORDS:
        raise DistillError(
            f'{where}, "split": expected one of {", ".join(WORDS)}, got {json.dumps(split)}'
        )
    return Item(image, text, names, split, others)


@functools.lru_cache
def _meant(key: str) -> str | None:
    """The optional key that a misspelt one stands for."""
    near = difflib.get_close_matches(key, _OPTIONAL, n=1, cutoff=0.85)
    return near[0] if near else None


def _others(entry: object, where: str) -> dict[str, Given]:
    """The further modalities that an item has."""
    if not isinstance(entry, dict):
        raise DistillError(
            f'{where}: expected an object as {{"tags": {{"text": "dog, beach"}}}}, got '
            f"{_kind(entry)}; correct it"
        )
    found = {}
    for name, value in entry.items():
        if not is_name(name):
            raise DistillError(
                f"{where}: expected names of lowercase letters, digits and hyphens that are not "
                f"taken, got {json.dumps(name)}; choose another"
            )
        if value is not None:
            found[name] = _given(value, f"{where}, {name}")
    return found


def _given(value: object, where: str) -> Given:
    if isinstance(value, dict) and len(value) == 1:
        kind, content = next(iter(value.items()))
        if kind == "image":
            return Given(kind, _picture(content, where))
        if kind == "text":
            if words := _text(content, where):
                return Given(kind, words)
            raise DistillError(f'{where}: expected words, got ""; write null where there are none')
    raise DistillError(
        f'{where}: expected null, {{"image": "a file"}} or {{"text": "words"}}, got '
        f"{json.dumps(value):.80}; correct it"
    )


def _picture(value: object, where: str) -> str:
    image = _text(value, where)
    if not image:
        raise DistillError(f'{where}: expected a file name, got ""; name the picture')
    if "\0" in image:
        raise DistillError(f"{where}: expected a file name, got one with U+0000; correct it")
    return image


def _text(value: object, where: str, wanted: str = "a string") -> str:
    if not isinstance(value, str):
        raise DistillError(f"{where}: expected {wanted}, got {_kind(value)}")
    if not is_unicode(value):
        raise DistillError(f"{where}: expected Unicode text, got half a surrogate pair; correct it")
    return value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
