import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.data.images import (
    ChosenImages,
    FileImages,
    MemoryImages,
    NoImages,
    decode,
    regular_file,
    to_rgb,
    unreadable,
)
from distill.types import DistillError

Draw = Callable[..., bytes]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_every_kind_becomes_rgb(picture: Draw, kind: str, mode: str):
    if kind == "JPEG" and mode in ("P", "1"):
        mode = "CMYK"
    if kind == "WEBP" and mode in ("P", "1"):
        mode = "RGBA"
    image = decode(picture(3, kind=kind, mode=mode), "x")
    assert (image.mode, image.size) == ("RGB", (24, 24))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode: str):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 2))
    pixels = np.asarray(decode(encode(image.convert(mode)), "x"))
    assert (pixels[:2] == 0).all()
    assert (pixels[2:] == 255).all()


def test_a_palette_with_transparent_colours_becomes_white():
    image = Image.new("P", (1, 1))
    image.putpalette([0, 0, 0, 0], "RGBA")
    assert to_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_half_transparent_is_blended():
    pixels = np.asarray(decode(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 128))), "x"))
    assert (abs(pixels.astype(int) - 127) <= 1).all()


def test_sixteen_bit_grey_keeps_its_upper_half():
    grey = np.array([[0, 256, 32768, 65535]], np.uint16)
    pixels = np.asarray(decode(encode(Image.fromarray(grey)), "x"))
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (6, 4), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter
    assert decode(encode(image, "JPEG", exif=exif), "x").size == (4, 6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_found_by_decoding(picture: Draw, kind: str, share: float):
    data = picture(1, size=64, kind=kind)
    with pytest.raises(DistillError, match=r"^photo\.x: expected a complete image, got \w"):
        decode(data[: int(len(data) * share)], "photo.x")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "an empty file"), (b"hello", "no format that Pillow knows")],
)
def test_no_picture_at_all(data: bytes, reason: str):
    with pytest.raises(DistillError, match=f"^a: expected a complete image, got {reason}$"):
        decode(data, "a")


def test_damaged_bytes_never_raise_anything_else(picture: Draw):
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF"):
        good = picture(1, size=32, kind=kind)
        for _ in range(60):
            data = bytearray(good)
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(0, 256)
            try:
                image = decode(bytes(data), "x")
            except DistillError:
                continue
            assert image.mode == "RGB"


def test_unreadable_names_each_reason(tmp_path: Path, picture: Draw):
    (tmp_path / "good.png").write_bytes(picture())
    (tmp_path / "cut.jpg").write_bytes(picture(size=64, kind="JPEG")[:-200])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    names = ("good.png", "cut.jpg", "missing.png", "empty.png", "folder.png")
    bad = unreadable(FileImages(tmp_path, names))
    assert sorted(bad) == [1, 2, 3, 4]
    assert "truncated" in bad[1].lower()
    assert bad[2] == "no such file or directory"
    assert bad[3] == "an empty file"
    assert bad[4] == "is a directory"


def test_memory_images(picture: Draw):
    source = MemoryImages(("a", "b"), (picture(), b"no"))
    assert source.read(0) == picture()
    assert unreadable(source) == {1: "no format that Pillow knows"}


def test_chosen_images():
    source = ChosenImages(MemoryImages(("a", "b", "c"), (b"0", b"1", b"2")), np.array([2, 0]))
    assert source.names == ("c", "a")
    assert [source.read(i) for i in range(2)] == [b"2", b"0"]


def test_no_images():
    source = NoImages(("a", "b"))
    with pytest.raises(OSError, match=r"^a dataset that holds features, no pictures$"):
        source.read(0)


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_a_file_that_may_not_be_read_is_bad(tmp_path: Path, picture: Draw, monkeypatch):
    (tmp_path / "a.png").write_bytes(picture())

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("distill.data.images.regular_file", refuse)  # root may read everything
    assert unreadable(FileImages(tmp_path, ("a.png",))) == {0: "permission denied"}


def test_a_line_is_no_picture():
    wide = encode(Image.new("L", (400, 2)))
    assert decode(wide, "x").size == (400, 2)
    message = "^x: expected sides of at most 1 to 200, got 1 x 201 pixels$"
    with pytest.raises(DistillError, match=message):
        decode(encode(Image.new("L", (1, 201))), "x")


def test_a_jpeg_that_need_not_be_large_is_decoded_small():
    data = encode(Image.linear_gradient("L").resize((1600, 1200)), "JPEG")
    small = decode(data, "x", enough=150)
    assert (small.mode, small.size) == ("RGB", (200, 150))
    assert decode(data, "x").size == (1600, 1200)
    assert decode(encode(Image.new("L", (1600, 1200))), "x", enough=150).size == (1600, 1200)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "queue")
    images = FileImages(tmp_path, ("link", "queue", ".", "none"))
    assert images.read(0) == b"content"
    for row, kind in ((1, OSError), (2, IsADirectoryError), (3, FileNotFoundError)):
        with pytest.raises(kind):
            images.read(row)
    with pytest.raises(OSError, match="No regular file"):
        regular_file(Path(os.devnull))
