"""The programs, built once; a machine without their tools skips, and says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native import programs


@pytest.fixture(scope="session")
def release() -> Path:
    try:
        return programs.release()
    except programs.MissingToolError as error:
        pytest.skip(str(error))
