"""`python -m distill.search RUN --text "sailing boat"`: hits on the screen and as a page."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from distill.command import one_sentence
from distill.modalities import plural
from distill.report import Card, Panel, picture_of, thumbnail, write_search_page
from distill.retriever import Hit, Retriever, open_image
from distill.types import DistillError


@dataclass(frozen=True)
class Search:
    """Find the items nearest to a text or an image with a trained run, exactly.

    Prints the hits and writes them as a page with pictures. Equal distances stand in row order.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder, as written by python -m distill.train."""
    text: Annotated[
        str | None, tyro.conf.arg(constructor=str, metavar="WORDS", help_behavior_hint="")
    ] = None
    """What to look for, in words."""
    image: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """What to look for, as a picture."""
    against: Annotated[str, tyro.conf.arg(metavar="MODALITY")] = "image"
    """Search the items' images, their texts, or another modality of the run; items that lack it are
    never hits."""
    modality: Annotated[
        str | None,
        tyro.conf.arg(name="as", constructor=str, metavar="MODALITY", help_behavior_hint=""),
    ] = None
    """Encode the query as this modality of the run; without it a picture is an image and words are
    a text."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """Number of hits."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to encode and search; cuda needs a GPU and CuPy (hamming-kd[cuda12] or [cuda13])."""
    out: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """HTML page to write; default searches/QUERY.html in the run folder."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        search(tyro.cli(Search, args=arguments, prog="python -m distill.search"))


def search(options: Search) -> Path:
    """Search, print the hits and return the path of the page.

    Raises:
        DistillError, ValueError: An option cannot be served; nothing is written then.
        OSError: The page cannot be written.
    """
    if (options.text is None) == (options.image is None):
        given = "neither" if options.text is None else "both"
        raise DistillError(f"query: expected --text or --image, got {given}; give one")
    # A wrong picture should not wait for the run to load.
    picture = open_image(options.image) if options.image else None
    title = _shown(options.image.name) if options.image else str(options.text)
    retriever = Retriever.load(options.run, device=options.device)
    console = Console(emoji=False)
    asked = {"against": options.against}
    if options.modality is not None:
        asked["modality"] = options.modality
    with Console(stderr=True).status("Searching"):
        if picture:
            hits = retriever.search_image(picture, options.k, **asked)
        else:
            hits = retriever.search_text(title, options.k, **asked)
    out = options.out or options.run / "searches" / f"{_slug(options, title)}.html"
    cards = [
        Card(picture_of(retriever.dataset, hit.row, options.against), hit.text, hit.distance)
        for hit in hits
    ]
    shown = thumbnail(picture) if picture else None
    named, n_items = plural(options.against), retriever.n_items[options.against]
    lead = f"The {len(hits)} nearest {named} of {n_items} items, run "
    write_search_page(out, Panel(title, shown, (), cards), lead=f"{lead}{options.run}.")
    console.print(_table(title, hits))
    console.print(f"[bold]{escape(str(out))}[/bold]", soft_wrap=True)
    return out


def _table(title: str, hits: Sequence[Hit]) -> Table:
    table = Table(title=f"Nearest to {escape(title)}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("distance", justify="right")
    table.add_column("text", overflow="fold")
    table.add_column("image", overflow="fold")
    for rank, hit in enumerate(hits, start=1):
        table.add_row(str(rank), str(hit.distance), escape(hit.text), escape(hit.image))
    return table


def _shown(name: str) -> str:
    """A file name as text; bytes that are no UTF-8 become question marks."""
    return name.encode(errors="replace").decode()


def _slug(options: Search, title: str) -> str:
    """Name the page of a query: readable, within 255 bytes, and another for another query."""
    words = re.sub(r"\W+", "-", title.lower()).strip("-").encode()[:60].decode(errors="ignore")
    asked = f"text {options.text}" if options.image is None else f"image {options.image.resolve()}"
    asked += "" if options.modality is None else f" as {options.modality}"
    digest = hashlib.sha256(os.fsencode(asked)).hexdigest()[:8]
    return f"{words or 'query'}-{plural(options.against)}-{digest}"


if __name__ == "__main__":
    main()
