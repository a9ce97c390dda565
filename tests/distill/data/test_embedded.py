import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from distill.data import embedded, load, title_leak
from distill.data.base import Item
from distill.data.embedded import PROTOCOLS, pack_archive
from distill.data.images import unreadable
from distill.types import DistillError

FOLDER = Path(embedded.__file__).parent
SIZES = {"openclipart": (1745, 84, 250), "emoji": (885, 35, 150), "emoji-fluent": (885, 35, 150)}


@pytest.fixture(scope="module", params=SIZES)
def dataset(request: pytest.FixtureRequest):
    return load(request.param)


def leak(dataset) -> float:
    return title_leak(dataset.texts, [dataset.labels_of(i) for i in range(len(dataset))])


def test_counts(dataset):
    n_items, n_labels, n_queries = SIZES[dataset.name]
    assert dataset.labels.shape == (n_items, n_labels)
    assert len(dataset.splits["query"]) == n_queries
    assert len(dataset) == len(dataset.texts) == len(dataset.label_names) + n_items - n_labels
    assert dataset.labels.sum(axis=1).min() >= 1
    assert set(np.unique(dataset.labels)) == {0, 1}
    assert list(dataset.label_names) == sorted(set(dataset.label_names))


def test_the_main_dataset_is_large_enough():
    dataset = load("openclipart")
    assert len(dataset) >= 1500
    assert (dataset.labels.sum(axis=0) >= 15).sum() >= 20


def test_every_label_has_fifteen_items(dataset):
    assert dataset.labels.sum(axis=0).min() >= 15


def test_splits_are_disjoint_and_whole(dataset):
    parts = dataset.splits
    assert set(parts) == {"train", "validation", "query", "database"}
    rows = np.concatenate([parts["train"], parts["validation"], parts["query"]])
    assert sorted(rows) == list(range(len(dataset)))
    assert sorted([*parts["query"], *parts["database"]]) == list(range(len(dataset)))


def test_every_query_has_something_to_find(dataset):
    query, database = (dataset.labels[dataset.splits[part]] for part in ("query", "database"))
    assert (query.astype(int) @ database.T.astype(int)).max(axis=1).min() >= 1


def test_the_stored_split_is_the_drawn_one(dataset):
    protocol = PROTOCOLS[dataset.name.partition("-")[0]]
    drawn = protocol.draw(np.ones(len(dataset), bool))
    assert all((dataset.splits[part] == drawn[part]).all() for part in drawn)


def test_other_seeds_draw_other_splits_of_the_same_sizes(dataset):
    other = load(dataset.name, split_seed=1)
    for part, rows in dataset.splits.items():
        assert len(rows) == len(other.splits[part])
    assert dataset.splits["query"].tolist() != other.splits["query"].tolist()
    assert "fixed" in dataset.protocol
    assert "drawn with split seed 1" in other.protocol


def test_pictures_are_whole_and_of_the_right_size(dataset):
    assert not unreadable(dataset.images)
    for i in range(0, len(dataset), 40):
        image = dataset.image(i)
        assert (image.mode, image.size) == ("RGB", (128, 128))
        assert dataset.image_bytes(i)[8:12] == b"WEBP"


def test_pictures_are_all_different_but_for_a_few(dataset):
    # Open Clip Art holds the same drawing more than once, under other names.
    blobs = Counter(dataset.image_bytes(i) for i in range(len(dataset)))
    assert len(blobs) >= 0.98 * len(dataset)


def test_texts_say_something_and_are_not_the_tags(dataset):
    assert all(text == text.strip() and text for text in dataset.texts)
    assert max(Counter(text.casefold() for text in dataset.texts).values()) <= 3
    joined = {" ".join(dataset.labels_of(i)) for i in range(len(dataset))}
    assert sum(text in joined for text in dataset.texts) < 0.01 * len(dataset)
    assert not any("@" in text or "http" in text for text in dataset.texts)


@pytest.mark.parametrize(("name", "share"), [("openclipart", 0.28), ("emoji", 0.06)])
def test_title_leak(name: str, share: float):
    assert leak(load(name)) == pytest.approx(share, abs=0.01)
    assert leak(load(name, text="scrubbed")) == 0


def test_both_emoji_styles_show_the_same_items():
    noto, fluent = load("emoji"), load("emoji-fluent")
    assert noto.texts == fluent.texts
    assert (noto.labels == fluent.labels).all()
    assert all((noto.splits[part] == fluent.splits[part]).all() for part in noto.splits)
    assert noto.image_name(5) == "noto/0005.webp"
    assert fluent.image_name(5) == "fluent/0005.webp"
    assert noto.image_bytes(5) != fluent.image_bytes(5)


def test_protocol_sentences():
    assert load("openclipart", text="scrubbed").protocol == (
        "openclipart (embedded, 1745 items): 250 queries against a database of 1495, of which "
        "1345 train and 150 validate, fixed, 0.0 % of the texts contain one of their labels; text "
        "= title and first 80 characters of the description, labels = tags, each item's own labels "
        "taken out of its text."
    )
    assert load("emoji").protocol == (
        "emoji (embedded, 885 items): 150 queries against a database of 735, of which 661 train "
        "and 74 validate, fixed, 6.1 % of the texts contain one of their labels; text = name, "
        "label = Unicode subgroup."
    )


def test_fingerprints_tell_datasets_apart_and_repeat():
    prints = {
        load(name, text=text, split_seed=seed).fingerprint
        for name in ("emoji", "emoji-fluent")
        for text in ("full", "scrubbed")
        for seed in (0, 1)
    }
    assert len(prints) == 8
    assert load("emoji").fingerprint in prints


def test_everything_is_at_most_six_megabytes():
    files = [file for file in FOLDER.rglob("*") if "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 6_000_000


def test_licences_lie_beside_the_data():
    licences = FOLDER / "embedded" / "licences"
    readme = (FOLDER / "embedded" / "README.md").read_text()
    for file, phrase in {
        "Apache-2.0.txt": "Apache License",
        "OFL-1.1.txt": "SIL OPEN FONT LICENSE Version 1.1",
        "MIT-fluent.txt": "Copyright (c) Microsoft Corporation",
        "MIT-emojibase.txt": "Miles Johnson",
        "openclipart-public-domain.txt": "Public Domain Dedication",
    }.items():
        assert phrase in (licences / file).read_text()
        assert f"licences/{file}" in readme


def test_archives_are_plain_zip_files():
    with zipfile.ZipFile(FOLDER / "embedded" / "emoji.zip") as archive:
        assert archive.testzip() is None
        assert sum(name.startswith("fluent/") for name in archive.namelist()) == 885


def test_packing_is_deterministic():
    items = [Item("b.png", "ü", ("x",), "train"), Item("a.png", "", ("x", "y"), "query")]
    first = pack_archive(items, {"b.png": b"2", "a.png": b"1"})
    assert first == pack_archive(items, {"a.png": b"1", "b.png": b"2"})


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_broken_installation_is_named(tmp_path: Path, monkeypatch, content: bytes | None):
    if content is not None:
        (tmp_path / "openclipart.zip").write_bytes(content)
    monkeypatch.setattr(embedded, "ARCHIVES", tmp_path)
    with pytest.raises(DistillError, match=r"openclipart: expected its archive .*; install again"):
        load("openclipart")
