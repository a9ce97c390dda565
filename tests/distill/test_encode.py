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
