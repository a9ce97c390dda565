"""Words of titles and labels: cleaning, and how much a text gives its labels away.

One rule everywhere. A word is a run of letters and digits; everything else, the underscore and the
hyphen too, separates words; case does not count. A text contains a label when the label's words
stand in it next to each other and in order ("north_america" is in "North America map"). Words must
be equal: "flags" does not contain "flag". Scripts written without blanks are one long word.
"""

import html
import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W_]+")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)\S+")


def words(text: str) -> list[str]:
    """Split a text or a label into its words, case folded.

    >>> words("North_America, map-2")
    ['north', 'america', 'map', '2']
    """
    return [match.group().casefold() for match in _WORD.finditer(text)]


def title_leak(texts: Sequence[str], tags: Sequence[Iterable[str]]) -> float:
    """Measure the share of items whose text contains at least one of the item's own tags.

    Args:
        texts: (n) one text per item.
        tags: (n) the tags of each item.

    Returns:
        A share in [0, 1]; 0 for no items.

    >>> title_leak(["Sailing boat", "card"], [["boat", "sea"], ["ornamental"]])
    0.5
    """
    hits = [bool(_label_words(text, labels)) for text, labels in zip(texts, tags, strict=True)]
    return sum(hits) / max(1, len(hits))


def shared_words(texts: Sequence[str], others: Sequence[str]) -> float:
    """Measure the share of texts that have at least one word of their counterpart.

    >>> shared_words(["cat, face", "car"], ["grinning face", "boat"])
    0.5
    """
    pairs = zip(texts, others, strict=True)
    hits = [not set(words(text)).isdisjoint(words(other)) for text, other in pairs]
    return sum(hits) / max(1, len(hits))


def scrub(text: str, labels: Iterable[str]) -> str:
    """Take every occurrence of the labels out of a text, until none is left.

    Blanks are collapsed, and punctuation left hanging at either end goes too.

    >>> scrub("Flag of France - flag", ["flag"])
    'of France'
    """
    labels = list(labels)
    # A removal can bring the two halves of another occurrence together, hence the loop.
    while found := _label_words(text, labels):
        spans = [match.span() for match in _WORD.finditer(text)]
        for number in sorted(found, reverse=True):
            start, end = spans[number]
            text = f"{text[:start]} {text[end:]}"
        text = " ".join(text.split()).strip(" -:;,._/&")
    return text


def clean(text: str) -> str:
    """Turn a title or description as found on the web into one plain line.

    HTML entities are resolved (twice: sources escape twice), underscores become blanks, e-mail
    and web addresses go, control characters go, blanks are collapsed.

    >>> clean("saint_helena &amp;amp; co,  me@example.org ")
    'saint helena & co,'
    """
    text = html.unescape(html.unescape(text))
    text = _ADDRESS.sub(" ", text).replace("_", " ")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _label_words(text: str, labels: Iterable[str]) -> set[int]:
    """Numbers of the words of `text` that belong to an occurrence of one of the labels."""
    found: set[int] = set()
    in_text = words(text)
    for label in labels:
        wanted = words(label)
        for start in range(len(in_text) - len(wanted) + 1):
            if wanted and in_text[start : start + len(wanted)] == wanted:
                found.update(range(start, start + len(wanted)))
    return found


def is_unicode(text: str) -> bool:
    r"""Whether a text can be written as UTF-8: file names of other encodings cannot.

    >>> is_unicode("caf\xe9"), is_unicode("caf\udce9")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
