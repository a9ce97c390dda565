"""What all commands share: a user's mistake is one sentence on stderr and exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from distill.config import ConfigError
from distill.types import DistillError


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn errors a user can cause into one sentence and exit status 2.

    A file system's refusal (missing, no permission, no space left) is one of them.
    """
    try:
        yield
    except (DistillError, ConfigError) as error:
        _exit(str(error), 2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _exit(f"{place}{error.strerror or error}", 2)
    except KeyboardInterrupt:
        _exit("interrupted", 130)


def _exit(sentence: str, status: int) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(status)
