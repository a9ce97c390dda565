import errno

import pytest

from distill.command import one_sentence
from distill.types import DistillError


@pytest.mark.parametrize(
    ("error", "sentence", "status"),
    [
        (DistillError("k: expected 1, got 2"), "k: expected 1, got 2", 2),
        (TypeError("codes: expected uint8,\n got int8"), "codes: expected uint8, got int8", 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.txt"), "a.txt: No such file", 2),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", 1),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_an_error_is_one_sentence_with_its_status(
    error: BaseException, sentence: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, one_sentence():
        raise error
    assert caught.value.code == status
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), one_sentence():
        raise KeyError("bug")
