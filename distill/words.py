"""Names in sentences."""

from collections.abc import Sequence


def shortened(names: Sequence[str], most: int = 10) -> str:
    """The first names, and how many more there are.

    >>> shortened(["a", "b", "c"], most=1)
    'a and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def listed(names: Sequence[str], conjunction: str = "and") -> str:
    """Names in a sentence.

    >>> listed(["image", "fluent", "text"])
    'image, fluent and text'
    """
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last
