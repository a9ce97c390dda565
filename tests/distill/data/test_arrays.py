from pathlib import Path

import numpy as np
import pytest

from distill.data.arrays import (
    check_counts,
    class_names,
    features,
    label_matrix,
    numbered,
    read_lines,
    read_npy,
    without_blank_end,
)
from distill.types import DistillError


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
        (np.zeros(3), r"x: expected numbers \(n, d\), a row an item, got float64 \(3,\); store"),
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
        (np.zeros(3), r"x: expected labels \(n, n_labels\), each 0 or 1, got float64 \(3,\); s"),
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
    path.write_text("dog\nsea\n\n \n")
    assert class_names(path, 2) == ("dog", "sea")
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


def test_blank_lines_at_the_end():
    lines = ["a", "", "b", " ", ""]
    assert without_blank_end(lines) == ["a", "", "b"]
    assert without_blank_end(lines, 4) == lines[:4]
    assert without_blank_end(lines, 9) == lines
    assert without_blank_end(lines, 1) == ["a", "", "b"]
    assert without_blank_end([]) == without_blank_end([""]) == []
