"""What of given items an index lacks: compared by name and stamp, before anything is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from distill.index_folder import IndexFolder
from distill.index_format import IndexItem
from distill.item_files import Found, Stamp


class Work(NamedTuple):
    """An item that is to be written; `old` is the one whose place it takes."""

    found: Found
    old: IndexItem | None


@dataclass
class Plan:
    """How given items and an index differ.

    Attributes:
        encode: new and changed items, in the order in which they are given.
        retold: pictures that are the same, with other words.
        gone: items of the index that their source has no longer, and of other sources those whose
            picture lay in a given folder and is not there any more.
        skipped: all pictures that are skipped, given ones and others.
        n_unchanged: items that are as they were.
        n_skipped: given pictures that could not be read before and have not changed since.
        n_repeated: how often an item is given again.
    """

    encode: list[Work] = field(default_factory=list)
    retold: list[Work] = field(default_factory=list)
    gone: list[IndexItem] = field(default_factory=list)
    skipped: dict[str, Stamp | None] = field(default_factory=dict)
    n_unchanged: int = 0
    n_skipped: int = 0
    n_repeated: int = 0


def compare(state: IndexFolder, found: Sequence[Found], *, retry: bool) -> Plan:
    """Find out what is new, what has changed and what is gone, without reading a picture.

    A picture has changed when its size or the time of its last change has.

    Args:
        state: of the index.
        found: all items of the sources that are given.
        retry: pictures that could not be read are read again although they have not changed.
    """
    kind = state.manifest.about.kind
    known = {item.key(kind): item for item in state.items()}
    plan, seen = Plan(), set()
    for each in found:
        item = IndexItem(-1, each.path, each.text or "", each.stamp, -1)
        key = item.key(kind)
        if key in seen:
            plan.n_repeated += 1
            continue
        seen.add(key)
        old, missing = known.get(key), kind == "image" and each.stamp is None
        if old is not None and missing:
            plan.gone.append(old)
        elif old is not None and old.stamp == each.stamp:
            if kind == "image" and each.text not in (None, old.text):
                plan.retold.append(Work(each, old))
            else:
                plan.n_unchanged += 1
        elif not retry and state.skipped.get(each.path, ()) == each.stamp:
            plan.skipped[each.path] = each.stamp
            plan.n_skipped += 1
        else:
            plan.encode.append(Work(each, old))
    plan.gone += _not_listed(state, found, [i for key, i in known.items() if key not in seen])
    listed = {each.path for each in found}
    others = state.skipped.items()
    plan.skipped |= {p: s for p, s in others if p not in listed and Path(p).exists()}
    return plan


def _not_listed(
    state: IndexFolder, found: Sequence[Found], others: Sequence[IndexItem]
) -> list[IndexItem]:
    """Of items that are not given those that should be; see `Plan.gone`."""
    sources = {each.source for each in found} - {""}
    folders = tuple(f"{source}{os.sep}" for source in sources)
    names = state.manifest.sources

    def is_gone(item: IndexItem) -> bool:
        # What came with another folder, inside this one or around it, is looked for itself.
        inside = item.stamp is not None and item.path.startswith(folders)
        return names[item.source] in sources or (inside and not Path(item.path).exists())

    return [item for item in others if is_gone(item)]
