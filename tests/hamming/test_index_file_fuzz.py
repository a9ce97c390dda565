"""Damaged files, and that the program which makes them would notice."""

from __future__ import annotations

import pytest

from hamming.index import file as index_file
from hamming.io import Tensors
from tests.hamming import fuzz_index_file


def test_damaged_files_are_refused_or_served_as_they_stand() -> None:
    seen = fuzz_index_file.run(1_500)
    assert sum(seen.values()) == 6 * 1_500
    assert min(seen["refused"], seen["as it stands"], seen["as saved"]) > 100, seen


class Anything(str):
    """Equal to every checksum."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


def any_numbers(tensors: Tensors) -> tuple[int, ...]:
    return tuple(int(tensors.metadata[name]) for name in ("n_bits", "count", "next_id"))


WEAKENED = {
    "digest": lambda *_: Anything(),
    "header_digest": lambda *_: Anything(),
    "_check_contents": lambda *_: None,
    "_numbers": any_numbers,
}


@pytest.mark.parametrize("check", WEAKENED)
def test_the_fuzzer_notices_a_missing_check(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, check, WEAKENED[check])
    with pytest.raises(Exception) as caught:
        fuzz_index_file.run(1_500)
    assert "--cases 1 --seed" in caught.value.__notes__[0]
