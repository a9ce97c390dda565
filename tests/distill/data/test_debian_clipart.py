import gzip
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.data import debian_clipart
from distill.data.debian_clipart import Metadata, find_items, main, metadata, render
from distill.data.openclipart import read_clipart
from distill.types import DistillError

SVG = """<svg><metadata><rdf:RDF><cc:Work><dc:title>{title}</dc:title>
<dc:description>{description}</dc:description><dc:subject><rdf:Bag>{tags}</rdf:Bag></dc:subject>
<dc:creator><cc:Agent><dc:title>A. N. Author</dc:title></cc:Agent></dc:creator>
</cc:Work></rdf:RDF></metadata></svg>"""


def svg(title: str, tags: list[str], description: str = "") -> str:
    bag = "".join(f"<rdf:li>{tag}</rdf:li>" if tag else "<rdf:li/>" for tag in tags)
    return SVG.format(title=title, description=description, tags=bag)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Five drawings as Debian installs them, and what the recipe leaves out."""
    source = tmp_path / "usr" / "share" / "openclipart"
    drawings = {
        "animals/cat": ["cat", "Animal"],
        "food/pear": ["fruit", "Ripe Fruit"],
        "food/plain": ["hash", "", "unsorted"],
        "shapes/stars/star": ["star"],
        "computer/icons/gold-theme/x": ["icon"],
        "unsorted/thing": ["thing"],
        "tools/saw": ["tool"],
    }
    for number, (name, tags) in enumerate(drawings.items()):
        for kind in ("png", "svg"):
            (source / kind / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
        image.paste((20 * number, 0, 200, 255), (30, 50, 270, 110))
        image.save(source / "png" / f"{name}.png")
        (source / "svg" / f"{name}.svg").write_text(svg(name.title(), tags))
    # The same picture filed twice, with other tags; and one without metadata.
    (source / "png" / "special").mkdir()
    (source / "svg" / "special").mkdir()
    (source / "png" / "special" / "cat2.png").symlink_to("../animals/cat.png")
    (source / "svg" / "special" / "cat2.svg").write_text(svg("Tom", ["tom"]))
    (source / "png" / "special" / "bare.png").symlink_to("../food/plain.png")
    return source


def test_metadata():
    text = svg(" A &amp; B ", ["Big Cat", "", "hash", "cat", "cat", "clip_art"], "two\nlines " * 40)
    description = ("two\nlines " * 40)[:200]
    assert metadata(text) == Metadata("A &amp; B", description, ["big_cat", "cat"])
    assert metadata("<svg/>") == Metadata("", "", [])
    assert metadata("<dc:title>not closed") == Metadata("", "", [])


def test_each_picture_is_found_once(packages: Path):
    names = [name for name, _ in find_items(packages)]
    assert names == ["animals/cat.png", "food/pear.png", "tools/saw.png"]


def test_the_list_of_paths_decides_order_and_name(packages: Path, tmp_path: Path, monkeypatch):
    listed = "tools/saw.png\nspecial/cat2.png\nnot/there.png\n"
    (tmp_path / "clipart_paths.txt.gz").write_bytes(gzip.compress(listed.encode()))
    monkeypatch.setattr(debian_clipart, "ARCHIVES", tmp_path)
    items = find_items(packages)
    assert [name for name, _ in items] == ["tools/saw.png", "special/cat2.png", "food/pear.png"]
    assert items[1][1].tags == ["tom"]


def test_drawings_are_cropped_shrunk_and_centred(packages: Path):
    pixels = np.asarray(render(packages / "png" / "tools" / "saw.png")).astype(int)
    assert pixels.shape == (128, 128, 3)
    drawn = np.argwhere((pixels != 255).any(axis=2))
    assert drawn.min(axis=0).tolist() == [49, 4]  # 240 x 60 becomes 120 x 30
    assert drawn.max(axis=0).tolist() == [78, 123]


def test_small_drawings_are_not_enlarged(tmp_path: Path):
    Image.new("L", (10, 20)).save(tmp_path / "a.png")
    pixels = np.asarray(render(tmp_path / "a.png"))
    assert (pixels == 0).all(axis=2).sum() == 200


def test_an_empty_drawing_stays_white(tmp_path: Path):
    Image.new("RGBA", (10, 20), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (np.asarray(render(tmp_path / "a.png")) == 255).all()


def test_the_command_builds_the_full_set(packages: Path, tmp_path: Path, capsys):
    out = tmp_path / "new" / "set"
    assert main(["--from", str(packages), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 3 pictures\n"
    entries = json.loads((out / "clipart.json").read_text())
    assert entries[1] == {
        "image": "clipart/00001.jpg",
        "title": "Food/Pear",
        "file": "food/pear.png",
        "folder": "food",
        "desc": "",
        "tags": ["fruit", "ripe_fruit"],
    }
    assert len(read_clipart(out)) == 3
    with Image.open(out / "clipart" / "00002.jpg") as image:
        assert (image.size, image.mode, image.format) == ((128, 128), "RGB", "JPEG")
    assert [path.name for path in out.parent.iterdir()] == ["set"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_pillows_guard_is_lifted_only_while_building(packages: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert main(["--from", str(packages), "--out", str(tmp_path / "out")]) == 0
    assert Image.MAX_IMAGE_PIXELS == 10


def test_nothing_is_left_of_a_failure(packages: Path, tmp_path: Path, capsys):
    (packages / "png" / "tools" / "saw.png").write_bytes(b"no picture")
    out = tmp_path / "new" / "set"
    assert main(["--from", str(packages), "--out", str(out)]) == 2
    assert "saw.png: expected a PNG image, got cannot identify" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_wrong_use(packages: Path, tmp_path: Path, capsys):
    assert main(["--from", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "from: expected a folder with png and svg, got" in capsys.readouterr().err
    assert main(["--from", str(packages), "--out", str(packages)]) == 2
    assert "out: expected a new or empty folder, got" in capsys.readouterr().err
    (tmp_path / "bare" / "png").mkdir(parents=True)
    (tmp_path / "bare" / "svg").mkdir()
    assert main(["--from", str(tmp_path / "bare"), "--out", str(tmp_path / "x")]) == 2
    assert "from: expected pictures with tags in" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_without_from_the_packages_are_downloaded(
    packages: Path, tmp_path: Path, monkeypatch, capsys
):
    calls = []

    def run(command: tuple[str, ...], *, cwd: Path, **_: object) -> None:
        calls.append(command[:2])
        if command[0] == "apt-get":
            (cwd / "one.deb").touch()
        else:
            (cwd / "usr").symlink_to(packages.parents[1])

    monkeypatch.setattr(subprocess, "run", run)
    assert main(["--out", str(tmp_path / "out")]) == 0
    assert calls == [("apt-get", "download"), ("dpkg-deb", "--extract")]
    assert capsys.readouterr().out.endswith("out: 3 pictures\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(), "expected a Debian system, got no apt-get; give --from DIR"),
        (
            subprocess.CalledProcessError(100, "apt-get", stderr="E: Unable\n to locate"),
            "expected apt-get to work, got: E: Unable to locate; try apt-get update",
        ),
    ],
)
def test_a_download_that_fails(tmp_path: Path, monkeypatch, error: Exception, message: str):
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DistillError, match=f"^download: {message}$"):
        debian_clipart.download(tmp_path)
