"""Items of several modalities: which there are, which are used, and where their pictures lie."""

from collections.abc import Callable, Sequence

from distill.data.assemble import readable_rows
from distill.data.base import BadImages, Item
from distill.data.images import ImageSource, NoImages
from distill.data.modalities import Modality, choose
from distill.modalities import MODALITIES

Source = Callable[[tuple[str, ...]], ImageSource]
"""Pictures by name."""


def chosen_of(
    items: Sequence[Item],
    wanted: Sequence[str] | None,
    *,
    name: str,
    usual: Sequence[str] = MODALITIES,
) -> tuple[str, ...]:
    """The modalities that are used; see `modalities.choose`.

    Args:
        items: at least one modality each.
        wanted: None: the usual ones that there are.
        name: of the dataset, for the message.
        usual: where nothing is asked for.
    """
    there = {
        "image": any(item.image for item in items),
        "text": any(item.text is not None for item in items),
    }
    known = [modality for modality in MODALITIES if there[modality]]
    known += dict.fromkeys(name for item in items for name in item.others)
    return choose(known, wanted, [m for m in usual if m in known] or known, name=name)


def readable_items(
    items: Sequence[Item],
    chosen: Sequence[str],
    source: Source,
    bad_images: BadImages,
    *,
    where: str,
) -> list[Item]:
    """Those whose pictures can be read; see `assemble.readable_rows`."""
    kept = set(readable_rows(source(_images(items)), bad_images, where=where))
    for modality in others_of(items, chosen, source).values():
        if modality.images is not None:
            kept &= set(readable_rows(modality.images, bad_images, where=where))
    return [items[i] for i in sorted(kept)]


def images_of(items: Sequence[Item], source: Source) -> ImageSource:
    """The pictures that are the items' images."""
    names = _images(items)
    return source(names) if any(names) else NoImages(names)


def others_of(items: Sequence[Item], chosen: Sequence[str], source: Source) -> dict[str, Modality]:
    """Of the chosen modalities those beside image and text."""
    found = {}
    for name in (name for name in chosen if name not in MODALITIES):
        given = [item.others.get(name) for item in items]
        values = tuple("" if each is None else each.value for each in given)
        is_image = any(each is not None and each.kind == "image" for each in given)
        found[name] = Modality(source(values)) if is_image else Modality(texts=values)
    return found


def _images(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(item.image for item in items)
