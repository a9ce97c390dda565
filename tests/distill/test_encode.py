import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from distill import encode
from distill.checkpoint import load_run


def main(*arguments: object) -> None:
    encode.main([str(a) for a in arguments])


def test_the_runs_own_items_get_their_codes_again(run: Path, shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "codes.npy"
    files = [shapes.parent / f"{i}.png" for i in range(48)]
    main(run, "--images", *files, "--out", out)
    codes = np.load(out)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, load_run(run).codes("image"))
    assert out.with_suffix(".txt").read_text().splitlines() == [str(f) for f in files]


def test_a_folder_is_taken_in_alphabetical_order(run: Path, shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "codes.npy"
    main(run, "--images", shapes.parent, "--out", out)
    names = out.with_suffix(".txt").read_text().splitlines()
    assert names == sorted(names)
    rows = [int(Path(name).stem) for name in names]
    assert np.array_equal(np.load(out), load_run(run).codes("image")[rows])


def test_texts_are_encoded_line_by_line(run: Path, tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "codes.npy"
    texts.write_text("a red ellipse no. 4\na green rectangle no. 1\n")
    main(run, "--texts", texts, "--out", out)
    assert np.array_equal(np.load(out), load_run(run).codes("text")[[4, 1]])
    assert not out.with_suffix(".txt").exists()


def test_bad_images_are_refused_or_skipped(
    run: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, out = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "codes.npy"
    shutil.copy(shapes.parent / "3.png", good)
    bad.write_bytes(good.read_bytes()[:60])
    with pytest.raises(SystemExit) as caught:
        main(run, "--images", tmp_path, "--out", out)
    assert caught.value.code == 2
    assert "b.png: expected a complete image" in capsys.readouterr().err
    assert not out.exists()
    main(run, "--images", tmp_path, "--out", out, "--bad-images", "skip")
    assert "skipped" in capsys.readouterr().err
    assert out.with_suffix(".txt").read_text() == f"{good}\n"
    assert np.array_equal(np.load(out), load_run(run).codes("image")[[3]])


def test_hidden_files_and_folders_named_like_images_are_passed_over(
    run: Path, shapes: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "codes.npy"
    (folder / "dir.png").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    for name in ("a.png", ".b.png", ".thumbnails/c.png", "dir.png/d.png"):
        shutil.copy(shapes.parent / "3.png", folder / name)
    main(run, "--images", folder, "--out", out)
    names = out.with_suffix(".txt").read_text().splitlines()
    assert names == [str(folder / "a.png"), str(folder / "dir.png/d.png")]


def test_existing_results_are_refused_or_replaced(
    run: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, out = tmp_path / "notes.txt", tmp_path / "notes.npy"
    notes.write_text("a red ellipse\n")
    images = (run, "--images", shapes.parent / "3.png", "--out", out)
    with pytest.raises(SystemExit) as caught:
        main(*images)
    assert caught.value.code == 2
    assert f"out: expected a new file, got the existing {notes};" in capsys.readouterr().err
    assert notes.read_text() == "a red ellipse\n"
    main(run, "--texts", notes, "--out", out)
    with pytest.raises(SystemExit):
        main(run, "--texts", notes, "--out", out)
    main(*images, "--overwrite")
    assert notes.read_text() == f"{shapes.parent / '3.png'}\n"
    texts = tmp_path / "texts.txt"  # whose codes the names of pictures must not stand beside
    texts.write_text("a red ellipse\n")
    with pytest.raises(SystemExit):
        main(run, "--texts", texts, "--out", out, "--overwrite")
    message = f"out: expected no list of pictures beside the codes of texts, got {notes}; remove it"
    assert message in capsys.readouterr().err
    assert len(np.load(out)) == 1


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png"])
def test_names_that_cannot_be_listed_leave_nothing(
    run: Path, shapes: Path, tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    try:
        shutil.copy(os.fsencode(shapes.parent / "3.png"), os.fsencode(folder) + b"/" + name)
    except OSError:
        pytest.skip("this file system takes no such name")
    for images in (folder, next(folder.iterdir())):
        with pytest.raises(SystemExit) as caught:
            main(run, "--images", images, "--out", tmp_path / "codes.npy")
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert "images: expected file names in UTF-8 without line breaks" in error
        assert error.count("\n") == 1
    assert {f.name for f in tmp_path.iterdir()} == {"run", "photos"}


def test_a_full_disk_leaves_no_list_without_codes(
    run: Path,
    shapes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "codes.npy")

    monkeypatch.setattr(encode, "write_array", full)
    with pytest.raises(SystemExit) as caught:
        main(run, "--images", shapes.parent / "3.png", "--out", tmp_path / "codes.npy")
    assert caught.value.code == 1
    assert capsys.readouterr().err.endswith("error: codes.npy: No space left on device\n")
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    for name in ("codes.txt", "codes.npy"):
        (tmp_path / name).write_text("former")
    with pytest.raises(SystemExit):
        main(
            *(run, "--images", shapes.parent / "3.png", "--out", tmp_path / "codes.npy"),
            "--overwrite",
        )
    assert [(tmp_path / name).read_text() for name in ("codes.txt", "codes.npy")] == ["former"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "encode: expected either --images or --texts"),
        (["--texts", "t.txt", "--out", "codes.bin"], "out: expected a name that ends in .npy"),
        (["--texts", "missing.txt"], "missing.txt: No such file or directory"),
        (["--texts", "blank.txt"], "texts: expected a text in line 2 of blank.txt, got a blank"),
        (["--images", "missing.png"], "missing.png"),
        (["--images", "."], "images: expected image files in ., got none"),
    ],
)
def test_wrong_use_is_one_sentence(
    run: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.chdir(folder)
    (folder / "blank.txt").write_text("a\n \nb\n")
    with pytest.raises(SystemExit) as caught:
        main(run, *arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [f.name for f in folder.iterdir()] == ["blank.txt"]


def test_a_folder_without_a_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(tmp_path, "--texts", "t.txt")
    assert "run: expected a run folder with config.toml" in capsys.readouterr().err
