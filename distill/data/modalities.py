"""What an item may have beside its image and its text: further modalities, by name.

A name is of lowercase letters, digits and hyphens. It may not be "label" or "classes", which stand
for the labels in training, nor a word that torch's ModuleDict needs for itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from distill.data.images import ImageSource
from distill.modalities import MODALITIES
from distill.types import DistillError
from distill.words import listed

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TAKEN = ("label", "labels", "classes")


class Given(NamedTuple):
    """One item's share of a further modality: the name of a picture, or a text."""

    kind: Literal["image", "text"]
    value: str


@dataclass(frozen=True, eq=False)
class Modality:
    """A further modality of a dataset, row i being item i: pictures or texts, one of the two.

    Attributes:
        images: (n) pictures, the name of one that is missing being empty.
        texts: (n) texts, one that is missing being empty.
    """

    images: ImageSource | None = None
    texts: tuple[str, ...] | None = None

    @property
    def present(self) -> NDArray[np.bool_]:
        """(n) bool, the items that have it."""
        names = self.images.names if self.images is not None else self.texts or ()
        return np.array([bool(name) for name in names])


def is_name(word: str) -> bool:
    """Whether a word can name a further modality.

    >>> is_name("fluent"), is_name("3d"), is_name("Audio"), is_name("label"), is_name("items")
    (True, True, False, False, False)
    """
    taken = word in (*MODALITIES, *_TAKEN) or hasattr(nn.ModuleDict(), word)
    return not taken and _NAME.fullmatch(word) is not None


def choose(
    known: Sequence[str], wanted: Sequence[str] | None, usual: Sequence[str], *, name: str
) -> tuple[str, ...]:
    """The modalities of a dataset that are used, in the order in which they were asked for.

    Args:
        known: all that it has.
        wanted: None: the usual ones.
        usual: of the dataset.
        name: of the dataset, for the message.

    Raises:
        DistillError: none, one that is not known, or one twice.
    """
    if wanted is None:
        return tuple(usual)
    problem = "none" if not wanted else None
    for number, word in enumerate(wanted):
        if word not in known:
            problem = problem or f'"{word}"'
        elif word in wanted[:number]:
            problem = problem or f"{word} twice"
    if problem is not None:
        raise DistillError(
            f"modalities: expected some of {', '.join(known)} for {name}, each once, got "
            f"{problem}; choose among them"
        )
    return tuple(wanted)


def in_words(present: Mapping[str, NDArray[np.bool_]]) -> str:
    """Modalities, and of how many items those are that some items lack.

    >>> in_words({"image": np.array([True, True]), "fluent": np.array([True, False])})
    'image and fluent (of 1 item)'
    """
    names = []
    for name, mask in present.items():
        n = int(mask.sum())
        names.append(name if n == len(mask) else f"{name} (of {n:,} item{'s' * (n != 1)})")
    return listed(names)
