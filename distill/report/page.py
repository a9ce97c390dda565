"""Self-contained HTML: templates, thumbnails as data URIs, and what a panel of hits shows."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from distill.files import write_text

THUMBNAIL = 128
"""Longest side of a picture in pixels: sharp at 64 to 128 CSS pixels, 2 to 4 kB each."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("distill.report", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Card:
    """One hit.

    Attributes:
        picture: Data URI; None where the dataset has no pictures.
        title: The item's text, or the name of its picture.
        distance: Hamming distance to the query.
        shared: Names of the labels shared with the query; None where the query has no labels.
    """

    picture: str | None
    title: str
    distance: int
    shared: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Panel:
    """A query with its hits, best first.

    Attributes:
        title: The query's text, or the name of its image.
        picture: Data URI of an image query; None for a text query, or without pictures.
        labels: Label names of the query, if it has any.
        cards: The hits.
        texts: For an image query, its nearest texts as (text, distance, shared labels).
    """

    title: str
    picture: str | None
    labels: tuple[str, ...]
    cards: Sequence[Card]
    texts: Sequence[tuple[str, int, tuple[str, ...]]] = ()


@dataclass(frozen=True)
class Compared:
    """A query with the hits of several runs.

    Attributes:
        title, picture, labels: As of a `Panel`.
        lines: What found the hits, and the hits, best first.
    """

    title: str
    picture: str | None
    labels: tuple[str, ...]
    lines: Sequence[tuple[str, Sequence[Card]]]


def thumbnail(image: Image.Image) -> str:
    """Return a small WebP of an RGB image as a data URI."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=78, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def render(template: str, **values: Any) -> str:
    """Fill a template of this package; everything but Markup is escaped."""
    return _TEMPLATES.get_template(template).render(**values)


def write_search_page(out: Path, panel: Panel, *, lead: str) -> Path:
    """Write the hits of one search as a self-contained HTML page.

    Args:
        out: HTML file, replaced as a whole or not at all.
        panel: The query and its hits.
        lead: One sentence on what was searched, with which run.
    """
    write_text(out, render("search.html", title="Search", panel=panel, lead=lead))
    return out
