"""Small generated datasets in the layouts the loaders read."""

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def draw(number: int = 0, *, size: int = 24, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """Encoded bytes of a picture whose colours depend on its number."""
    image = Image.new("RGB", (size, size), (number * 37 % 256, number * 91 % 256, 128))
    image.paste((255, 255, 255), (0, 0, size // 2, size // 3))
    file = io.BytesIO()
    image.convert(mode).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Give tests the function that draws and encodes."""
    return draw


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[[Iterable[Any]], Path]:
    """Write lines (objects become JSON) and every picture they name that is not there yet."""

    def make(lines: Iterable[Any]) -> Path:
        texts = []
        for number, line in enumerate(lines):
            if isinstance(line, dict) and isinstance(line.get("image"), str) and line["image"]:
                file = tmp_path / line["image"]
                file.parent.mkdir(parents=True, exist_ok=True)
                if not file.exists():
                    file.write_bytes(draw(number))
            texts.append(line if isinstance(line, str) else json.dumps(line))
        path = tmp_path / "items.jsonl"
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return path

    return make


@pytest.fixture
def make_clipart(tmp_path: Path) -> Callable[..., Path]:
    """Write a full clipart set: two big tags, a rare one, a third of the items without."""

    def make(n: int = 690) -> Path:
        root = tmp_path / "clipart-set"
        (root / "clipart").mkdir(parents=True)
        entries = []
        for i in range(n):
            image = f"clipart/{i:05d}.jpg"
            (root / image).write_bytes(draw(i, size=8, kind="JPEG"))
            tags = (["flag"], ["boat", "sea_side"], ["rare"] if i < 12 else [])[i % 3]
            entries.append(
                {"image": image, "title": f"title_{i}", "file": f"a/{i}.png", "folder": "a"}
                | {"desc": f"word {i} " * 40, "tags": tags}
            )
        (root / "clipart.json").write_text(json.dumps(entries))
        return root

    return make


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write ROOT/LABEL/FILE pictures by relative name."""

    def make(*names: str) -> Path:
        root = tmp_path / "photos"
        root.mkdir()
        for number, name in enumerate(names):
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(draw(number))
        return root

    return make
