import pytest

from distill.data.modalities import choose, is_name
from distill.types import DistillError

KNOWN = ("image", "text", "tags")


@pytest.mark.parametrize("word", ["audio", "3d", "fluent-3d", "a", "noto-2"])
def test_names(word: str) -> None:
    assert is_name(word)


@pytest.mark.parametrize(
    "word",
    [
        *("", "Audio", "a_b", "a b", "a.b", "-a", "a--b", "é"),
        *("image", "text", "label", "labels", "classes"),
        *("items", "keys", "type", "training"),  # of ModuleDict
    ],
)
def test_no_names(word: str) -> None:
    assert not is_name(word)


def test_the_usual_ones_and_any_in_any_order() -> None:
    assert choose(KNOWN, None, ("image", "text"), name="x") == ("image", "text")
    assert choose(KNOWN, ["tags", "image"], ("image", "text"), name="x") == ("tags", "image")


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ((), "none"),
        (("image", "audio"), '"audio"'),
        (("text", "image", "text"), "text twice"),
        (("nix", "nix"), '"nix"'),
    ],
)
def test_wrong_choices(wanted: tuple[str, ...], problem: str) -> None:
    with pytest.raises(DistillError) as caught:
        choose(KNOWN, wanted, ("image",), name="x")
    assert str(caught.value) == (
        f"modalities: expected some of image, text, tags for x, each once, got {problem}; choose "
        "among them"
    )
