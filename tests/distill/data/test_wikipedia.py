import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from distill.data import load
from distill.types import DistillError

NAMES = [
    *("art", "biology", "geography", "history", "literature"),
    *("media", "music", "royalty", "sport", "warfare"),
]
N_TRAIN, N_TEST = 20, 7
RNG = np.random.default_rng(0)
FEATURES = {
    f"{name}_{part}": RNG.random((n, width))
    for name, width in (("I", 6), ("T", 3), ("T_tfidf", 9))
    for part, n in (("tr", N_TRAIN), ("te", N_TEST))
}
CLASSES = {"train": [1 + i * 7 % 10 for i in range(N_TRAIN)], "test": [10, 1, 2, 3, 4, 5, 6]}
Make = Callable[..., Path]


def lines(part: str) -> list[str]:
    return [f"{part}-text-{i}.2\t{part}-picture-{i}\t{c}" for i, c in enumerate(CLASSES[part])]


@pytest.fixture
def make_wikipedia(tmp_path: Path) -> Make:
    """Write the three files; None leaves a variable out."""

    def make(*, train: list[str] | None = None, **features: np.ndarray | None) -> Path:
        given = {k: v for k, v in (FEATURES | features).items() if v is not None}
        scipy.io.savemat(tmp_path / "raw_features.mat", given)
        for part in CLASSES:
            content = train if part == "train" and train is not None else lines(part)
            file = tmp_path / f"{part}set_txt_img_cat.list"
            file.write_text("\n".join(content) + "\n")
        return tmp_path

    return make


@pytest.mark.parametrize(("kind", "key"), [("tfidf", "T_tfidf"), ("lda", "T")])
def test_the_published_sets_are_the_split(make_wikipedia: Make, kind: str, key: str):
    dataset = load("wikipedia", root=make_wikipedia(), text_features=kind)
    for modality, name in (("image", "I"), ("text", key)):
        both = np.concatenate([FEATURES[f"{name}_tr"], FEATURES[f"{name}_te"]])
        assert np.array_equal(dataset.features[modality], both.astype(np.float32))
    assert dataset.splits["query"].tolist() == list(range(N_TRAIN, N_TRAIN + N_TEST))
    assert dataset.splits["database"].tolist() == list(range(N_TRAIN))
    assert len(dataset.splits["train"]) == 18
    assert len(dataset.splits["validation"]) == 2
    found = [dataset.labels_of(i) for i in range(len(dataset))]
    assert found == [(NAMES[c - 1],) for c in CLASSES["train"] + CLASSES["test"]]
    assert dataset.image_name(N_TRAIN) == "test-picture-0"
    assert not dataset.has_images


def test_the_default_is_tfidf(make_wikipedia: Make):
    dataset = load("wikipedia", root=make_wikipedia())
    assert dataset.features["text"].shape == (N_TRAIN + N_TEST, 9)
    assert dataset.protocol == (
        "wikipedia, 27 items: 7 queries against a database of 20, of which 18 train and 2 "
        "validate, given by the files, its validation items drawn with split seed 0; image = SIFT "
        "histograms, text = word weights (tf-idf), labels = the 10 classes."
    )


def test_the_seed_holds_out(make_wikipedia: Make):
    root = make_wikipedia()
    one, other = (load("wikipedia", root=root, split_seed=seed) for seed in (0, 1))
    assert one.splits["query"].tolist() == other.splits["query"].tolist()
    assert one.splits["validation"].tolist() != other.splits["validation"].tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"I_tr": None}, r"raw_features\.mat: expected the variable I_tr, got I_te, T_te"),
        ({"T_tfidf_te": None}, r"expected the variable T_tfidf_te"),
        ({"I_te": FEATURES["I_te"][1:]}, "I_te: expected 7 rows, as in testset_txt_img_cat.list"),
        ({"I_te": FEATURES["I_te"][:, 1:]}, "I_te: expected 6 columns, as in I_tr, got 5; take"),
        ({"T_tfidf_tr": FEATURES["T_tfidf_tr"] * np.nan}, "T_tfidf_tr: expected finite numbers"),
        ({"train": lines("train")[1:]}, "I_tr: expected 19 rows, as in trainset_txt_img_cat"),
        ({"train": ["a\tb\t11"]}, r"line 1: expected article, picture and class 1\.\.10 between"),
        ({"train": ["a\tb\t1", "a b 1"]}, r"line 2: expected article, .*, got 'a b 1'; correct"),
        ({"train": ["a\tb\tx"]}, r"trainset_txt_img_cat\.list, line 1: expected article"),
    ],
)
def test_wrong_files_are_named(make_wikipedia: Make, changed: dict, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load("wikipedia", root=make_wikipedia(**changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["raw_features.mat", "trainset_txt_img_cat.list", "testset_txt_img_cat.list"]
)
def test_a_missing_file_is_named(make_wikipedia: Make, name: str):
    root = make_wikipedia()
    (root / name).unlink()
    with pytest.raises(DistillError, match=rf"{name}: expected .*, got no such file or directory"):
        load("wikipedia", root=root)


@pytest.mark.skipif(
    "HAMMING_WIKIPEDIA" not in os.environ, reason="needs HAMMING_WIKIPEDIA, the folder of the data"
)
@pytest.mark.parametrize(("kind", "width"), [("tfidf", 1000), ("lda", 10)])
def test_the_real_files(kind: str, width: int):
    root = Path(os.environ["HAMMING_WIKIPEDIA"])
    dataset = load("wikipedia", root=root, text_features=kind)
    assert dataset.features["image"].shape == (2866, 128)
    assert dataset.features["text"].shape == (2866, width)
    assert len(dataset.splits["query"]) == 693
    assert len(dataset.splits["database"]) == 2173
    counts = {
        part: dataset.labels[dataset.splits[part]].sum(0).tolist() for part in ("database", "query")
    }
    assert counts["database"] == [138, 272, 244, 248, 202, 178, 186, 144, 214, 347]
    assert counts["query"] == [34, 88, 96, 85, 65, 58, 51, 41, 71, 104]
