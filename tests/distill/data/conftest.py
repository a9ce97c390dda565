"""Small generated datasets in the layouts the loaders read."""

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from distill.data import protocols


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


def _as_matlab(file: h5py.File, name: str, value: Any) -> h5py.Dataset:
    """Store a variable as MATLAB v7.3 does: axes in reverse, strings as UTF-16, cells by link."""
    if isinstance(value, str):
        units = np.frombuffer(value.encode("utf-16-le", "surrogatepass"), "<u2")
        codes = units[:, None] if value else np.zeros(2, np.uint16)
        item = file.create_dataset(name, data=codes)
        item.attrs["MATLAB_class"] = np.bytes_("char")
        if not value:
            item.attrs["MATLAB_empty"] = np.uint8(1)
    elif isinstance(value, list) or value.dtype == object:
        cells = np.array(value, object).T if isinstance(value, np.ndarray) else [value]
        links = [
            [_as_matlab(file, f"#refs#/{name}{k}-{i}", v).ref for i, v in enumerate(row)]
            for k, row in enumerate(cells)
        ]
        item = file.create_dataset(name, data=np.array(links, h5py.ref_dtype))
        item.attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        item = file.create_dataset(name, data=np.asarray(value).T)
        item.attrs["MATLAB_class"] = np.bytes_("double")
    return item


@pytest.fixture(scope="session")
def save_matlab() -> Callable[..., None]:
    """Write a .mat file as MATLAB v7.3 does; a list of strings is a cell array."""

    def save(path: Path, **variables: Any) -> None:
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, value in variables.items():
                _as_matlab(file, name, value)

    return save


@pytest.fixture
def small_protocol(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Add a published split of few pairs, and give its name."""

    def add(n_pairs: int, order: str = "file", seed: int = 0) -> str:
        small = protocols.PublishedSplit("small", "ten", n_pairs, 3, 5, order, "a test", seed)
        monkeypatch.setitem(protocols.PROTOCOLS, "small", small)
        return "small"

    return add
