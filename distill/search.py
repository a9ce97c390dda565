"""`python -m distill.search RUN --text "sailing boat"`: hits on the screen and as a page."""

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import tyro
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from distill.command import one_sentence
from distill.index_folder import is_index
from distill.index_retriever import IndexHit, IndexRetriever
from distill.modalities import plural
from distill.queries import open_image
from distill.report import Card, Panel, picture_of, thumbnail, write_search_page
from distill.retriever import Retriever
from distill.types import DistillError


@dataclass(frozen=True)
class Search:
    """Find the items nearest to a text or an image, exactly: of a trained run, or of an index.

    Prints the hits and writes them as a page with pictures. Equal distances stand in row order; in
    an index, the item that was indexed earlier comes first.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|INDEX_DIR")]
    """Run folder, as written by python -m distill.train, or index directory, as written by python
    -m distill.index."""
    text: Annotated[
        str | None, tyro.conf.arg(constructor=str, metavar="WORDS", help_behavior_hint="")
    ] = None
    """What to look for, in words."""
    image: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """What to look for, as a picture."""
    against: Annotated[
        str | None, tyro.conf.arg(constructor=str, metavar="MODALITY", help_behavior_hint="")
    ] = None
    """Search the items' images, their texts, or another modality of the run; without it the images.
    Items that lack it are never hits. An index has one modality."""
    modality: Annotated[
        str | None,
        tyro.conf.arg(name="as", constructor=str, metavar="MODALITY", help_behavior_hint=""),
    ] = None
    """Encode the query as this modality of the run; without it a picture is an image and words are
    a text."""
    k: Annotated[
        int | None,
        tyro.conf.arg(aliases=["-k"], constructor=int, metavar="INT", help_behavior_hint=""),
    ] = None
    """Number of hits; without it 10, or all items where there are fewer."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to encode and search; cuda needs a GPU and CuPy (hamming-kd[cuda12] or [cuda13])."""
    out: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """HTML page to write; default searches/QUERY.html in the run folder or index, where it can be
    written."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        search(tyro.cli(Search, args=arguments, prog="python -m distill.search"))


def search(options: Search) -> Path | None:
    """Search, print the hits and return the path of the page; None where its folder takes none.

    Raises:
        DistillError, ValueError: An option cannot be served; nothing is written then.
        OSError: The page that `out` names cannot be written.
    """
    if (options.text is None) == (options.image is None):
        given = "neither" if options.text is None else "both"
        raise DistillError(f"query: expected --text or --image, got {given}; give one")
    # A wrong picture should not wait for the run to load.
    picture = open_image(options.image) if options.image else None
    title = _shown(options.image.name) if options.image else str(options.text)
    look = _in_index if is_index(options.run) else _in_run
    found = look(options, picture)
    console = Console(emoji=False)
    console.print(_table(title, found))
    page = Panel(title, thumbnail(picture) if picture else None, (), found.cards)
    out = options.out or options.run / "searches" / f"{_slug(options, title, found.against)}.html"
    try:
        write_search_page(out, page, lead=found.lead)
    except OSError as error:
        if options.out is not None:
            raise
        print(f"no page: {_shown(str(out))}: {error.strerror}; give --out", file=sys.stderr)
        return None
    console.print(f"[bold]{escape(str(out))}[/bold]", soft_wrap=True)
    return out


class _Found(NamedTuple):
    """Hits as they are shown.

    Attributes:
        cards: of the page.
        images: the name of each hit's picture.
        lead: one sentence on what was searched.
        against: the modality that was searched.
    """

    cards: Sequence[Card]
    images: Sequence[str]
    lead: str
    against: str


def _in_run(options: Search, picture: Image.Image | None) -> _Found:
    """Search the items that the run was trained on."""
    retriever = Retriever.load(options.run, device=options.device)
    against = options.against or "image"
    asked = {"against": against} | _asked(options)
    with Console(stderr=True).status("Searching"):
        if picture:
            hits = retriever.search_image(picture, options.k, **asked)
        else:
            hits = retriever.search_text(str(options.text), options.k, **asked)
    cards = [
        Card(picture_of(retriever.dataset, hit.row, against), hit.text, hit.distance)
        for hit in hits
    ]
    named, n_items = plural(against), retriever.n_items[against]
    lead = f"The {len(hits)} nearest {named} of {n_items} items, run {options.run}."
    return _Found(cards, [hit.image for hit in hits], lead, against)


def _in_index(options: Search, picture: Image.Image | None) -> _Found:
    """Search the items of an index directory."""
    retriever = IndexRetriever.open(options.run, device=options.device)
    against = retriever.modality
    if options.against not in (None, against):
        raise DistillError(
            f"against: expected {against}, of which the codes of {options.run} are, got "
            f"{options.against}; leave it out"
        )
    with Console(stderr=True).status("Searching"):
        if picture:
            hits = retriever.search_image(picture, options.k, **_asked(options))
        else:
            hits = retriever.search_text(str(options.text), options.k, **_asked(options))
    cards = [Card(_thumbnail(hit.path), _words(hit), hit.distance) for hit in hits]
    n_items = retriever.n_items
    lead = f"The {len(hits)} nearest {plural(against)} of {n_items} items, index {options.run}."
    return _Found(cards, [_shown(hit.path) for hit in hits], lead, against)


def _asked(options: Search) -> dict[str, str]:
    return {} if options.modality is None else {"modality": options.modality}


def _words(hit: IndexHit) -> str:
    return hit.text or _shown(Path(hit.path).name)


def _thumbnail(path: str) -> str | None:
    """The picture of a hit as it is now; None where it has none or it is gone."""
    if not path:
        return None
    try:
        return thumbnail(open_image(Path(path)))
    except DistillError:
        return None


def _table(title: str, found: _Found) -> Table:
    table = Table(title=f"Nearest to {escape(title)}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("distance", justify="right")
    table.add_column("text", overflow="fold")
    table.add_column("image", overflow="fold")
    for rank, (card, image) in enumerate(zip(found.cards, found.images, strict=True), start=1):
        table.add_row(str(rank), str(card.distance), escape(card.title), escape(image))
    return table


def _shown(name: str) -> str:
    """A file name as text; bytes that are no UTF-8 become question marks."""
    return name.encode(errors="replace").decode()


def _slug(options: Search, title: str, against: str) -> str:
    """Name the page of a query: readable, within 255 bytes, and another for another query."""
    words = re.sub(r"\W+", "-", title.lower()).strip("-").encode()[:60].decode(errors="ignore")
    asked = f"text {options.text}" if options.image is None else f"image {options.image.resolve()}"
    asked += "" if options.modality is None else f" as {options.modality}"
    digest = hashlib.sha256(os.fsencode(asked)).hexdigest()[:8]
    return f"{words or 'query'}-{plural(against)}-{digest}"


if __name__ == "__main__":
    main()
