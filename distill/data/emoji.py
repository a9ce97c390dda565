"""Emoji: the name as text, the Unicode subgroup as label, in two drawings of the same items.

"noto" is Noto Color Emoji, "fluent" is Fluent 3D; both have the same rows and the same split, and
"all" has both: Noto as image and Fluent as a further modality. The keywords that emoji come with
are a fourth, "tags". They are words of the name, and so no labels here: how much they give away
stands in the protocol sentence.

A part comes with the package. The full set is a folder with `emoji.json`, a list of {"id", "label",
"tags", "subgroup", "fluent"}, and pictures of 128 x 128 pixels, `emoji/ID_noto.jpg` (ID of four
digits) and, where "fluent" is true, `emoji/ID_fluent.jpg`. Its sources and their licences are those
of the part, which `embedded/README.md` names. Fluent draws not every emoji, and no country flags:
the package it came in fills them with Noto's, so they are left out.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from distill.data.assemble import assemble, labelled
from distill.data.base import BadImages, ImageTextDataset, Item, Text
from distill.data.embedded import load_embedded, read_items
from distill.data.further import chosen_of, images_of, others_of, readable_items
from distill.data.images import FileImages
from distill.data.modalities import Given
from distill.data.splits import SplitProtocol, describe
from distill.data.text import scrub, shared_words
from distill.modalities import MODALITIES
from distill.types import DistillError

Style = Literal["noto", "fluent", "all"]
FULL = SplitProtocol(queries=200, validation=0.1)
LEAST_ITEMS = 10
"""A subgroup is a label of the full set when at least so many emoji belong to it."""
NO_EMOJI = frozenset({"country-flag"})
USUAL = ("image", "fluent", "text")
"""Modalities of "all" where nothing else is chosen."""
_NAMES = {"noto": "emoji", "fluent": "emoji-fluent", "all": "emoji-all"}


@dataclass(frozen=True)
class Emoji:
    """One entry of `emoji.json`."""

    number: str
    name: str
    tags: tuple[str, ...]
    subgroup: str
    fluent: bool


def load(
    style: Style,
    root: Path | None = None,
    *,
    text: Text,
    split_seed: int,
    bad_images: BadImages = "refuse",
    modalities: Sequence[str] | None = None,
) -> ImageTextDataset:
    """Read one drawing style, or both; `registry.load` describes the settings.

    Raises:
        DistillError: `root` is not such a folder, or a picture in it cannot be read.
    """
    items = read_items("emoji") if root is None else _full(root, style)
    name, chosen = _NAMES[style], None
    if style == "all":
        chosen = chosen_of(items, modalities, name=name, usual=USUAL)
    fields = _fields(items, chosen or (), text)
    if root is None:
        return load_embedded(
            "emoji",
            text=text,
            split_seed=split_seed,
            fields=fields,
            folder="fluent" if style == "fluent" else "",
            title=name,
            chosen=chosen,
        )
    source = partial(FileImages, root)
    items = readable_items(items, chosen or (), source, bad_images, where=str(root))
    splits = replace(FULL, seed=split_seed).draw(labelled(items, where=str(root)))
    sentence = (
        f"{name} (full, {len(items)} items): {describe(splits)}, drawn with split seed "
        f"{split_seed}; {fields} of at least {LEAST_ITEMS} items"
    )
    return assemble(
        f"{name}-full",
        items,
        images_of(items, source),
        splits,
        text=text,
        protocol=sentence,
        others=others_of(items, chosen or (), source),
        chosen=chosen or MODALITIES,
    )


def read_emoji(root: Path) -> list[Emoji]:
    """Read `emoji.json`, but for country flags.

    Raises:
        DistillError: it is missing, or not as described above.
    """
    path = root / "emoji.json"
    try:
        found = [
            Emoji(
                f"{entry['id']:04d}",
                str(entry["label"]),
                tuple(map(str, entry.get("tags", ()))),
                str(entry["subgroup"]),
                bool(entry["fluent"]),
            )
            for entry in json.loads(path.read_bytes())
        ]
    except OSError as error:
        raise DistillError(
            f"root: expected a folder with emoji.json, got {root} ({error.strerror}); check the "
            "path"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DistillError(
            f"emoji: expected id, label, subgroup and fluent per entry of {path}, got {error!r}"
        ) from error
    return [emoji for emoji in found if emoji.subgroup not in NO_EMOJI]


def tags_of(emoji: Emoji) -> dict[str, Given]:
    """The further modality "tags" of an emoji that has some."""
    return {"tags": Given("text", ", ".join(emoji.tags))} if emoji.tags else {}


def _full(root: Path, style: Style) -> list[Item]:
    """Items of all frequent subgroups; of Fluent alone those that it draws."""
    emoji = read_emoji(root)
    sizes = Counter(each.subgroup for each in emoji)
    main = "fluent" if style == "fluent" else "noto"
    items = []
    for each in emoji:
        if sizes[each.subgroup] >= LEAST_ITEMS and (each.fluent or style != "fluent"):
            others = tags_of(each)
            if each.fluent:
                others["fluent"] = Given("image", f"emoji/{each.number}_fluent.jpg")
            image = f"emoji/{each.number}_{main}.jpg"
            items.append(Item(image, each.name, (each.subgroup,), others=others))
    labelled(items, where=str(root))
    return items


def _fields(items: Sequence[Item], chosen: Sequence[str], text: Text) -> str:
    """What the modalities are, and how far tags give name and label away."""
    fields = {
        "image": "image = Noto",
        "fluent": "fluent = Fluent 3D",
        "text": "text = name",
    }
    said = [fields[name] for name in chosen if name in fields] or ["text = name"]
    if "tags" in chosen:
        having = [item for item in items if "tags" in item.others]
        tags = [item.others["tags"].value for item in having]
        if text == "scrubbed":
            tags = [scrub(each, item.labels) for each, item in zip(tags, having, strict=True)]
        names = shared_words(tags, [item.text or "" for item in having])
        labels = shared_words(tags, [" ".join(item.labels) for item in having])
        said.append(
            f"tags = keywords, of which {100 * names:.1f} % share a word with the name and "
            f"{100 * labels:.1f} % with the label"
        )
    return f"{', '.join(said)}, label = Unicode subgroup"
