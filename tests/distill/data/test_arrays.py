import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from distill.data.arrays import (
    check_counts,
    class_names,
    features,
    label_matrix,
    mat_variables,
    numbered,
    read_lines,
    read_mat,
    read_npy,
    strings,
)
from distill.types import DistillError

WORDS = ["a", "", "two words", "ü"]


@pytest.fixture(params=["v5", "v7.3"])
def save(request: pytest.FixtureRequest, save_matlab: Callable[..., None]) -> Callable[..., None]:
    """Write a .mat file of either kind."""

    def v5(path: Path, **variables: Any) -> None:
        cells = {
            k: np.array([*v, None], object)[:-1, None] if isinstance(v, list) else v
            for k, v in variables.items()
        }
        scipy.io.savemat(path, cells)

    return v5 if request.param == "v5" else save_matlab


def test_both_kinds_hold_the_same(tmp_path: Path, save: Callable[..., None]):
    numbers = np.arange(6.0).reshape(2, 3)
    save(tmp_path / "x.mat", numbers=numbers, words=WORDS, word="one")
    path = tmp_path / "x.mat"
    assert mat_variables(path) == {"numbers", "words", "word"} | (
        {"#refs#"} if h5py.is_hdf5(path) else set()
    )
    assert np.array_equal(read_mat(path, "numbers"), numbers)
    assert np.array_equal(read_mat(path, "other", "numbers"), numbers)
    assert strings(read_mat(path, "words"), "x") == WORDS
    assert strings(read_mat(path, "word"), "x") == ["one"]


def test_padding_goes(tmp_path: Path):
    scipy.io.savemat(tmp_path / "x.mat", {"words": ["a", "bcd ", "  ef"]})
    assert strings(read_mat(tmp_path / "x.mat", "words"), "x") == ["a", "bcd", "ef"]
    with h5py.File(tmp_path / "y.mat", "w") as file:
        codes = np.array([[ord(c) for c in word] for word in ("ab  ", "cdef")], np.uint16)
        file.create_dataset("words", data=codes.T).attrs["MATLAB_class"] = np.bytes_("char")
    assert strings(read_mat(tmp_path / "y.mat", "words"), "x") == ["ab", "cdef"]


def test_of_several_strings_the_first_counts(tmp_path: Path, save_matlab):
    several = np.array([np.array(["one", "two"]), np.array(["three"]), np.array([])], object)
    scipy.io.savemat(tmp_path / "x.mat", {"caption": several})
    assert strings(read_mat(tmp_path / "x.mat", "caption"), "x") == ["one", "three", ""]
    save_matlab(tmp_path / "y.mat", caption=[["one", "two"], ["three"], ""])
    assert strings(read_mat(tmp_path / "y.mat", "caption"), "x") == ["one", "three", ""]


def test_files_that_python_wrote_keep_their_axes(tmp_path: Path):
    with h5py.File(tmp_path / "x.mat", "w") as file:
        file["numbers"] = np.arange(6).reshape(2, 3)
        file["words"] = ["a", "ü"]
    assert read_mat(tmp_path / "x.mat", "numbers").shape == (2, 3)
    assert strings(read_mat(tmp_path / "x.mat", "words"), "x") == ["a", "ü"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "x.mat: expected a .mat file, got no such file or directory; check the path"),
        (b"", "x.mat: expected a .mat file, got "),
        (b"MATLAB 5.0 nonsense" * 99, "x.mat: expected a .mat file, got "),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "x.mat: expected a .mat file, got "),
    ],
)
def test_no_mat_file(tmp_path: Path, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(DistillError, match=re.escape(message)) as caught:
        read_mat(tmp_path / "x.mat", "a")
    assert "\n" not in str(caught.value)


def test_damaged_files_never_raise_anything_else(tmp_path: Path, save: Callable[..., None]):
    path = tmp_path / "x.mat"
    save(path, numbers=np.arange(60.0).reshape(6, 10), words=WORDS)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(good[: rng.integers(len(good) // 2, len(good) + 1)])
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        for key in ("numbers", "words"):
            with contextlib.suppress(DistillError):
                read_mat(path, key)


def test_a_missing_variable_is_named(tmp_path: Path, save: Callable[..., None]):
    save(tmp_path / "x.mat", numbers=np.zeros((2, 2)))
    with pytest.raises(DistillError, match=r"variable category or label, got .*numbers; name it"):
        read_mat(tmp_path / "x.mat", "category", "label")


def test_numbers_are_no_strings():
    with pytest.raises(DistillError, match="x: expected strings, got something else in row 1"):
        strings(np.array(["a", 3], object), "x")
    with pytest.raises(DistillError, match="in row 0"):
        strings(np.zeros((3, 2)), "x")


def test_npy(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.arange(3))
    assert read_npy(tmp_path / "a.npy").tolist() == [0, 1, 2]
    np.save(tmp_path / "b.npy", np.array([{}, "x"], object))
    (tmp_path / "c.npy").write_bytes(b"")
    for name, message in (
        ("b", "expected a .npy file of numbers, got .*; write it with numpy.save"),
        ("c", "expected a .npy file of numbers, got"),
        ("d", "d.npy: expected a .npy file, got no such file or directory; check the path"),
    ):
        with pytest.raises(DistillError, match=message):
            read_npy(tmp_path / f"{name}.npy")


def test_lines(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\r\nthr\u2028ee\n".encode())
    assert read_lines(path, "words") == ["one", "", "thr\u2028ee"]
    path.write_bytes(b"one\ntwo")
    assert read_lines(path, "words") == ["one", "two"]
    path.write_bytes(b"caf\xe9")
    with pytest.raises(DistillError, match=r"a\.txt: expected UTF-8 text, got .*; re-encode it"):
        read_lines(path, "words")
    with pytest.raises(DistillError, match=r"b\.txt: expected words, got no such file"):
        read_lines(tmp_path / "b.txt", "words")


def test_features_become_float32():
    matrix = features(np.arange(6).reshape(2, 3), "x")
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), r"x: expected numbers \(n, d\), a row an item, got float64 \(3,\)"),
        (np.zeros((0, 3)), r"got float64 \(0, 3\)"),
        (np.zeros((3, 0)), r"got float64 \(3, 0\)"),
        (np.array([["a"]]), r"got <U1 \(1, 1\)"),
        (np.array([[1, 2], [np.nan, 0]]), "finite numbers, got NaN or infinity in row 1; compute"),
        (np.array([[np.inf]]), "NaN or infinity in row 0"),
        (np.array([[1e300]]), "NaN or infinity in row 0"),
    ],
)
def test_wrong_features(value: np.ndarray, message: str):
    with pytest.raises(DistillError, match=message):
        features(value, "x")


def test_labels():
    assert label_matrix(np.array([[0, 1.0], [1, 1]]), "x").tolist() == [[False, True], [True, True]]
    assert label_matrix(np.array([[True]]), "x").dtype == bool


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), r"x: expected labels \(n, n_labels\), each 0 or 1, got float64 \(3,\)"),
        (np.array([[0, 1], [0, 2]]), "expected labels 0 or 1, got 2 in row 1; correct it"),
        (np.array([[0, -1]]), "got -1 in row 0"),
        (np.array([[0.5]]), r"got 0\.5 in row 0"),
        (np.array([[np.nan]]), "got nan in row 0"),
    ],
)
def test_wrong_labels(value: np.ndarray, message: str):
    with pytest.raises(DistillError, match=message):
        label_matrix(value, "x")


def test_counts():
    check_counts({"a": 3, "b": 3})
    with pytest.raises(DistillError, match="c: expected 3,000 rows, as in a, got 4; take files"):
        check_counts({"a": 3000, "b": 3000, "c": 4})


def test_names(tmp_path: Path):
    path = tmp_path / "classes.txt"
    assert class_names(path, 2) is None
    path.write_text("dog \nsea\n")
    assert class_names(path, 2) == class_names(path) == ("dog", "sea")
    assert numbered(range(3)) == ("label 0", "label 1", "label 2")
    for content, n, message in (
        ("dog\n", 2, "expected 2 different names, one a line, got 1 in 1 lines; correct it"),
        ("dog\ndog\n", 2, "expected 2 different names, one a line, got 1 in 2 lines"),
        ("dog\n\n", 2, "expected 2 different names, one a line, got 1 in 2 lines"),
        ("dog\n\n", None, "got 1 in 2 lines"),
    ):
        path.write_text(content)
        with pytest.raises(DistillError, match=message):
            class_names(path, n)
