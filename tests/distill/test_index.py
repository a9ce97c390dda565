"""The index command on folders: what is encoded, what is not encoded again, and in which order."""

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from distill import index, index_update
from distill.index_folder import read_index
from tests.distill.indexing import expected, fails, main, names_of, rows_of, written


def test_a_folder_is_encoded_once(
    run: Path, photos: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos.parent / "index"
    main(run, "--images", photos, "--out", out)
    wanted = [f"{i}.png" for i in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)]  # even/ comes before odd/
    folder = read_index(out)
    assert names_of(folder) == decoded == wanted
    assert [code for _, _, code in rows_of(folder)] == expected(run, wanted)
    assert folder.item(5).path == str(photos / "odd/1.png")
    assert capsys.readouterr().out == (
        f"{out}: added 10, changed 0, removed 0, unchanged 0, skipped 0, total 10\n"
    )
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir() if file.name != ".lock"}
    main(run, "--images", photos, "--out", out)
    assert decoded == wanted
    assert "added 0, changed 0, removed 0, unchanged 10" in capsys.readouterr().out
    after = {file.name: file.stat().st_mtime_ns for file in out.iterdir() if file.name != ".lock"}
    assert after == before


def test_only_what_is_new_or_changed_is_encoded(
    run: Path, photos: Path, shapes: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos.parent / "index"
    main(run, "--images", photos, "--out", out)
    decoded.clear()
    shutil.copy(shapes.parent / "30.png", photos)
    shutil.copy(shapes.parent / "31.png", photos / "even/2.png")
    os.utime(photos / "odd/3.png", ns=(1, 1))
    capsys.readouterr()
    main(run, "--images", photos, "--out", out)
    assert "added 1, changed 2, removed 0, unchanged 8, skipped 0" in capsys.readouterr().out
    assert decoded == ["30.png", "2.png", "3.png"]
    folder = read_index(out)
    # What is written anew stands at the end, under a new id.
    assert names_of(folder) == [*(f"{i}.png" for i in (0, 4, 6, 8, 1, 5, 7, 9)), *decoded]
    assert [item.id for item in folder.items()] == [0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    codes = dict((name, code) for name, _, code in rows_of(folder))
    assert [codes["2.png"]] == expected(run, ["31.png"])
    with pytest.raises(KeyError):
        folder.item(1)


def test_what_is_gone_is_named_and_kept_or_removed(
    run: Path, photos: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos.parent / "index"
    main(run, "--images", photos, shapes.parent / "40.png", "--out", out)
    (photos / "even/4.png").unlink()
    capsys.readouterr()
    main(run, "--images", photos, "--out", out)
    printed = capsys.readouterr()
    assert "unchanged 9, skipped 0, gone but kept 1 (--prune removes them), total 11" in printed.out
    assert printed.err == f"gone: {photos / 'even/4.png'}\n"
    main(run, "--images", photos, "--out", out, "--prune")
    assert "removed 1, unchanged 9, skipped 0, total 10" in capsys.readouterr().out
    # 40.png is of another source, about which nothing was said.
    assert sorted(names_of(read_index(out))) == sorted(
        ["40.png", *(f"{i}.png" for i in range(10) if i != 4)]
    )


def test_any_way_leads_to_the_index_built_at_once(run: Path, photos: Path, shapes: Path) -> None:
    out, whole = photos.parent / "index", photos.parent / "whole"
    main(run, "--images", photos / "odd", "--out", out)
    main(run, "--images", photos, "--out", out, "--commit-seconds", 0)
    for i in range(10, 30):
        shutil.copy(shapes.parent / f"{i}.png", photos)
        if i % 5 == 0:
            next(photos.glob("*/*.png")).unlink()
            shutil.copy(shapes.parent / "47.png", next(photos.glob("*.png")))
            main(run, "--images", photos, "--out", out, "--prune")
    main(run, "--images", photos, "--out", out, "--prune")
    main(run, "--images", photos, "--out", whole)
    assert sorted(rows_of(read_index(out))) == sorted(rows_of(read_index(whole)))
    needed = read_index(out).manifest.files() | {"index.json", ".lock"}
    assert {file.name for file in out.iterdir()} == needed


def test_what_an_interrupted_run_encoded_is_kept(
    run: Path,
    photos: Path,
    decoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, codes = photos.parent / "index", index._codes

    def interrupted(encoder: object) -> object:
        encode, calls = codes(encoder), iter(range(3))

        def encoded(items: list) -> np.ndarray:
            if next(calls) == 2:
                raise KeyboardInterrupt
            return encode(items)

        return encoded

    monkeypatch.setattr(index_update, "BATCH", 3)
    monkeypatch.setattr(index, "_codes", interrupted)
    assert fails(capsys, run, "--images", photos, "--out", out, status=130) == "interrupted"
    assert names_of(read_index(out)) == [f"{i}.png" for i in (0, 2, 4, 6, 8, 1)]
    decoded.clear()
    monkeypatch.setattr(index, "_codes", codes)
    main(run, "--images", photos, "--out", out)
    assert decoded == [f"{i}.png" for i in (3, 5, 7, 9)]
    assert read_index(out).manifest.n_items == 10


def test_one_writer_at_a_time(run: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = photos.parent / "index"
    main(run, "--images", photos / "odd", "--out", out)
    capsys.readouterr()
    with (out / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert fails(capsys, run, "--images", photos, "--out", out) == (
            f"out: expected {out} without another writer, got one at work, process {os.getpid()}; "
            "wait until it has finished"
        )
    assert read_index(out).manifest.n_items == 5
    main(run, "--images", photos, "--out", out)


def test_an_index_of_other_codes_is_refused(
    run: Path, photos: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos.parent / "index"
    main(run, "--images", photos, "--out", out)
    capsys.readouterr()
    message = fails(capsys, run, "--manifest", shapes, "--as", "text", "--out", out)
    assert message == (
        f"out: expected an index of codes by text, got {out}, whose codes are by image; "
        "choose another --out"
    )
    moved = shutil.copytree(run, photos.parent / "moved")
    main(moved, "--images", photos, "--out", out)
    assert read_index(out).manifest.about.run == str(moved)
    capsys.readouterr()
    weights = moved / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    message = fails(capsys, moved, "--images", photos, "--out", out)
    assert message.startswith(f"out: expected an index made by the run {moved}, got {out}, made by")


def test_a_folder_of_something_else_is_left_alone(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = fails(capsys, run, "--images", photos, "--out", photos)
    assert message == (
        f"out: expected an index directory or a new one, got {photos}, which holds even; "
        "choose another --out"
    )
    assert sorted(file.name for file in photos.iterdir()) == ["even", "odd"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "index: expected one of --images, --manifest and --texts, got 0 of them; give one"),
        (["--images", ".", "--texts", "a"], "index: expected one of --images, --manifest and"),
        (["--images", "none"], "images: expected an image file or a folder, got none, which is"),
        (["--images", "."], "images: expected image files in ., got none"),
        (["--manifest", "none.jsonl"], "none.jsonl: No such file or directory"),
        (["--manifest", "words.jsonl"], "manifest: expected lines with image in words.jsonl, got"),
        (["--manifest", "bad.jsonl"], "bad.jsonl, line 1: expected one JSON object, got"),
        (["--manifest", "words.jsonl", "--as", "sketch"], "as: expected image for images, got"),
        (["--texts", "blank.txt"], "texts: expected a text in line 2 of blank.txt, got a blank"),
        (["--texts", "a.txt", "--as", "image"], "as: expected text for texts, got image"),
        (["--texts", "a.txt", "--model", "student"], "model: expected none for a soda run"),
        (["--texts", "a.txt", "--commit-seconds", "-1"], "commit_seconds: expected at least 0"),
    ],
)
def test_wrong_use_is_one_sentence_and_makes_nothing(
    run: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.chdir(folder)
    (folder / "a.txt").write_text("a\n")
    (folder / "blank.txt").write_text("a\n \n")
    (folder / "bad.jsonl").write_text("{\n")
    sketch = {"modalities": {"sketch": {"image": "a.png"}}}
    written(folder / "words.jsonl", [{"text": "words"}, sketch])
    assert message in fails(capsys, run, *arguments, "--out", "index")
    assert not (folder / "index").exists()


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        index.main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    options = (
        "images",
        "manifest",
        "texts",
        "as",
        "model",
        "bad-images",
        "prune",
        "commit-seconds",
    )
    for option in ("RUN", "--out INDEX_DIR", *(f"--{name}" for name in options)):
        assert option in printed
