"""What the modalities of a run are: pictures or texts that can be encoded anew, or features."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from distill.types import DistillError

MODALITIES = ("image", "text")
"""Those of a run that names none."""


def kinds_of(others: Mapping[str, Any], modalities: Iterable[str]) -> dict[str, str]:
    """Modality -> "image" or "text", what its items are; its own name where they are neither.

    Args:
        others: modalities of a dataset beside image and text, with their `images`, or None.
        modalities: those that are wanted.
    """
    known = {name: "text" if each.images is None else "image" for name, each in others.items()}
    return {name: known.get(name, name) for name in modalities}


def plural(modality: str) -> str:
    """Return what items of a modality are called; names of further ones may be plurals."""
    return f"{modality}s" if modality in MODALITIES else modality


def check_encodes(
    modality: str, kind: str, kinds: Mapping[str, str], given: Collection[str]
) -> None:
    """Refuse to encode with the head of a modality of another kind, or of one given as features.

    Args:
        modality: whose head is to encode.
        kind: "image" or "text", what is to be encoded.
        kinds: of the run, as `kinds_of` returns them.
        given: modalities that came as features.

    Raises:
        DistillError: the run encodes no such thing.
    """
    if kinds.get(modality) != kind:
        names = [name for name, each in kinds.items() if each == kind]
        if not names:
            raise DistillError(
                f"{kind}: expected a run that encodes {kind}s, got one of {' and '.join(kinds)}; "
                "ask with something else"
            )
        raise DistillError(
            f"as: expected {' or '.join(names)} for {kind}s, got {modality}; choose one of them"
        )
    if modality in given:
        items = plural(modality)
        raise DistillError(
            f"{modality}: expected a run that encodes {items}, got one whose {items} came as "
            "features; search its codes with hamming.topk"
        )
