import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from distill.data import load
from distill.types import DistillError

N = 10
PATHS = [f"img/{'x' * i}{i}.png" for i in range(N)]  # of several lengths: padded when stored
TEXTS = [f"a dog {i}" if i != 4 else "" for i in range(N)]
LABELS = np.array([[i % 2, 1 - i % 2] for i in range(N)], float)
Make = Callable[..., Path]


def cells(values: list) -> np.ndarray:
    column = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        column[i, 0] = value
    return column


@pytest.fixture
def make_triple(tmp_path: Path, picture) -> Make:
    """Write the three files and the pictures; None leaves a file out."""

    def make(**files: dict | None) -> Path:
        root = tmp_path / "mir"
        (root / "img").mkdir(parents=True)
        given = {
            "index": {"index": PATHS},
            "caption": {"caption": TEXTS},
            "label": {"category": LABELS},
        }
        for name, variables in (given | files).items():
            if variables is not None:
                scipy.io.savemat(root / f"{name}.mat", variables)
        for i, path in enumerate(PATHS):
            (root / path).write_bytes(picture(i))
        return root

    return make


def test_padded_strings(make_triple: Make, picture):
    root = make_triple()
    stored = scipy.io.loadmat(root / "index.mat")["index"]
    assert stored[0].endswith(" ")
    dataset = load("mat", root=root)
    assert [dataset.image_name(i) for i in range(N)] == PATHS
    assert [dataset.image_bytes(i) for i in range(N)] == [picture(i) for i in range(N)]
    assert list(dataset.texts) == TEXTS
    assert dataset.label_names == ("label 0", "label 1")
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.name == "mir"
    assert dataset.protocol == (
        "mir, 10 items: 1 queries against a database of 9, of which 8 train and 1 validate, drawn "
        "with split seed 0; text = caption.mat, of several the first, labels = the 2 columns of "
        "label.mat."
    )


def test_cells_and_lists_of_captions(make_triple: Make):
    captions = cells([np.array([text or "", "another, longer one"]) for text in TEXTS])
    root = make_triple(
        index={"index": cells(PATHS)}, caption={"caption": captions}, label={"label": LABELS}
    )
    dataset = load("mat", root=root)
    assert [dataset.image_name(i) for i in range(N)] == PATHS
    assert list(dataset.texts) == TEXTS


def test_matlab_73(make_triple: Make, save_matlab):
    root = make_triple()
    save_matlab(root / "index.mat", index=PATHS)
    save_matlab(root / "caption.mat", caption=TEXTS)
    save_matlab(root / "label.mat", category=LABELS)
    dataset = load("mat", root=root)
    assert [dataset.image_name(i) for i in range(N)] == PATHS
    assert list(dataset.texts) == TEXTS
    assert dataset.labels.tolist() == LABELS.tolist()


def test_captions_as_lines_and_names(make_triple: Make):
    root = make_triple(caption=None)
    (root / "caption.txt").write_text("\r\n".join(TEXTS) + "\r\n")
    (root / "classes.txt").write_text("cat\ndog\n")
    dataset = load("mat", root=root)
    assert list(dataset.texts) == TEXTS
    assert dataset.label_names == ("cat", "dog")
    assert dataset.labels_of(0) == ("dog",)
    assert "40.0 % of the texts contain one of their labels; text = caption.txt, labels" in (
        dataset.protocol
    )


def test_absolute_paths(make_triple: Make, tmp_path: Path):
    root = make_triple(index={"index": [str(tmp_path / "mir" / path) for path in PATHS]})
    assert load("mat", root=root).image(3).size == (24, 24)


def test_paths_with_backslashes(make_triple: Make):
    dataset = load("mat", root=make_triple(index={"index": [p.replace("/", "\\") for p in PATHS]}))
    assert [dataset.image_name(i) for i in range(N)] == PATHS


def test_blank_lines_after_the_texts(make_triple: Make):
    root = make_triple(caption=None)
    file = root / "caption.txt"
    texts = [*TEXTS[:-1], ""]  # the last text is empty, and stays
    file.write_text("\n".join(texts) + "\n\n \n")
    assert list(load("mat", root=root).texts) == texts
    file.write_text("\n".join([*TEXTS, "one more"]) + "\n\n")
    message = r"caption\.txt: expected 10 rows, as in index\.mat, got 11"
    with pytest.raises(DistillError, match=message):
        load("mat", root=root)


def test_texts_that_are_no_unicode(make_triple: Make, save_matlab):
    root = make_triple()
    save_matlab(root / "caption.mat", caption=[*TEXTS[:-1], "\ud83d"])
    message = r"caption\.mat, caption: expected Unicode text, got .* in row 9; correct it"
    with pytest.raises(DistillError, match=message):
        load("mat", root=root)
    save_matlab(root / "caption.mat", caption=[*TEXTS[:-1], "\U0001f436"])
    assert load("mat", root=root).texts[-1] == "\U0001f436"


def test_a_published_split(make_triple: Make, small_protocol):
    name = small_protocol(N, "permutation", seed=1814)
    dataset = load("mat", root=make_triple(), protocol=name)
    order = np.random.RandomState(1814).permutation(N)
    assert dataset.splits["query"].tolist() == sorted(order[:3])
    learned = [*dataset.splits["train"], *dataset.splits["validation"]]
    assert sorted(learned) == sorted(order[3:8])
    assert "RandomState(1814).permutation(10)" in dataset.protocol


def test_a_missing_picture(make_triple: Make, small_protocol, caplog):
    root = make_triple()
    (root / PATHS[2]).unlink()
    with pytest.raises(DistillError, match=r"expected 10 complete images .* 1 that cannot be read"):
        load("mat", root=root)
    with caplog.at_level(logging.WARNING):
        dataset = load("mat", root=root, bad_images="skip")
    assert list(dataset.texts) == [text for i, text in enumerate(TEXTS) if i != 2]
    with pytest.raises(DistillError, match=r"protocol: expected the 10 labelled .*got 9 of 9"):
        load("mat", root=root, bad_images="skip", protocol=small_protocol(N))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"index": None}, r"index\.mat: expected a \.mat file, got no such file"),
        ({"label": None}, r"label\.mat: expected a \.mat file, got no such file"),
        ({"caption": None}, r"expected caption\.mat or caption\.txt in .*, got neither; add one"),
        ({"index": {"paths": PATHS}}, r"index\.mat: expected the variable index, got paths; name"),
        ({"label": {"y": LABELS}}, r"expected the variable category or label, got y"),
        ({"index": {"index": LABELS}}, r"index\.mat, index: expected strings, got something else"),
        ({"index": {"index": ["a", " "]}}, r"caption\.mat: expected 2 rows, as in index\.mat, got"),
        ({"index": {"index": [*PATHS[1:], " "]}}, r"expected a path in every row, .* in row 9"),
        ({"label": {"label": LABELS[1:]}}, r"label\.mat: expected 10 rows, .*, got 9; take files"),
        (
            {"label": {"label": LABELS + np.inf}},
            r"label\.mat: expected labels 0 or 1, got inf in",
        ),
        ({"label": {"label": LABELS * 3}}, r"label\.mat: expected labels 0 or 1, got 3\.0 in row"),
        ({"label": {"label": LABELS * 0}}, r"labels: expected at least one item with a label in"),
    ],
)
def test_wrong_files_are_named(make_triple: Make, files: dict, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load("mat", root=make_triple(**files))
    assert "\n" not in str(caught.value)


def test_captions_of_both_kinds_are_refused(make_triple: Make):
    root = make_triple()
    (root / "caption.txt").write_text("\n".join(TEXTS))
    with pytest.raises(DistillError, match="got both; remove one"):
        load("mat", root=root)
    (root / "caption.mat").unlink()
    (root / "classes.txt").write_text("cat\n")
    with pytest.raises(DistillError, match=r"classes\.txt: expected 2 different names"):
        load("mat", root=root)
