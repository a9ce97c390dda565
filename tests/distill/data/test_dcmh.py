import itertools
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from distill.data import load
from distill.types import DistillError

N, HEIGHT, WIDTH = 12, 5, 7
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, HEIGHT, WIDTH, 3), np.uint8)
TAGS = RNG.integers(0, 2, (N, 9)).astype(float)
LABELS = np.array([[i % 2, 1 - i % 2, i == 5, 0] for i in range(N)], float)
STORED = {"images": IMAGES, "YAll": TAGS, "LAll": LABELS}
Make = Callable[..., Path]


@pytest.fixture
def make_file(tmp_path: Path) -> Make:
    """Write arrays as they are, or in reverse as MATLAB does; None leaves one out."""

    def make(*, matlab: bool = False, **arrays: np.ndarray | None) -> Path:
        path = tmp_path / "FLICKR-25K.mat"
        with h5py.File(path, "w") as file:
            for name, array in (STORED | arrays).items():
                if array is not None:
                    item = file.create_dataset(name, data=array.T if matlab else array)
                    if matlab:
                        item.attrs["MATLAB_class"] = np.bytes_("uint8")
        return path

    return make


def check_pictures(dataset) -> None:
    for i in range(N):
        assert np.array_equal(np.asarray(dataset.image(i)), IMAGES[i])


def test_a_file_of_matlab(make_file: Make):
    # In MATLAB height, width, colour, item; on disk item, colour, width, height.
    images = IMAGES.transpose(1, 2, 3, 0)
    path = make_file(matlab=True, images=images, YAll=TAGS.T, LAll=LABELS.T)
    with h5py.File(path) as file:
        assert file["images"].shape == (N, 3, WIDTH, HEIGHT)
        assert file["YAll"].shape == (N, 9)
    dataset = load("dcmh", path=path)
    check_pictures(dataset)
    assert dataset.has_images
    assert dataset.features["text"].dtype == np.float32
    assert dataset.features["text"].tolist() == TAGS.tolist()
    assert set(dataset.features) == {"text"}
    assert set(dataset.texts) == {""}
    assert dataset.label_names == ("label 0", "label 1", "label 2")
    assert dataset.labels.tolist() == LABELS[:, :3].tolist()
    assert dataset.image_name(3) == "picture 03"
    assert dataset.protocol == (
        "dcmh, 12 items: 1 queries against a database of 11, of which 10 train and 1 validate, "
        "drawn with split seed 0; text = 9 tags as a vector, labels = the 4 columns of LAll."
    )


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_axes_in_any_order(make_file: Make, order: tuple[int, ...]):
    swapped = order.index(1) > order.index(2)  # height after width: only MATLAB does that
    dataset = load(
        "dcmh",
        path=make_file(images=IMAGES.transpose(order), YAll=TAGS.T, LAll=LABELS.T),
    )
    pixels = np.asarray(dataset.image(4))
    assert np.array_equal(pixels.transpose(1, 0, 2) if swapped else pixels, IMAGES[4])
    assert dataset.features["text"].tolist() == TAGS.tolist()


def test_a_published_split(make_file: Make, small_protocol):
    path = make_file()
    dataset = load("dcmh", path=path, protocol=small_protocol(N))
    assert dataset.splits["query"].tolist() == [0, 1, 2]
    assert dataset.splits["database"].tolist() == list(range(3, N))
    learned = [*dataset.splits["train"], *dataset.splits["validation"]]
    assert sorted(learned) == [3, 4, 5, 6, 7]
    assert len(dataset.splits["validation"]) == 1
    assert "by protocol small (ten, a test): in the order of the file" in dataset.protocol
    with pytest.raises(DistillError, match=r"protocol: expected the 20,015 .*, got 12 of 12"):
        load("dcmh", path=path, protocol="mirflickr-dcmh")


def test_items_without_a_label_are_left_out(make_file: Make):
    labels = LABELS.copy()
    labels[:2] = 0
    dataset = load("dcmh", path=make_file(LAll=labels))
    assert len(dataset) == N - 2
    assert np.array_equal(np.asarray(dataset.image(0)), IMAGES[2])
    assert dataset.features["text"].tolist() == TAGS[2:].tolist()
    assert "10 items (2 without a label left out)" in dataset.protocol


def test_pictures_stay_in_the_file(make_file: Make):
    n = 300
    big = np.zeros((n, 64, 64, 3), np.uint8)
    path = make_file(images=big, YAll=np.ones((n, 2)), LAll=np.ones((n, 1)))
    load("dcmh", path=path)
    tracemalloc.start()
    load("dcmh", path=path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < big.nbytes / 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"YAll": None}, "expected the variables images, YAll and LAll, got no YAll; take DCMH's"),
        ({"YAll": None, "images": None}, "got no YAll and no images"),
        (
            {"YAll": TAGS[1:]},
            "expected one size, the number of items, .* got LAll (12, 4), YAll (11",
        ),
        ({"YAll": TAGS[:, :5], "LAll": np.eye(N, 5)}, "expected one size, the number of items"),
        ({"YAll": np.zeros((N, N))}, "YAll: expected one axis of 12, got (12, 12)"),
        ({"LAll": np.zeros((N, 2, 2))}, "LAll: expected two axes, one of 12, got (12, 2, 2)"),
        ({"images": IMAGES.astype(float)}, "images: expected uint8 and the axes .* got float64"),
        ({"images": IMAGES[..., 0]}, "images: expected uint8 and the axes .* got uint8 (12, 5, 7)"),
        ({"images": IMAGES[..., :2]}, "images: expected one axis of 3, got (12, 5, 7, 2)"),
        ({"images": IMAGES[:, :3]}, "images: expected one axis of 3, got (12, 3, 7, 3)"),
        ({"LAll": LABELS * 2}, "LAll: expected labels 0 or 1, got 2.0 in row 0"),
        ({"YAll": TAGS * np.nan}, "YAll: expected finite numbers, got NaN or infinity in row 0"),
        ({"LAll": LABELS * 0}, "labels: expected at least one item with a label"),
    ],
)
def test_wrong_parts_are_named(make_file: Make, arrays: dict, message: str):
    pattern = re.escape(message).replace(r"\.\*", ".*").replace(r"\ ", " ")
    with pytest.raises(DistillError, match=pattern) as caught:
        load("dcmh", path=make_file(**arrays))
    assert "\n" not in str(caught.value)


def test_names_beside_the_file(make_file: Make, caplog):
    path = make_file()
    assert load("dcmh", path=path).label_names[0] == "label 0"
    (path.parent / "classes.txt").write_text("sea\nsky\ndog\ncar\n")
    dataset = load("dcmh", path=path)
    assert not caplog.text
    assert dataset.label_names == ("dog", "sea", "sky")
    assert [dataset.labels_of(i) for i in (0, 1, 5)] == [("sky",), ("sea",), ("dog", "sea")]
    (path.parent / "classes.txt").write_text("sea\n")
    with pytest.raises(DistillError, match=r"classes\.txt: expected 4 different names"):
        load("dcmh", path=path)


def test_no_such_file(tmp_path: Path):
    with pytest.raises(DistillError, match=r"path: expected DCMH's FLICKR-25K\.mat, an HDF5 file"):
        load("dcmh", path=tmp_path / "x.mat")
    (tmp_path / "x.mat").write_bytes(b"no")
    with pytest.raises(DistillError, match=r"path: expected DCMH's .* got .*x\.mat \("):
        load("dcmh", path=tmp_path / "x.mat")
    for path, reason in ((tmp_path, "is a directory"), (tmp_path / "y.mat", "no such file")):
        with pytest.raises(DistillError, match=rf"got .* \({reason}.*\); check it") as caught:
            load("dcmh", path=path)
        assert "\n" not in str(caught.value)
        assert "errno" not in str(caught.value)
