"""The search command: prints hits, writes a page, and answers misuse in one sentence."""

import errno
import os
import re

import pytest

from distill import queries, search


def fails(capsys, *arguments):
    """Return the one line on stderr; there is nothing else and the status is 2."""
    with pytest.raises(SystemExit) as caught:
        search.main([str(each) for each in arguments])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    return printed.err


def test_text(run, capsys):
    search.main([str(run), "--text", "a red ellipse", "-k", "4"])
    (page,) = (run / "searches").glob("a-red-ellipse-images-????????.html")
    printed = capsys.readouterr().out
    assert str(page) in printed.replace("\n", "")
    assert len(re.findall(r"\d+\.png", printed)) == 4
    text = page.read_text(encoding="utf-8")
    assert text.count('<li class="hit') == 4
    assert "a red ellipse" in text


def test_image_against_texts(run, shapes, tmp_path, capsys):
    out = tmp_path / "deep" / "page.html"
    image = shapes.parent / "0.png"
    search.main([str(run), "--image", str(image), "--against", "text", "--out", str(out)])
    assert str(out) in capsys.readouterr().out.replace("\n", "")
    text = out.read_text(encoding="utf-8")
    assert text.count("<img") == 11
    assert "10 nearest texts" in text


def test_markup_in_a_query_is_shown_as_it_is(run, capsys):
    search.main([str(run), "--text", "[bold] & <b>"])
    assert "[bold] & <b>" in capsys.readouterr().out
    (page,) = (run / "searches").glob("bold-b-images-*.html")
    assert "[bold] &amp; &lt;b&gt;" in page.read_text()


def test_pages_of_any_query_have_names_of_their_own(run, shapes):
    for text in ("red!", "red?", "red!", "🟥", "\U00020000" * 60, "x" * 300):
        search.main([str(run), "--text", text])
    assert len(list((run / "searches").iterdir())) == 5
    search.main([str(run), "--image", str(shapes.parent / "0.png")])
    search.main([str(run), "--text", "0.png"])
    assert len(list((run / "searches").iterdir())) == 7


def test_a_picture_whose_name_is_no_unicode(run, shapes, tmp_path):
    copy = tmp_path / "a\udcff.png"
    copy.write_bytes((shapes.parent / "0.png").read_bytes())
    search.main([str(run), "--image", str(copy)])
    assert len(list((run / "searches").iterdir())) == 1


def test_misuse(run, tmp_path, capsys):
    neither = fails(capsys, run)
    assert neither == "error: query: expected --text or --image, got neither; give one\n"
    both = fails(capsys, run, "--text", "a", "--image", "b.png")
    assert both == "error: query: expected --text or --image, got both; give one\n"
    assert "error: text: expected words" in fails(capsys, run, "--text", " ")
    assert "error: text: expected Unicode" in fails(capsys, run, "--text", "a\udcff")
    assert "error: k: expected 1..48" in fails(capsys, run, "--text", "a", "-k", 0)
    assert "error: k: expected 1..48" in fails(capsys, run, "--text", "a", "-k", 49)
    assert "error: run: expected a run" in fails(capsys, tmp_path / "none", "--text", "a")
    assert "error: image: expected a pic" in fails(capsys, run, "--image", tmp_path / "none.png")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "cut.png: expected a complete" in fails(capsys, run, "--image", tmp_path / "cut.png")
    assert not (run / "searches").exists()


def test_a_page_that_cannot_be_written(run, tmp_path, capsys):
    """The hits are shown all the same; a failure only where the page was asked for."""
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as caught:
        search.main([str(run), "--text", "a", "-k", "4", "--out", str(tmp_path / "file/page.html")])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert len(re.findall(r"\d+\.png", printed.out)) == 4
    assert re.fullmatch(r"error: .*file.*\n", printed.err)
    (run / "searches").touch()
    search.main([str(run), "--text", "a", "-k", "4"])
    printed = capsys.readouterr()
    assert len(re.findall(r"\d+\.png", printed.out)) == 4
    page = re.escape(str(run / "searches" / "a-images-")) + r"\w{8}\.html"
    assert re.fullmatch(rf"no page: {page}: [^\n;]+; give --out\n", printed.err)


def test_a_page_in_a_folder_without_permission(run, monkeypatch, capsys):
    def refused(out, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))

    monkeypatch.setattr(search, "write_search_page", refused)
    search.main([str(run), "--text", "a"])
    printed = capsys.readouterr()
    assert len(re.findall(r"\d+\.png", printed.out)) == 10
    assert printed.err.endswith(".html: Permission denied; give --out\n")
    with pytest.raises(SystemExit) as caught:
        search.main([str(run), "--text", "a", "--out", "page.html"])
    assert caught.value.code == 1


def test_fewer_items_than_hits_by_default(run, monkeypatch, capsys):
    monkeypatch.setattr(queries, "HITS", 100)
    search.main([str(run), "--text", "a"])
    assert len(re.findall(r"\d+\.png", capsys.readouterr().out)) == 48
    assert "error: k: expected 1..48" in fails(capsys, run, "--text", "a", "-k", 100)


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        search.main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for option in ("RUN", "--text", "--image", "--against", "--as", "-k", "--out"):
        assert option in printed
