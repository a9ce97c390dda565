"""Examples of README and docs/interop.md run; the SQL shown there is what the functions give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamming.interop import parquet, pgvector
from tests.hamming.interop.server import postgres

__all__ = ["postgres"]
ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/interop.md").read_text()


def test_readme_runs_from_its_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no GPU: searching an array, and an index that changes and is saved."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for example in examples[:2]:
        exec(compile(example, "README.md", "exec"), names)
    assert len(names["index"]) == len(names["db"]) - 10


def test_the_examples_run(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"address": postgres}
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 6
    for example in examples:
        names.pop("again", None)
        exec(compile(example, "docs/interop.md", "exec"), names)
        for index in (names[n] for n in ("again", "mapped") if hasattr(names.get(n), "codes")):
            np.testing.assert_array_equal(index.codes, names["codes"])
    np.testing.assert_array_equal(names["again"], names["codes"])


def test_the_sql_is_what_the_functions_give() -> None:
    code = np.array([0b10100000], np.uint8)
    for extension in (True, False):
        assert pgvector.topk_query("codes", code, 10, n_bits=4, extension=extension) in PAGE
    assert pgvector.create_table("codes", 4) in PAGE
    text = parquet.topk_query("codes", np.full(8, 0b10101010, np.uint8), 10)
    shown = re.search(r"```sql\n(SELECT id, bit_count\(xor.*?)\n```", PAGE, re.DOTALL)
    assert shown is not None
    assert re.sub(r"error\('.*'\)", "error('...')", text) == shown[1]
