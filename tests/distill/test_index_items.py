"""The index command on manifests, lists of words, and pictures that cannot be read."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from distill.checkpoint import load_run
from distill.index_folder import read_index
from distill.item_files import stamp_of
from tests.distill.indexing import expected, fails, main, rows_of, written


def test_pictures_that_cannot_be_read(
    run: Path, photos: Path, shapes: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, bad = photos.parent / "index", photos / "odd/1.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:60])
    message = fails(capsys, run, "--images", photos, "--out", out)
    assert message.startswith(f"{bad}: expected a complete image, got ")
    main(run, "--images", photos, "--out", out, "--bad-images", "skip")
    printed = capsys.readouterr()
    assert "skipped 1, total 9" in printed.out
    assert printed.err.startswith(f"skipped {bad}: expected a complete image, got ")
    decoded.clear()
    main(run, "--images", photos, "--out", out, "--bad-images", "skip")
    printed = capsys.readouterr()
    assert "unchanged 9, skipped 1, total 9" in printed.out
    assert (printed.err, decoded) == ("", [])
    # Refusing, it is looked at again.
    assert "1.png: expected a complete" in fails(capsys, run, "--images", photos, "--out", out)
    bad.write_bytes(whole)
    shutil.copy(shapes.parent / "1.png", photos / "even/0.png")
    (photos / "even/0.png").write_bytes(b"no picture")
    main(run, "--images", photos, "--out", out, "--bad-images", "skip")
    assert "added 1, changed 0, removed 1, unchanged 8, skipped 1" in capsys.readouterr().out
    assert read_index(out).skipped == {str(photos / "even/0.png"): stamp_of(photos / "even/0.png")}


@pytest.mark.parametrize("place", [1, 41, 65])
def test_what_comes_before_a_refused_picture_is_indexed(
    place: int, run: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, photos = tmp_path / "index", tmp_path / "photos"
    photos.mkdir()
    for i in range(1, 67):
        shutil.copy(shapes.parent / f"{i % 48}.png", photos / f"{i:02}.png")
    (photos / f"{place:02}.png").write_bytes(b"no picture")
    for _ in range(2):
        message = fails(capsys, run, "--images", photos, "--out", out)
        assert message.startswith(f"{photos / f'{place:02}.png'}: expected a complete image, got ")
        rows = rows_of(read_index(out))
        assert [name for name, _, _ in rows] == [f"{i:02}.png" for i in range(1, place)]
        wanted = expected(run, [f"{i % 48}.png" for i in range(1, place)])
        assert [code for _, _, code in rows] == wanted
    shutil.copy(shapes.parent / "0.png", photos / f"{place:02}.png")
    main(run, "--images", photos, "--out", out)
    assert f"added {67 - place}, changed 0, removed 0, unchanged {place - 1}" in (
        capsys.readouterr().out
    )


def test_linked_folders_are_named(
    run: Path, photos: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, loop, away = photos.parent / "index", photos / "odd/loop", photos / "away"
    loop.symlink_to(photos / "odd")
    (photos / ".hidden").symlink_to(photos)
    away.symlink_to(photos.parent / "away")
    away.resolve().mkdir()
    shutil.copy(shapes.parent / "20.png", away)
    (photos / "21.png").symlink_to(shapes.parent / "21.png")
    main(run, "--images", photos, "--out", out)
    printed = capsys.readouterr()
    assert "added 11, changed 0" in printed.out
    assert printed.err == f"linked, not followed: {away}, {loop}; give them themselves\n"
    loop.unlink()
    main(run, "--images", photos, away, "--out", out)
    printed = capsys.readouterr()
    assert "added 1, changed 0, removed 0, unchanged 11" in printed.out
    assert printed.err == ""
    (photos.parent / "links/a").mkdir(parents=True)
    (photos.parent / "links/b").symlink_to(away)
    assert fails(capsys, run, "--images", photos.parent / "links", "--out", out) == (
        f"images: expected image files in {photos.parent / 'links'}, got none but linked folders; "
        f"give {photos.parent / 'links/b'} itself"
    )


def test_folders_that_cannot_be_read_are_named(
    run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scandir = os.scandir

    def refused(folder: object) -> object:
        if str(folder) == str(photos / "odd"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    main(run, "--images", photos, "--out", photos.parent / "index")
    printed = capsys.readouterr()
    assert "added 5, changed 0" in printed.out
    assert printed.err == f"folders that cannot be read: {photos / 'odd'}\n"
    with pytest.raises(SystemExit):  # what cannot be seen would count as gone
        main(run, "--images", photos, "--out", photos.parent / "index", "--prune")
    assert "prune: expected folders that can all be read, got " in capsys.readouterr().err


def test_names_that_are_no_unicode(run: Path, photos: Path) -> None:
    try:
        shutil.copy(photos / "odd/1.png", os.fsencode(photos) + b"/\xff\n.png")
    except OSError:
        pytest.skip("this file system takes no such name")
    main(run, "--images", photos, "--out", photos.parent / "index")
    (item,) = (i for i in read_index(photos.parent / "index").items() if "\n" in i.path)
    assert Path(item.path).read_bytes() == (photos / "odd/1.png").read_bytes()


@pytest.fixture
def items(shapes: Path, tmp_path: Path) -> Path:
    """A manifest without labels: pictures with words, one without, words alone, one twice."""
    for i in range(4):
        shutil.copy(shapes.parent / f"{i}.png", tmp_path)
    lines = [
        {"image": "0.png", "text": "<b>bold</b> & red"},
        {"image": str(tmp_path / "1.png")},
        {"image": "2.png", "text": "a blue ellipse no. 2"},
        {"text": "a green rectangle no. 5"},
        {"image": "2.png", "text": "the same again"},
    ]
    return written(tmp_path / "items.jsonl", lines)


def test_a_manifest_gives_pictures_and_words(
    run: Path, items: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = items.parent / "index"
    main(run, "--manifest", items, "--out", out)
    printed = capsys.readouterr()
    assert "added 3, changed 0, removed 0" in printed.out
    assert printed.err == "given again: 1, of which the first is indexed\n"
    folder = read_index(out)
    texts = ["<b>bold</b> & red", "", "a blue ellipse no. 2"]
    codes = expected(run, ["0.png", "1.png", "2.png"])
    assert rows_of(folder) == [(f"{i}.png", texts[i], codes[i]) for i in range(3)]
    # Other words need no decoding; what is not said about a picture stays.
    decoded.clear()
    lines = [{"image": "0.png", "text": "new"}, {"image": "2.png"}, {"image": "3.png"}]
    main(run, "--manifest", written(items, lines), "--out", out)
    assert "added 1, changed 2, removed 0, unchanged 0, skipped 0, gone" in capsys.readouterr().out
    assert decoded == ["3.png"]
    assert sorted(rows_of(read_index(out))) == [
        ("0.png", "new", codes[0]),
        ("1.png", "", codes[1]),
        ("2.png", "", codes[2]),
        ("3.png", "", *expected(run, ["3.png"])),
    ]
    main(run, "--images", items.parent / "0.png", "--out", out)
    assert read_index(out).manifest.n_items == 4
    assert "unchanged 1" in capsys.readouterr().out


def test_a_picture_that_a_manifest_names_is_missing(
    run: Path, items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = items.parent / "index", [{"image": "0.png"}, {"image": "gone.png"}]
    written(items, lines)
    assert "gone.png, got no such file" in fails(capsys, run, "--manifest", items, "--out", out)
    for times in (1, 2):
        main(run, "--manifest", items, "--out", out, "--bad-images", "skip")
        assert "skipped 1, total 1" in capsys.readouterr().out, times
    (items.parent / "0.png").unlink()
    main(run, "--manifest", items, "--out", out, "--bad-images", "skip", "--prune")
    assert "removed 1, unchanged 0, skipped 1, total 0" in capsys.readouterr().out


def test_words_of_a_manifest_or_a_list(
    run: Path, items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = items.parent / "words", items.parent / "lines.txt"
    main(run, "--manifest", items, "--as", "text", "--out", out)
    folder = read_index(out)
    assert [(item.text, Path(item.path).name) for item in folder.items()] == [
        ("<b>bold</b> & red", "0.png"),
        ("a blue ellipse no. 2", "2.png"),
        ("a green rectangle no. 5", ""),
        ("the same again", "2.png"),
    ]
    codes = load_run(run).codes("text")
    assert np.array_equal(folder.index().codes[:3], codes[[0, 2, 5]])
    lines.write_text("a green rectangle no. 5\na red ellipse no. 4\n")
    main(run, "--texts", lines, "--out", out)
    assert "added 1, changed 0, removed 0, unchanged 1" in capsys.readouterr().out
    main(run, "--manifest", items, "--as", "text", "--out", out)
    assert "added 0, changed 0, removed 0, unchanged 4" in capsys.readouterr().out
    lines.write_text("a red ellipse no. 4\n")
    main(run, "--texts", lines, "--out", out, "--prune")
    assert "removed 0, unchanged 1" in capsys.readouterr().out  # that line came with the manifest
    assert np.array_equal(read_index(out).code(4), codes[4])


def test_further_modalities(four_run: Path, shapes: Path, tmp_path: Path) -> None:
    line = {"image": None, "text": None, "labels": [], "modalities": {}}
    line["modalities"] = {"fluent": {"image": str(shapes.parent / "47.png")}}
    other = line | {"modalities": {"tags": {"text": "tag 4 <i>"}}}
    items = written(tmp_path / "items.jsonl", [line, other])
    run = load_run(four_run)
    for modality, row in (("fluent", 0), ("tags", 4)):
        out = tmp_path / modality
        main(four_run, "--manifest", items, "--as", modality, "--out", out)
        folder = read_index(out)
        (item,) = folder.items()
        assert (Path(item.path).name, item.text) in [("47.png", ""), ("", "tag 4 <i>")]
        assert np.array_equal(folder.index().codes, run.codes(modality)[[row]])
    main(four_run, "--images", shapes.parent / "47.png", "--as", "fluent", "--out", tmp_path / "a")
    assert np.array_equal(read_index(tmp_path / "a").index().codes, run.codes("fluent")[[0]])
