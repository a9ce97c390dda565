"""A machine without a compiler skips, and says so."""

from __future__ import annotations

import pytest

from tests.native import programs


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    try:
        programs.require("g++", "GCC 12 or later")
    except programs.MissingToolError as error:
        pytest.skip(str(error))
