"""Searching an index directory, from Python and by the command, beside a writer too."""

import json
import re
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill import index, index_retriever, search
from distill.checkpoint import load_run
from distill.index_folder import IndexFolder, read_index
from distill.index_format import IndexItem
from distill.index_retriever import IndexHit, IndexRetriever
from distill.index_writer import Changes, writing
from distill.item_files import Stamp
from distill.retriever import Retriever
from distill.types import DistillError


def make(run: Path, out: Path, *arguments: object) -> Path:
    index.main([str(each) for each in (run, *arguments, "--out", out)])
    return out


@pytest.fixture(scope="module")
def indexed(_finished_run: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's own items, in the order of its rows."""
    return make(_finished_run, tmp_path_factory.mktemp("indexes") / "i", "--manifest", shapes)


@pytest.fixture
def path(indexed: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return shutil.copytree(indexed, tmp_path / "index")


@pytest.fixture(scope="module")
def retriever(indexed: Path) -> IndexRetriever:
    return IndexRetriever.open(indexed)


def test_hits_are_those_of_the_run(retriever: IndexRetriever, run: Path, shapes: Path) -> None:
    whole = Retriever.load(run)
    assert (retriever.n_items, retriever.modality) == (48, "image")
    for k in (1, 7, 48):
        for found, wanted in (
            (retriever.search_text("a red ellipse", k), whole.search_text("a red ellipse", k)),
            (
                retriever.search_image(shapes.parent / "5.png", k),
                whole.search_image(shapes.parent / "5.png", k),
            ),
        ):
            assert found == [
                IndexHit(hit.row, hit.distance, hit.text, str(shapes.parent / hit.image))
                for hit in wanted
            ]


def test_pictures_of_any_mode(retriever: IndexRetriever) -> None:
    opaque = Image.new("RGB", (40, 40), "white")
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert retriever.search_image(clear, 5) == retriever.search_image(opaque, 5)


def test_filters(retriever: IndexRetriever) -> None:
    every = retriever.search_text("a red ellipse", 48)
    chosen = np.array([3, 4, 40, 99])
    hits = retriever.search_text("a red ellipse", 10, filter=chosen)
    assert hits == [hit for hit in every if hit.id in chosen]
    odd = np.arange(48) % 2 == 1
    hits = retriever.search_text("a red ellipse", 10, filter=odd)
    assert hits == [hit for hit in every if hit.id % 2][:10]


def test_a_search_goes_over_to_what_was_committed(path: Path, run: Path, shapes: Path) -> None:
    opened = IndexRetriever.open(path)
    before = opened.search_text("a red ellipse", 48)
    assert not opened.refresh()
    with writing(path, read_index(path).manifest.about) as writer:
        writer.source("photos")
        code = writer.state.code(before[0].id)
        new = IndexItem(-1, "/new.png", "new", None, 0)
        writer.commit(Changes([new], code[None], [before[1].id], {}))
    assert opened.search_text("a red ellipse", 48) == before
    assert opened.refresh()
    after = opened.search_text("a red ellipse", 48)
    new_hit = IndexHit(48, before[0].distance, "new", "/new.png")
    wanted = [hit for hit in before if hit.id != before[1].id]
    n_nearer = sum(hit.distance <= new_hit.distance for hit in wanted)
    assert after == [*wanted[:n_nearer], new_hit, *wanted[n_nearer:]]  # equal: the earlier first


def test_searches_beside_a_refresh_see_one_state(path: Path) -> None:
    opened = IndexRetriever.open(path)
    opened.search_text("red")  # loads the encoder
    failures: list[BaseException] = []
    n_searches, done = [0, 0], threading.Event()

    def searching(thread: int) -> None:
        try:
            while not done.is_set():
                hits = opened.search_text("red", 48)
                # All items of one commit bear its name.
                assert len(hits) == 48
                assert len({hit.path for hit in hits if hit.id >= 48}) <= 1
                n_searches[thread] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=searching, args=(thread,)) for thread in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        replace_all_items(opened, path, times=30)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not failures
    assert min(n_searches) > 0


def replace_all_items(opened: IndexRetriever, path: Path, times: int) -> None:
    with writing(path, read_index(path).manifest.about) as writer:
        writer.source("photos")
        for commit in range(times):
            old = opened.index.ids
            new = [IndexItem(-1, f"/{commit}.png", "", Stamp(commit, i), 0) for i in range(48)]
            writer.commit(Changes(new, np.array(opened.index.codes), old.tolist(), {}))
            assert opened.refresh()


def test_a_slower_refresh_does_not_go_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = IndexRetriever.open(path)
    read, reached, go_on = index_retriever.read_index, threading.Event(), threading.Event()

    def slowly(where: Path) -> IndexFolder:
        folder = read(where)
        if threading.current_thread() is first:
            reached.set()
            assert go_on.wait(60)
        return folder

    def remove(item_id: int) -> None:
        with writing(path, read(path).manifest.about) as writer:
            writer.commit(Changes([], np.empty((0, 2), np.uint8), [item_id], {}))

    monkeypatch.setattr(index_retriever, "read_index", slowly)
    first, second = (threading.Thread(target=opened.refresh) for _ in range(2))
    remove(0)
    first.start()
    assert reached.wait(60)
    remove(1)
    second.start()
    second.join(0.2)
    go_on.set()
    first.join()
    second.join()
    assert opened.n_items == 46


def test_fewer_items_than_hits_by_default(
    path: Path, capsys: pytest.CaptureFixture[str], shapes: Path
) -> None:
    with writing(path, read_index(path).manifest.about) as writer:
        writer.commit(Changes([], np.empty((0, 2), np.uint8), range(3, 48), {}))
    run_search(path, "--text", "red")
    assert len(re.findall(r"\d\.png", capsys.readouterr().out)) == 3
    opened = IndexRetriever.open(path)
    assert len(opened.search_image(shapes.parent / "0.png")) == 3
    with pytest.raises(DistillError, match=r"^k: expected 1\.\.3 items, got 10; change it"):
        opened.search_text("red", 10)


def test_words_are_searched_where_indexed(run: Path, shapes: Path, tmp_path: Path) -> None:
    path = make(run, tmp_path / "words", "--manifest", shapes, "--as", "text")
    opened = IndexRetriever.open(path)
    assert opened.modality == "text"
    wanted = Retriever.load(run).search_image(shapes.parent / "5.png", 9, against="text")
    found = opened.search_image(shapes.parent / "5.png", 9)
    assert [hit[:3] for hit in found] == [hit[:3] for hit in wanted]


def test_wrong_use(retriever: IndexRetriever, indexed: Path, tmp_path: Path) -> None:
    for k in (0, 49):
        with pytest.raises(DistillError, match=rf"^k: expected 1\.\.48 items, got {k}; "):
            retriever.search_text("red", k)
    with pytest.raises(DistillError, match=r"^text: expected words, got an empty text; "):
        retriever.search_text(" ")
    with pytest.raises(DistillError, match=r"^as: expected text for texts, got image; "):
        retriever.search_text("red", modality="image")
    with pytest.raises(DistillError, match=r"^image: expected a picture at .*none\.png, got no"):
        retriever.search_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"^filter: expected "):
        retriever.search_text("red", filter=np.ones(3, bool))
    with pytest.raises(DistillError, match=r"^index: expected an index directory with index.json"):
        IndexRetriever.open(tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(DistillError, match=r"^device: expected cpu where torch finds no GPU"):
            IndexRetriever.open(indexed, device="cuda")


def test_the_run_must_be_the_one_that_encoded(path: Path, run: Path, tmp_path: Path) -> None:
    manifest = path / "index.json"
    entry = json.loads(manifest.read_text())
    entry["about"]["run"] = str(tmp_path / "gone")
    manifest.write_text(json.dumps(entry))
    with pytest.raises(DistillError, match=r"^run: expected the run that made the index .*/gone,"):
        IndexRetriever.open(path)
    assert IndexRetriever.open(path, run=run).n_items == 48
    opened = IndexRetriever.open(path, run=run)
    entry["about"]["encoder"] = "another"
    manifest.write_text(json.dumps(entry))
    message = r"^run: expected the run that made the index .*, got .* with other weights or another"
    with pytest.raises(DistillError, match=message):
        IndexRetriever.open(path, run=run)
    with pytest.raises(DistillError, match=message):
        opened.refresh()
    weights = run / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DistillError, match=message):
        IndexRetriever.open(path, run=run)


def test_an_empty_index(path: Path) -> None:
    folder = read_index(path)
    with writing(path, folder.manifest.about) as writer:
        writer.commit(Changes([], np.empty((0, 2), np.uint8), range(48), {}))
    with pytest.raises(DistillError, match=r"^index: expected items in .*, got none; add some"):
        IndexRetriever.open(path).search_text("red")


def run_search(*arguments: object) -> None:
    search.main([str(argument) for argument in arguments])


def test_the_command_searches_an_index(
    path: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_search(path, "--text", "a red ellipse", "-k", "4")
    (page,) = (path / "searches").glob("a-red-ellipse-images-????????.html")
    printed = capsys.readouterr().out.replace("\n", "")
    assert str(page) in printed
    text = page.read_text(encoding="utf-8")
    assert text.count('<li class="hit') == text.count("<img") == 4
    assert f"The 4 nearest images of 48 items, index {path}." in text
    run_search(path, "--image", shapes.parent / "0.png", "--against", "image", "-k", "2")
    printed = re.sub(r"[\s│]", "", capsys.readouterr().out)
    assert "0.png" in printed
    assert "<b>bold</b>&red" in printed


def test_pictures_that_are_gone_are_left_out_of_the_page(
    run: Path, shapes: Path, tmp_path: Path
) -> None:
    for i in range(3):
        shutil.copy(shapes.parent / f"{i}.png", tmp_path / f"photo-{i}.png")
    files = sorted(tmp_path.glob("photo-*.png"))
    path = make(run, tmp_path / "index", "--images", *files)
    files[0].unlink()
    files[1].write_bytes(b"no picture")
    run_search(path, "--text", "red", "-k", "3", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('<li class="hit') == 3
    assert text.count("<img") == 1
    assert "photo-0.png" in text  # its name stands for words that it does not have


def test_wrong_use_of_the_command(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (("--against", "text"), f"against: expected image, of which the codes of {path} are, got"),
        (("-k", "49"), "k: expected 1..48 items, got 49; change it"),
    ):
        with pytest.raises(SystemExit) as caught:
            run_search(path, "--text", "red", *arguments)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (path / "searches").exists()


def test_the_index_is_searched_without_a_copy_of_the_codes(path: Path, run: Path) -> None:
    codes = read_index(path).index().codes
    assert np.array_equal(codes, load_run(run).codes("image"))
    base = codes
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap) or type(base).__name__ == "mmap"
