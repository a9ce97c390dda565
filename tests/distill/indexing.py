"""What tests of the index command share: calls of it, and what an index holds."""

import json
from pathlib import Path

import pytest

from distill import index
from distill.checkpoint import load_run
from distill.index_folder import IndexFolder


def main(*arguments: object) -> None:
    index.main([str(argument) for argument in arguments])


def fails(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 2) -> str:
    with pytest.raises(SystemExit) as caught:
        main(*arguments)
    assert caught.value.code == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("error: ").rstrip("\n")


def rows_of(folder: IndexFolder) -> list[tuple[str, str, bytes]]:
    codes = folder.index().codes
    return [
        (Path(item.path).name, item.text, code.tobytes())
        for item, code in zip(folder.items(), codes, strict=True)
    ]


def expected(run: Path, names: list[str], modality: str = "image") -> list[bytes]:
    codes = load_run(run).codes(modality)
    return [codes[int(name.removesuffix(".png"))].tobytes() for name in names]


def names_of(folder: IndexFolder) -> list[str]:
    return [name for name, _, _ in rows_of(folder)]


def written(file: Path, lines: list[dict]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file
