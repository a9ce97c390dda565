"""What all commands share: a user's mistake is one sentence on stderr and exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

WRONG_PATH = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn errors a user can cause into one sentence and exit status 2.

    A file that is missing or in the way is one of them. What only the machine can cure, such as no
    permission or no space left, is one sentence with exit status 1.
    """
    try:
        yield
    except (ValueError, TypeError) as error:  # DistillError, ConfigError, checks of hamming
        _exit(" ".join(str(error).split()), 2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _exit(f"{place}{error.strerror or error}", 2 if isinstance(error, WRONG_PATH) else 1)
    except KeyboardInterrupt:
        _exit("interrupted", 130)


def _exit(sentence: str, status: int) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(status)
