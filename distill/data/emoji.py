"""Emoji: the name as text, the Unicode subgroup as label, in two drawings of the same items.

"noto" is Noto Color Emoji, "fluent" is Fluent 3D; both have the same rows and the same split. The
keywords that emoji come with are words of the name, so they are no labels here.
"""

from distill.data.base import ImageTextDataset, Text
from distill.data.embedded import load_embedded


def load(style: str, *, text: Text, split_seed: int) -> ImageTextDataset:
    """Read one drawing style; `registry.load` describes the settings."""
    return load_embedded(
        "emoji",
        text=text,
        split_seed=split_seed,
        fields="text = name, label = Unicode subgroup",
        folder="" if style == "noto" else style,
    )
