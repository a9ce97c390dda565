import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data import build_embedded, embedded, load
from distill.data.base import Item
from distill.data.build_embedded import drop_rare, main, select_clipart, select_emoji

Make = Callable[..., Path]


@pytest.fixture
def emoji(tmp_path: Path, picture) -> Path:
    root = tmp_path / "emoji-set"
    (root / "emoji").mkdir(parents=True)
    groups = ["face"] * 90 + ["tree"] * 200 + ["rare"] * 3 + ["country-flag"] * 20
    entries = []
    for i, group in enumerate(groups):
        entries.append({"id": i, "label": f"name {i}", "subgroup": group, "fluent": i != 5})
        entries[-1]["tags"] = ["tag", f"no. {i}"]
        for style in ("noto", "fluent"):
            data = picture(i + (style == "noto"), size=16, kind="JPEG")
            (root / "emoji" / f"{i:04d}_{style}.jpg").write_bytes(data)
    (root / "emoji.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Query counts that the generated sets are large enough for."""
    for name in ("openclipart", "emoji"):
        protocol = embedded.SplitProtocol(queries=10)
        monkeypatch.setitem(embedded.PROTOCOLS, name, protocol)


def test_the_command_writes_what_load_reads(
    make_clipart: Make, emoji: Path, tmp_path: Path, small: None, monkeypatch, capsys
):
    arguments = ["--clipart", str(make_clipart()), "--emoji", str(emoji)]
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        assert main([*arguments, "--out", str(out)]) == 0
    for name in ("openclipart.zip", "emoji.zip"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    assert sorted(file.name for file in outs[0].iterdir()) == ["emoji.zip", "openclipart.zip"]
    assert "openclipart: 92 items, 3 labels" in capsys.readouterr().out

    monkeypatch.setattr(embedded, "ARCHIVES", outs[0])
    dataset = load("openclipart")
    assert dataset.label_names == ("boat", "flag", "sea_side")
    assert dataset.image_name(1) == "0001.webp"
    assert len(dataset.splits["query"]) == 10
    assert load("emoji").texts[:3] == ("name 0", "name 2", "name 4")
    assert len(load("emoji")) == len(load("emoji-fluent")) == 80
    both = load("emoji-all", modalities=("image", "fluent", "tags"))
    assert both.others["tags"].texts[:2] == ("tag, no. 0", "tag, no. 2")
    assert both.others["fluent"].images.read(1) == load("emoji-fluent").image_bytes(1)


def test_useless_and_surplus_items_are_left_out():
    many = [Item(f"a{i}", f"text {i}", ("common",)) for i in range(200)]
    same = [Item(f"b{i}", "card", ("common", "card")) for i in range(30)]
    empty = [Item(f"c{i}", "", ("empty",)) for i in range(30)]
    author = [Item(f"d{i}", f"d {i}", ("architetto_francesco_rollandin",)) for i in range(30)]
    rare = [Item(f"e{i}", f"e {i}", ("common", "boat")) for i in range(20)]
    chosen = select_clipart([*many, *same, *empty, *author, *rare])
    letters = [item.image[0] for item in chosen]
    assert letters.count("e") == 20  # the rarer label first
    assert letters.count("b") == 3  # as often as one text may occur
    assert letters.count("a") == build_embedded.CLIPART_PER_LABEL - 23
    assert not {"c", "d"} & set(letters)
    assert {label for item in chosen for label in item.labels} == {"common", "boat"}


def test_large_subgroups_are_thinned_evenly(emoji: Path):
    items = select_emoji(emoji)
    labels = [item.labels[0] for item in items]
    assert labels.count("tree") == 40
    assert labels.count("face") == 40
    assert {"rare", "country-flag"}.isdisjoint(labels)
    numbers = [int(item.image) for item in items if item.labels == ("tree",)]
    assert {b - a for a, b in itertools.pairwise(numbers)} == {5}


def test_dropping_repeats_until_every_label_is_frequent():
    # Without "a" (14 items), "b" is left with 14 and goes too.
    items = [Item("x", "", ("a",))] * 13 + [Item("y", "", ("a", "b"))]
    items += [Item("z", "", ("b", "c"))] * 13 + [Item("w", "", ("c",))] * 2
    assert {item.labels for item in drop_rare(items)} == {("c",)}
    assert len(drop_rare(items)) == 15
    assert drop_rare([]) == []


def test_wrong_use(make_clipart: Make, emoji: Path, tmp_path: Path, small: None, capsys):
    clipart = make_clipart()
    assert main(["--clipart", str(tmp_path), "--emoji", str(emoji), "--out", str(tmp_path)]) == 2
    assert "root: expected a folder with clipart.json" in capsys.readouterr().err
    (emoji / "emoji.json").write_text('[{"id": 1}]')
    arguments = ["--clipart", str(clipart), "--emoji", str(emoji), "--out", str(tmp_path / "x")]
    assert main(arguments) == 2
    assert "emoji: expected id, label, subgroup and fluent" in capsys.readouterr().err
    assert not (tmp_path / "x" / "emoji.zip").exists()
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
