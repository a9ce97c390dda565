import contextlib
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from distill.data.matfile import mat_variables, read_mat, strings
from distill.types import DistillError

WORDS = ["a", "", "two words", "ü", "\U0001f600 x"]


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
    with pytest.raises(
        DistillError, match="x: expected strings, got something else in row 1; store a"
    ):
        strings(np.array(["a", 3], object), "x")
    with pytest.raises(DistillError, match="in row 0"):
        strings(np.zeros((3, 2)), "x")


def test_of_a_row_of_cells_the_first_counts(tmp_path: Path, save: Callable[..., None]):
    table = np.array([["one", "two"], ["", "three"], ["four", ""]], object)
    save(tmp_path / "x.mat", caption=table)
    assert strings(read_mat(tmp_path / "x.mat", "caption"), "x") == ["one", "", "four"]


@pytest.mark.parametrize("text", ["a \ud83d", "\ude00"])
def test_half_a_character_is_refused(tmp_path: Path, save_matlab, text: str):
    save_matlab(tmp_path / "x.mat", words=["fine", text])
    with pytest.raises(DistillError, match=r"x: expected Unicode text, got half .* in row 1; corr"):
        strings(read_mat(tmp_path / "x.mat", "words"), "x")


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "x.mat", "w") as file:
        file.create_dataset("words", data=[b"fine", b"caf\xe9"], dtype=h5py.string_dtype())
    with pytest.raises(DistillError, match=r"x: expected Unicode text, .* in row 1; correct it"):
        strings(read_mat(tmp_path / "x.mat", "words"), "x")


def test_sparse_numbers_are_read_in_full(tmp_path: Path):
    numbers = np.diag([1.0, 0, 2])
    scipy.io.savemat(tmp_path / "x.mat", {"numbers": scipy.sparse.csc_matrix(numbers)})
    read = read_mat(tmp_path / "x.mat", "numbers")
    assert isinstance(read, np.ndarray)
    assert read.tolist() == numbers.tolist()


def test_a_group_is_no_array(tmp_path: Path, save_matlab):
    save_matlab(tmp_path / "x.mat", words=["a", "b"])
    with h5py.File(tmp_path / "x.mat", "a") as file:
        file.create_group("label")
        links = file["words"][()]
        links[0, 1] = file["label"].ref
        file["words"][...] = links
    message = r"x\.mat, label: expected an array, got a group, .*; store it as a full array"
    with pytest.raises(DistillError, match=message):
        read_mat(tmp_path / "x.mat", "label")
    with pytest.raises(DistillError, match="got something else in row 1"):
        strings(read_mat(tmp_path / "x.mat", "words"), "x")


def element(kind: int, data: bytes) -> bytes:
    """A data element of a v5 file: its type, its length, and the bytes up to a multiple of 8."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


@pytest.mark.parametrize("text", ["abc", "caf\xe9", "\u72d7"])
def test_strings_that_matlab_itself_wrote_in_v5(tmp_path: Path, text: str):
    units = text.encode("utf-16-le")
    flags, shape = struct.pack("<II", 4, 0), struct.pack("<ii", 1, len(units) // 2)
    variable = element(6, flags) + element(5, shape) + element(1, b"word") + element(4, units)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    (tmp_path / "x.mat").write_bytes(head + element(14, variable))
    assert strings(read_mat(tmp_path / "x.mat", "word"), "x") == [text]
