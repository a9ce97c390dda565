"""Emoji in both styles: what comes with the package, and the full set of a folder."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill.data import load
from distill.types import DistillError

N = 300


@pytest.fixture
def make_set(tmp_path: Path, picture) -> Callable[..., Path]:
    """Write a full set: frequent, rare and country-flag subgroups; Fluent lacks every fifth."""

    def make(**changes: object) -> Path:
        root = tmp_path / "emoji-set"
        (root / "emoji").mkdir(parents=True, exist_ok=True)
        groups = ["face-smiling"] * 140 + ["tree"] * 131 + ["rare"] * 9 + ["country-flag"] * 20
        entries = []
        for i, group in enumerate(groups):
            entry = {"id": i, "label": f"name {i} face", "subgroup": group, "fluent": i % 5 > 0}
            entry["tags"] = ["smiling", f"name {i}"] if i % 2 else ["tree"]
            entries.append(entry | (changes if i == 7 else {}))
            for style in ("noto", *["fluent"] * entry["fluent"]):
                data = picture(i + (style == "noto"), size=8, kind="JPEG")
                (root / "emoji" / f"{i:04d}_{style}.jpg").write_bytes(data)
        (root / "emoji.json").write_text(json.dumps(entries))
        return root

    return make


def test_both_styles_of_the_embedded_items() -> None:
    dataset, noto, fluent = (load(f"emoji{end}") for end in ("-all", "", "-fluent"))
    assert dataset.chosen == ("image", "fluent", "text")
    assert dataset.texts == noto.texts
    assert (dataset.labels == noto.labels).all()
    assert all((dataset.splits[part] == noto.splits[part]).all() for part in noto.splits)
    drawn = dataset.others["fluent"].images
    assert drawn is not None
    for i in (0, 5, 884):
        assert dataset.image_bytes(i) == noto.image_bytes(i)
        assert drawn.read(i) == fluent.image_bytes(i)
    assert all(dataset.has(modality).all() for modality in dataset.chosen)
    assert len({dataset.fingerprint, noto.fingerprint, fluent.fingerprint}) == 3
    assert not noto.others
    assert dataset.protocol == (
        "emoji-all (embedded, 885 items): 150 queries against a database of 735, of which 661 "
        "train and 74 validate, fixed, modalities image, fluent and text, 6.1 % of the texts "
        "contain one of their labels; image = Noto, fluent = Fluent 3D, text = name, label = "
        "Unicode subgroup."
    )


def test_fingerprints_of_the_styles_never_change() -> None:
    # Written down once: runs remember their data by them.
    assert load("emoji").fingerprint.startswith("ab3d2428b86ce8eb")
    assert load("emoji-fluent").fingerprint.startswith("e1539f71d68d6fdc")


def test_tags_and_how_much_they_give_away() -> None:
    dataset = load("emoji-all", modalities=("image", "fluent", "text", "tags"))
    tags = dataset.others["tags"].texts
    assert tags is not None
    assert tags[0] == (
        "befuddled, confused, confusing, dunno, face, frown, hm, meh, not, sad, sorry, sure"
    )

    def share(others: list[str]) -> float:
        split = [set(text.replace(",", "").replace("-", " ").casefold().split()) for text in others]
        own = [set(text.replace(",", "").replace("-", " ").casefold().split()) for text in tags]
        return 100 * np.mean([bool(a & b) for a, b in zip(own, split, strict=True)])

    names = share(list(dataset.texts))
    labels = share([dataset.labels_of(i)[0] for i in range(len(dataset))])
    assert abs(names - 69.0) < 0.5
    assert abs(labels - 49.0) < 0.5
    assert (
        "tags = keywords, of which 69.0 % share a word with the name and 49.0 % with the label, "
        "label = Unicode subgroup."
    ) in dataset.protocol
    assert "6.1 % of the texts and 19.9 % of the tags contain one of their labels; " in (
        dataset.protocol
    )


def test_the_full_set(make_set) -> None:
    root = make_set()
    dataset = load("emoji-all", root=root, modalities=("image", "fluent", "text", "tags"))
    assert (dataset.name, len(dataset)) == ("emoji-all-full", 271)
    assert dataset.label_names == ("face-smiling", "tree")
    assert len(dataset.splits["query"]) == 200
    missing = np.flatnonzero(~dataset.has("fluent"))
    assert missing.tolist() == list(range(0, 271, 5))
    assert dataset.image_name(7) == "emoji/0007_noto.jpg"
    assert dataset.others["fluent"].images.names[7] == "emoji/0007_fluent.jpg"
    assert dataset.others["tags"].texts[7] == "smiling, name 7"
    assert "(full, 271 items)" in dataset.protocol
    assert "drawn with split seed 0, modalities image, fluent (of 216 items), text and tags" in (
        dataset.protocol
    )
    # Odd items have their name and, of the faces, a word of the subgroup; of even ones the trees.
    labels = 100 * (70 + sum(i % 2 == 0 for i in range(140, 271))) / 271
    shares = f"{100 * 135 / 271:.1f} % share a word with the name and {labels:.1f} % with the label"
    assert shares in dataset.protocol
    assert "label = Unicode subgroup of at least 10 items." in dataset.protocol


def test_the_full_set_in_one_style(make_set) -> None:
    root = make_set()
    noto, fluent = load("emoji", root=root), load("emoji-fluent", root=root)
    assert (noto.name, len(noto)) == ("emoji-full", 271)
    assert (fluent.name, len(fluent)) == ("emoji-fluent-full", 216)
    assert fluent.image_name(0) == "emoji/0001_fluent.jpg"
    assert noto.chosen == fluent.chosen == ("image", "text")
    assert not fluent.others


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "x"}, "emoji: expected id, label, subgroup and fluent per entry of .*, got Value"),
        (
            {"tags": 3},
            "emoji: expected id, label, subgroup and fluent per entry of .*, got TypeErr",
        ),
    ],
)
def test_wrong_entries(make_set, changes: dict, message: str) -> None:
    with pytest.raises(DistillError, match=message):
        load("emoji", root=make_set(**changes))


def test_a_picture_that_is_not_there(make_set) -> None:
    root = make_set()
    (root / "emoji" / "0007_fluent.jpg").unlink()
    assert len(load("emoji", root=root)) == 271
    with pytest.raises(DistillError, match=r"images: expected 216 complete images .* got 1 .*0007"):
        load("emoji-all", root=root)
    assert len(load("emoji-all", root=root, bad_images="skip")) == 270
