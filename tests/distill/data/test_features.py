from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from distill.data import load
from distill.types import DistillError

N = 12
RNG = np.random.default_rng(0)
IMAGE, TEXT = RNG.normal(size=(N, 4)), RNG.integers(0, 9, (N, 3))
LABELS = np.array([[i % 2, 1 - i % 2, i == 5] for i in range(N)], float)
CLASSES = np.array([3, 10] * (N // 2))
PARTS = {"train": slice(0, 6), "semi": slice(6, 8), "test": slice(8, 12)}
Make = Callable[..., Path]


@pytest.fixture
def make_arrays(tmp_path: Path) -> Make:
    """Write .npy files; None leaves one out."""

    def make(**arrays: np.ndarray | None) -> Path:
        root = tmp_path / "xmedia.v2"
        root.mkdir()
        for name, array in arrays.items():
            if array is not None:
                np.save(root / f"{name}.npy", array)
        return root

    return make


def whole(**arrays: np.ndarray | None) -> dict:
    return {"image": IMAGE, "text": TEXT, "labels": LABELS} | arrays


def divided(**arrays: np.ndarray | None) -> dict:
    parts = {}
    for part, rows in PARTS.items():
        parts |= {f"img_{part}": IMAGE[rows], f"texts_{part}": TEXT[rows]}
        parts |= {f"labels_{part}_{kind}": LABELS[rows] for kind in ("img", "txt")}
    return parts | arrays


def check_features(dataset) -> None:
    assert np.array_equal(dataset.features["image"], IMAGE.astype(np.float32))
    assert np.array_equal(dataset.features["text"], TEXT.astype(np.float32))
    assert {values.dtype for values in dataset.features.values()} == {np.dtype(np.float32)}
    assert not dataset.has_images
    assert set(dataset.texts) == {""}


def test_a_folder_of_arrays(make_arrays: Make):
    dataset = load("features", root=make_arrays(**whole()))
    check_features(dataset)
    assert dataset.name == "xmedia.v2"
    assert dataset.label_names == ("label 0", "label 1", "label 2")
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.image_name(3) == "row 03"
    assert dataset.protocol == (
        "xmedia.v2, 12 items: 1 queries against a database of 11, of which 10 train and 1 "
        "validate, drawn with split seed 0; image and text = the given features, 4 and 3 numbers, "
        "labels = the 3 given ones."
    )


def test_numbers_of_classes(make_arrays: Make):
    root = make_arrays(**whole(labels=CLASSES))
    dataset = load("features", root=root)
    assert dataset.label_names == ("label 03", "label 10")
    assert dataset.labels.tolist() == [[1, 0], [0, 1]] * (N // 2)
    names = [f"class {'abcdefghijklm'[i]}" for i in range(13)]
    (root / "classes.txt").write_text("\n".join(names))
    dataset = load("features", root=root)
    assert dataset.label_names == ("class d", "class k")
    (root / "classes.txt").write_text("\n".join(names[:10]))
    with pytest.raises(DistillError, match=r"expected class numbers below 10, .* got 10; correct"):
        load("features", root=root)


def test_a_column_is_of_class_numbers(make_arrays: Make):
    dataset = load("features", root=make_arrays(**whole(labels=CLASSES[:, None])))
    assert dataset.label_names == ("label 03", "label 10")


@pytest.mark.parametrize("kind", ["v5", "v7.3"])
def test_vectors_of_matlab(tmp_path: Path, save_matlab, kind: str):
    save = save_matlab if kind == "v7.3" else lambda path, **arrays: scipy.io.savemat(path, arrays)
    for labels in (CLASSES[:, None], CLASSES[None]):
        save(tmp_path / "a.mat", **whole(labels=labels))
        dataset = load("features", path=tmp_path / "a.mat")
        assert dataset.label_names == ("label 03", "label 10")
    save(tmp_path / "a.mat", **whole(labels=CLASSES[None] == 3))
    assert load("features", path=tmp_path / "a.mat").label_names == ("label 0", "label 1")
    (tmp_path / "classes.txt").write_text("sea\nsky\n")
    assert load("features", path=tmp_path / "a.mat").labels_of(0) == ("sky",)


def test_a_column_of_0_and_1_is_one_label(make_arrays: Make):
    dataset = load("features", root=make_arrays(**whole(labels=LABELS[:, :1])))
    assert len(dataset) == N // 2
    assert dataset.labels.tolist() == [[1]] * (N // 2)


def last_query(labels: np.ndarray) -> dict:
    """A divided folder with one test pair, whose labels are those of the last rows."""
    rows = {"train": slice(0, 9), "semi": slice(9, 11), "test": slice(11, 12)}
    arrays = {}
    for part, there in rows.items():
        arrays |= {f"img_{part}": IMAGE[there], f"texts_{part}": TEXT[there]}
        arrays |= {f"labels_{part}_{kind}": labels[there] for kind in ("img", "txt")}
    return arrays


def test_one_test_pair(make_arrays: Make):
    dataset = load("features", root=make_arrays(**last_query(LABELS)))
    check_features(dataset)
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.splits["query"].tolist() == [11]


def test_one_test_pair_of_class_numbers(make_arrays: Make):
    # The class of the test pair, 1, could be a label of its own: the other parts say that it is no.
    numbers = np.array([5, 1] * (N // 2))[:, None]
    dataset = load("features", root=make_arrays(**last_query(numbers)))
    assert dataset.label_names == ("label 1", "label 5")
    assert dataset.labels_of(11) == ("label 1",)


def test_sparse_arrays_of_a_mat_file(tmp_path: Path):
    sparse = {name: scipy.sparse.csc_matrix(array * 1.0) for name, array in whole().items()}
    scipy.io.savemat(tmp_path / "a.mat", sparse)
    dataset = load("features", path=tmp_path / "a.mat")
    check_features(dataset)
    assert dataset.labels.tolist() == LABELS.tolist()


def test_names_of_columns(make_arrays: Make):
    root = make_arrays(**whole())
    (root / "classes.txt").write_text("odd\neven\nfive\n")
    assert load("features", root=root).labels_of(5) == ("five", "odd")


def test_a_published_split(make_arrays: Make, small_protocol):
    root = make_arrays(**whole())
    dataset = load("features", root=root, protocol=small_protocol(N, "permutation", 6))
    order = np.random.RandomState(6).permutation(N)
    assert dataset.splits["query"].tolist() == sorted(order[:3])
    other = load("features", root=root, protocol="small", split_seed=7)
    assert other.splits["query"].tolist() == sorted(np.random.RandomState(7).permutation(N)[:3])


def test_a_divided_folder(make_arrays: Make):
    dataset = load("features", root=make_arrays(**divided()))
    check_features(dataset)
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.splits["query"].tolist() == [8, 9, 10, 11]
    assert dataset.splits["database"].tolist() == list(range(8))
    assert dataset.splits["unlabelled"].tolist() == [6, 7]
    learned = [*dataset.splits["train"], *dataset.splits["validation"]]
    assert sorted(learned) == list(range(6))
    assert "8, of which 5 train, 2 are unlabelled and 1 validate" in dataset.protocol
    assert "given by the files, its validation items drawn with split seed 0" in dataset.protocol


def test_without_semi_and_with_the_other_name(make_arrays: Make):
    parts = {
        name.replace("texts_", "txt_"): array[..., :]
        for name, array in divided().items()
        if "semi" not in name
    }
    dataset = load("features", root=make_arrays(**parts))
    assert len(dataset) == 10
    assert dataset.splits["query"].tolist() == [6, 7, 8, 9]
    assert np.array_equal(dataset.features["text"], TEXT[[*range(6), *range(8, 12)]])


def test_class_numbers_of_all_parts_share_columns(make_arrays: Make):
    labels = {"train": [1] * 6, "semi": [1] * 2, "test": [1, 2, 2, 2]}
    numbers = {f"labels_{p}_{k}": np.array(labels[p]) for p in PARTS for k in ("img", "txt")}
    dataset = load("features", root=make_arrays(**divided(**numbers)))
    assert dataset.label_names == ("label 1", "label 2")
    assert dataset.labels[:, 0].tolist() == [1] * 8 + [1, 0, 0, 0]


@pytest.mark.parametrize("kind", ["v5", "v7.3"])
def test_a_mat_file(tmp_path: Path, save_matlab, kind: str):
    save = save_matlab if kind == "v7.3" else lambda path, **arrays: scipy.io.savemat(path, arrays)
    save(tmp_path / "a.mat", **whole())
    dataset = load("features", path=tmp_path / "a.mat")
    check_features(dataset)
    assert dataset.name == "a"
    assert dataset.labels.tolist() == LABELS.tolist()
    parts = {}
    for end, rows in (("tr", slice(0, 8)), ("te", slice(8, 12))):
        parts |= {f"I_{end}": IMAGE[rows], f"T_{end}": TEXT[rows], f"L_{end}": CLASSES[None, rows]}
    save(tmp_path / "b.mat", **parts)
    dataset = load("features", path=tmp_path / "b.mat")
    check_features(dataset)
    assert dataset.splits["query"].tolist() == [8, 9, 10, 11]
    assert dataset.label_names == ("label 03", "label 10")
    with pytest.raises(DistillError, match=r"protocol: expected none for the features in .*b\.mat"):
        load("features", path=tmp_path / "b.mat", protocol="coco-mith")


def test_items_without_a_label_are_left_out(make_arrays: Make):
    labels = LABELS.copy()
    labels[[0, 4]] = 0
    dataset = load("features", root=make_arrays(**whole(labels=labels)))
    kept = [i for i in range(N) if i not in (0, 4)]
    assert np.array_equal(dataset.features["image"], IMAGE[kept].astype(np.float32))
    assert dataset.image_name(0) == "row 01"


def with_missing(values: np.ndarray, *rows: int) -> np.ndarray:
    values = values.astype(float)
    values[list(rows)] = np.nan
    return values


AUDIO = with_missing(RNG.normal(size=(N, 5)), 0, 1, 2, 9)


def test_further_arrays_are_used_where_they_are_named(make_arrays: Make):
    root = make_arrays(**whole(audio=AUDIO, **{"3d": RNG.normal(size=(N, 2)), "No_name": LABELS}))
    (root / "broken.npy").write_bytes(b"no array")
    plain = load("features", root=root)
    assert plain.chosen == ("image", "text")
    assert set(plain.features) == {"image", "text"}
    dataset = load("features", root=root, modalities=("image", "audio", "text"))
    assert dataset.chosen == tuple(dataset.features) == ("image", "audio", "text")
    assert np.array_equal(dataset.features["audio"], AUDIO.astype(np.float32), equal_nan=True)
    assert np.flatnonzero(~dataset.has("audio")).tolist() == [0, 1, 2, 9]
    assert dataset.has("image").all()
    assert dataset.fingerprint != plain.fingerprint
    assert (
        ", modalities image, audio (of 8 items) and text; image, audio and text = the given "
        in (dataset.protocol)
    )
    assert "features, 4, 5 and 3 numbers, labels" in dataset.protocol
    with pytest.raises(DistillError, match=r"some of image, text, 3d, audio, broken for .*, ea"):
        load("features", root=root, modalities=("image", "video"))


def test_an_image_may_be_missing_too(make_arrays: Make):
    root = make_arrays(**whole(image=with_missing(IMAGE, 3), audio=AUDIO))
    dataset = load("features", root=root)
    assert np.flatnonzero(~dataset.has("image")).tolist() == [3]
    assert "modalities image (of 11 items) and text; image and text =" in dataset.protocol


@pytest.mark.parametrize("rows", [(1,), (1, 9)])
def test_an_item_without_any_is_refused(make_arrays: Make, rows: tuple[int, ...]):
    root = make_arrays(**whole(image=with_missing(IMAGE, *rows), audio=AUDIO))
    message = (
        rf"items: expected image or audio of every item of xmedia\.v2, got {len(rows)} items "
        "without, the first being row 01; leave them out, or choose more --modalities"
    )
    with pytest.raises(DistillError, match=message):
        load("features", root=root, modalities=("image", "audio"))


def test_the_five_media_of_a_divided_folder(make_arrays: Make):
    media = {"audio": AUDIO, "video": with_missing(IMAGE, 6, 7), "3d": TEXT}
    parts = {
        f"{m}_{part}": values[rows] for m, values in media.items() for part, rows in PARTS.items()
    }
    chosen = ("image", "text", "audio", "video", "3d")
    dataset = load("features", root=make_arrays(**divided(**parts)), modalities=chosen)
    for name, values in media.items():
        expected = values.astype(np.float32)
        assert np.array_equal(dataset.features[name], expected, equal_nan=True)
    assert dataset.splits["unlabelled"].tolist() == [6, 7]


def test_a_medium_of_a_part_is_missing(make_arrays: Make):
    parts = divided(audio_train=AUDIO[PARTS["train"]], audio_test=AUDIO[PARTS["test"]])
    root = make_arrays(**parts)
    with pytest.raises(DistillError, match=r"audio_semi\.npy: expected a \.npy file, got no such"):
        load("features", root=root, modalities=("image", "audio"))


def test_semi_items_are_unlabelled_and_nothing_else_is(make_arrays: Make):
    root = make_arrays(**divided())
    message = r"labelled: expected none for xmedia\.v2, which says itself which items are unlabell"
    with pytest.raises(DistillError, match=message):
        load("features", root=root, labelled=0.5)


def test_semi_items_may_have_no_labels_at_all(make_arrays: Make):
    bare = {f"labels_semi_{kind}": np.zeros((2, 3)) for kind in ("img", "txt")}
    dataset = load("features", root=make_arrays(**divided(**bare)))
    assert len(dataset) == N
    assert dataset.splits["unlabelled"].tolist() == [6, 7]
    assert not dataset.labels[[6, 7]].any()


def test_a_class_without_a_labelled_item_is_named(make_arrays: Make):
    labels = {"train": [1] * 6, "semi": [1, 2], "test": [1, 2, 2, 2]}
    numbers = {f"labels_{p}_{k}": np.array(labels[p]) for p in PARTS for k in ("img", "txt")}
    message = (
        r"labels: expected a labelled training item of every label in xmedia\.v2, got none of "
        "label 2; label some, or leave out the unlabelled items that have it"
    )
    with pytest.raises(DistillError, match=message):
        load("features", root=make_arrays(**divided(**numbers)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (whole(image=None), r"image\.npy: expected a \.npy file, got no such file"),
        (whole(text=TEXT[0]), r"xmedia\.v2, text: expected numbers \(n, d\), a row an item, got"),
        (whole(text=TEXT[1:]), r"xmedia\.v2, text: expected 12 rows, as in .*, image, got 11; ta"),
        (whole(labels=LABELS[1:]), "labels: expected 12 rows, .* got 11"),
        (whole(labels=LABELS * 2), r"labels: expected labels 0 or 1, got 2\.0 in row 0"),
        (whole(labels=CLASSES / 2), "expected labels 0 or 1, .*, or class numbers .* got float64"),
        (whole(labels=-CLASSES), "class numbers .* of at least 0"),
        (whole(labels=CLASSES * np.nan), "class numbers .* of at least 0"),
        (whole(labels=CLASSES.astype(str)), "class numbers .* of at least 0 .* got <U"),
        (whole(labels=CLASSES[:, None].astype(str)), "class numbers .* of at least 0 .* got <U"),
        (whole(labels=CLASSES * np.inf), "class numbers .* of at least 0 and below 2,147,483,648"),
        (whole(labels=CLASSES * 1e300), "class numbers .*, got float64 .* with others; correct"),
        (whole(labels=CLASSES[:, None] * np.inf), "class numbers .*, got float64 .* with others"),
        (whole(labels=np.array(3)), r"labels: expected labels 0 or 1, .*, got int64 \(\); store"),
        (whole(labels=LABELS[None]), r"labels: expected labels 0 or 1, .*, got float64 \(1, 12, 3"),
        (whole(labels=LABELS * 0), "at least one item with a label"),
        (whole(image=IMAGE * np.inf), "image: expected finite numbers, got NaN or infinity in row"),
        (divided(img_test=IMAGE[8:, :2]), r"image: expected equally many columns in all parts, go"),
        (divided(labels_semi_txt=LABELS[:2] * 0), r"labels_semi_txt\.npy: expected the labels of"),
        (divided(labels_test_txt=None), r"labels_test_txt\.npy: expected a \.npy file, got no su"),
        (divided(texts_train=None), r"txt_train\.npy: expected a \.npy file, got no such file"),
    ],
)
def test_wrong_arrays_are_named(make_arrays: Make, arrays: dict, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load("features", root=make_arrays(**arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("places", [{}, {"root": Path("a"), "path": Path("b")}])
def test_one_place(places: dict):
    message = "root: expected a folder of arrays, or a .mat file as path, for data features, got"
    with pytest.raises(DistillError, match=message):
        load("features", **places)


def test_settings_that_features_do_not_take(make_arrays: Make):
    root = make_arrays(**whole())
    with pytest.raises(DistillError, match="text: expected full for texts that come as features"):
        load("features", root=root, text="scrubbed")
    with pytest.raises(DistillError, match="classes: expected none for data features, got 3"):
        load("features", root=root, classes=3)
