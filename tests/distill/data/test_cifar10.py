"""CIFAR-10 in its three layouts: generated files, and the protocol against one written by hand."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from distill.data import cifar10, cifar10_files, load
from distill.types import DistillError

PER_CLASS, TRAIN, TEST = 20, 5, 200  # training images of a class, drawn ones, test images
NAMES = cifar10_files.CLASSES
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "_TRAIN", TRAIN)
    monkeypatch.setattr(cifar10_files, "_RECORDS", 40)


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """Six batches of 40 records: labels in shuffled order, and planes that tell the record."""
    generator = np.random.default_rng(0)
    found = []
    for _ in BATCHES:
        labels = generator.permutation(np.arange(40) % 10).astype(np.uint8)
        found.append((labels, generator.integers(0, 256, (40, 3072), dtype=np.uint8)))
    return found


def write_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (labels, planes) in zip(BATCHES, batches(), strict=True):
        (folder / f"{name}.bin").write_bytes(np.column_stack([labels, planes]).tobytes())


def python2_pickle(labels: np.ndarray, planes: np.ndarray) -> bytes:
    """Write a batch opcode by opcode, as Python 2 and its NumPy did: strings without encoding."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    content = planes.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + integer(0) + b"t"
    array += text(b"b") + b"tR((" + b"".join(integer(n) for n in planes.shape) + b"t"
    array = array.replace(b"R((", b"R(" + integer(1) + b"(")
    array += b"cnumpy\ndtype\n(" + text(b"u1") + integer(0) + integer(1) + b"tR("
    array += integer(3) + text(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    array += b"I00\nT" + struct.pack("<i", len(content)) + content + b"tb"
    listed = b"](" + b"".join(integer(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def write_python(folder: Path, dump=python2_pickle) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (labels, planes) in zip(BATCHES, batches(), strict=True):
        (folder / name).write_bytes(dump(labels, planes))


def dump_today(labels: np.ndarray, planes: np.ndarray) -> bytes:
    return pickle.dumps({"data": planes, "labels": labels.tolist()}, protocol=4)


def write_subset(path: Path, jpeg: bytes, **changes: np.ndarray) -> Path:
    label = np.concatenate([np.repeat(np.arange(10), PER_CLASS), np.arange(TEST) % 10])
    n = len(label)
    arrays = {
        "data": np.frombuffer(jpeg * n, np.uint8),
        "offset": np.arange(n + 1) * len(jpeg),
        "label": label.astype(np.uint8),
        "split": (np.arange(n) >= 10 * PER_CLASS).astype(np.uint8),
        "names": np.array(NAMES),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def expected_protocol(train_labels: np.ndarray, n_test: int) -> tuple[list, list, list]:
    """The released code's draws, written out."""
    generator = np.random.RandomState(0)
    train = []
    for label in range(10):
        rows = np.where(train_labels == label)[0]
        train += rows[generator.permutation(len(rows))[:TRAIN]].tolist()
    test = list(range(n_test))
    generator.shuffle(test)
    return train, test[: n_test // 2], test[n_test // 2 :]


@pytest.mark.parametrize("kind", ["binary", "python2", "python3"])
@pytest.mark.parametrize("inside", [False, True])
def test_the_folder_versions_follow_the_released_protocol(
    tmp_path: Path, kind: str, inside: bool
) -> None:
    binary = kind == "binary"
    folder = tmp_path / f"cifar-10-batches-{'bin' if binary else 'py'}" if inside else tmp_path
    if binary:
        write_binary(folder)
    else:
        write_python(folder, python2_pickle if kind == "python2" else dump_today)
    dataset = load("cifar10", root=tmp_path)
    labels = np.concatenate([label for label, _ in batches()])
    planes = np.concatenate([plane for _, plane in batches()])
    train, validation, query = expected_protocol(labels[:200], 40)
    assert dataset.label_names == NAMES
    assert len(dataset) == 240
    assert dataset.splits["database"].tolist() == list(range(200))
    assert dataset.splits["train"].tolist() == train
    rows = {"validation": validation, "query": query}
    for part, test_rows in rows.items():
        for row, i in zip(dataset.splits[part], test_rows, strict=True):
            assert dataset.image_name(row) == f"test_batch/{i}"
            assert dataset.labels[row].argmax() == labels[200 + i]
            pixels = np.asarray(dataset.image(row)).transpose(2, 0, 1).ravel()
            assert np.array_equal(pixels, planes[200 + i])
    assert np.array_equal(dataset.labels[:200].argmax(axis=1), labels[:200])
    assert set(dataset.texts) == {""}
    assert dataset.protocol == (
        "cifar10: database = the 200 training images, of which 50 train, 5 a class by "
        "permutation(20); 20 queries of the second half of the 40 shuffled test images, 20 "
        "validation queries of the first; split seed 0; no texts, labels = classes."
    )


def test_the_subset_shuffles_its_database_and_limits_queries(tmp_path: Path, picture) -> None:
    path = write_subset(tmp_path / "s.npz", picture(size=32, kind="JPEG"))
    dataset = load("cifar10-subset", path=path, queries_per_class=1)
    train, validation, query = expected_protocol(np.repeat(np.arange(10), PER_CLASS), TEST)
    names = [dataset.image_name(i) for i in range(len(dataset))]
    assert len(dataset) == 10 * PER_CLASS + 20
    assert [names[i] for i in dataset.splits["train"]] == [f"train/{i}.jpg" for i in train]
    assert sorted(names[:200]) == sorted(f"train/{i}.jpg" for i in range(200))
    classes = dataset.labels[dataset.splits["database"]].argmax(axis=1)
    assert (np.diff(classes) != 0).mean() > 0.8
    for part, order in (("validation", validation), ("query", query)):
        rows = dataset.splits[part]
        assert dataset.labels[rows].sum(axis=0).tolist() == [1] * 10
        first = {i % 10: i for i in reversed(order)}
        assert [names[i] for i in rows] == [
            f"test/{200 + i}.jpg" for i in order if first[i % 10] == i
        ]
    assert dataset.image(3).size == (32, 32)
    assert "database = 200 of the 50,000 training images, in one fixed random" in dataset.protocol
    assert "5 a class by permutation(20); 10 queries, 1 a class, of the sec" in dataset.protocol
    assert len(load("cifar10-subset", path=path, queries_per_class=0)) == 400


def test_the_subset_has_200_queries_a_class_by_default(tmp_path: Path, picture) -> None:
    path = write_subset(tmp_path / "s.npz", picture(size=32, kind="JPEG"))
    with pytest.raises(DistillError, match=r"queries_per_class: expected at most .*, got 200"):
        load("cifar10-subset", path=path)


def test_seeds_change_the_draw_but_not_the_database(tmp_path: Path, picture) -> None:
    path = write_subset(tmp_path / "s.npz", picture(size=32, kind="JPEG"))
    one, two = (
        load("cifar10-subset", path=path, queries_per_class=1, split_seed=seed) for seed in (0, 1)
    )
    assert [one.image_name(i) for i in range(200)] == [two.image_name(i) for i in range(200)]
    assert one.splits["train"].tolist() != two.splits["train"].tolist()
    with pytest.raises(DistillError, match=r"split_seed: expected below 2\*\*32"):
        load("cifar10-subset", path=path, split_seed=2**32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offset": np.arange(4)}, "expected one offset, label and split for each image"),
        (
            {"label": np.full(400, 12, np.uint8)},
            r"expected labels 0\.\.9 and splits 0 or 1, got up",
        ),
        ({"split": np.ones(400, np.uint8)}, "expected at least 5 training images of each class"),
        ({"data": np.array([None] * 3)}, "path: expected an .npz file with data, offset, label"),
    ],
)
def test_a_wrong_subset_is_one_sentence(tmp_path: Path, picture, changes, message) -> None:
    path = write_subset(tmp_path / "s.npz", picture(size=32, kind="JPEG"), **changes)
    with pytest.raises(DistillError, match=message) as caught:
        load("cifar10-subset", path=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut"])
def test_no_subset_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "s.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DistillError, match=r"path: expected an \.npz file with data, offset") as e:
        load("cifar10-subset", path=path)
    assert "\n" not in str(e.value)


def test_a_missing_folder_or_batch_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DistillError, match=r"root: expected a folder with data_batch_1 or .*unpack"
    ):
        load("cifar10", root=tmp_path)
    write_binary(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(DistillError, match=r"data_batch_4\.bin: expected a batch of CIFAR-10, got"):
        load("cifar10", root=tmp_path)


def test_wrong_records_are_refused(tmp_path: Path) -> None:
    write_binary(tmp_path)
    file = tmp_path / "test_batch.bin"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(DistillError, match=r"expected 122,920 bytes, 40 records of 1 \+ 3072, got"):
        load("cifar10", root=tmp_path)
    file.write_bytes(b"\x0b" + content[1:])
    with pytest.raises(DistillError, match=r"test_batch\.bin: expected labels 0\.\.9, got 11"):
        load("cifar10", root=tmp_path)


class Harmful:
    def __reduce__(self) -> tuple:
        return exec, ("print('executed')",)  # not print itself, in whose place Ray puts its own


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"data": Harmful(), b"labels": []}, "got: a call of (builtins|__builtin__).exec, which"),
        ({b"labels": [0] * 40}, "got: 'data'"),
        ([1, 2], "expected a pickled batch with data and labels"),
        ({b"data": [1], b"labels": [0] * 40}, "expected data uint8 .*40, 3072.*, got list"),
        ({b"data": np.zeros((40, 3072)), b"labels": [0] * 40}, "got float64"),
        ({b"data": np.zeros((40, 3072), np.uint8), b"labels": [0] * 39}, "expected 40 labels"),
    ],
)
def test_a_wrong_pickle_is_refused_and_never_run(tmp_path: Path, capsys, batch, message) -> None:
    write_python(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=4))
    with pytest.raises(DistillError, match=message) as caught:
        load("cifar10", root=tmp_path)
    assert "data_batch_2" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x04garbage"])
def test_a_damaged_pickle_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    write_python(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(DistillError, match="data_batch_1: expected a pickled batch") as caught:
        load("cifar10", root=tmp_path)
    assert "\n" not in str(caught.value)
