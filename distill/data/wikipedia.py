"""The Wikipedia pairs of Rasiwasia et al. (2010): features of articles and of their pictures.

    raw_features.mat               I_tr, I_te: 128 numbers, a histogram of SIFT words
                                   T_tr, T_te: 10 numbers, topics of the article (LDA)
                                   T_tfidf_tr, T_tfidf_te: 1,000 numbers, weights of its words
    trainset_txt_img_cat.list      a line an item: article, picture and class (1..10) between
    testset_txt_img_cat.list       tabs, in the order of the features

The published test set (693 pairs) is the queries, the published training set (2,173) the database;
validation items are held out of the latter. Labels are the ten classes.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distill.data.arrays import check_counts, features, read_lines, without_blank_end
from distill.data.base import ImageTextDataset, Text
from distill.data.images import NoImages
from distill.data.matfile import read_mat
from distill.data.pairs import Pairs, dataset_of
from distill.data.splits import SplitProtocol
from distill.types import DistillError

CLASSES = (
    "art",
    "biology",
    "geography",
    "history",
    "literature",
    "media",
    "music",
    "royalty",
    "sport",
    "warfare",
)
"""Names of the classes 1..10."""
TextFeatures = Literal["tfidf", "lda"]
_TEXT = {"tfidf": ("T_tfidf", "word weights (tf-idf)"), "lda": ("T", "topics (LDA)")}
_LISTS = {"tr": "trainset_txt_img_cat.list", "te": "testset_txt_img_cat.list"}


def load(
    root: Path, *, text: Text, split_seed: int, text_features: TextFeatures
) -> ImageTextDataset:
    """Read a folder; `registry.load` describes the settings.

    Raises:
        DistillError: a file is not as it should be.
    """
    variable, meaning = _TEXT[text_features]
    pairs = _read(root, variable)
    return dataset_of(
        "wikipedia",
        pairs,
        where=str(root),
        fields=f"image = SIFT histograms, text = {meaning}, labels = the {len(CLASSES)} classes",
        split=SplitProtocol(seed=split_seed),
        text=text,
        bad_images="refuse",
    )


def _read(root: Path, variable: str) -> Pairs:
    """The pairs with text features T or T_tfidf."""
    file = root / "raw_features.mat"
    image, texts = (
        {part: features(read_mat(file, f"{v}_{part}"), f"{file}, {v}_{part}") for part in _LISTS}
        for v in ("I", variable)
    )
    names: list[str] = []
    numbers: list[int] = []
    for part, listed in _LISTS.items():
        pictures, classes = _read_list(root / listed)
        counts = {f"I_{part}": len(image[part]), f"{variable}_{part}": len(texts[part])}
        check_counts({listed: len(classes)} | counts)
        names += pictures
        numbers += classes
    n_train = len(image["tr"])
    return Pairs(
        NoImages(tuple(names)),
        np.array(numbers)[:, None] == np.arange(1, len(CLASSES) + 1),
        CLASSES,
        features={"image": _joined(image, "I"), "text": _joined(texts, variable)},
        said=["train"] * n_train + ["query"] * (len(names) - n_train),
    )


def _read_list(file: Path) -> tuple[list[str], list[int]]:
    """Name of each picture, and number of its class."""
    pictures, classes = [], []
    lines = without_blank_end(read_lines(file, "article, picture and class a line"))
    for number, line in enumerate(lines, 1):
        _, picture, name = [*line.split("\t"), "", ""][:3]
        if not (name.strip().isdecimal() and 1 <= int(name) <= len(CLASSES)):
            raise DistillError(
                f"{file}, line {number}: expected article, picture and class 1..{len(CLASSES)} "
                f"between tabs, got {line[:80]!r}; correct it"
            )
        pictures.append(picture)
        classes.append(int(name))
    return pictures, classes


def _joined(parts: dict[str, NDArray[np.float32]], variable: str) -> NDArray[np.float32]:
    widths = {part: values.shape[1] for part, values in parts.items()}
    if widths["tr"] != widths["te"]:
        raise DistillError(
            f"{variable}_te: expected {widths['tr']} columns, as in {variable}_tr, got "
            f"{widths['te']}; take files that belong together"
        )
    return np.concatenate([parts["tr"], parts["te"]])
