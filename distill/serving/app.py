"""The HTTP interface: docs/serving.md. Only `distill.serve` imports it: FastAPI is an extra."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import jinja2
from fastapi import APIRouter, Body, FastAPI, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from distill.data.images import decode
from distill.modalities import plural
from distill.report import Card, thumbnail
from distill.report.page import THUMBNAIL
from distill.serving.guard import Guard, refused, status_of
from distill.serving.pictures import media_type, sent_image
from distill.serving.served import Hit, Served
from distill.serving.state import NoItemError, State
from distill.types import DistillError

MAX_K, MAX_QUERIES, MAX_CHARACTERS = 1000, 64, 10_000
REFRESH_SECONDS = 1.0
_TEMPLATES = jinja2.Environment(
    loader=jinja2.ChoiceLoader(
        [
            jinja2.PackageLoader("distill.serving", "templates"),
            jinja2.PackageLoader("distill.report", "templates"),
        ]
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

Number = Annotated[int, Field(ge=0, lt=2**63)]
K = Annotated[int, Field(ge=1, le=MAX_K)]
Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Name = Annotated[str, Field(max_length=100)]
Several = Field(min_length=1, max_length=MAX_QUERIES)
Value = TypeVar("Value")


class Asked(BaseModel):
    """What every search may say."""

    model_config = ConfigDict(extra="forbid")
    k: K | None = None
    filter: list[Number] | None = None


class Words(Asked):
    """One text or several."""

    model_config = ConfigDict(strict=True)
    text: Text | None = None
    texts: Annotated[list[Text], Several] | None = None
    modality: Name = Field("text", alias="as")


class Options(Asked):
    """Of a search for a picture, which is the body: they stand in the URL."""

    modality: Name = Field("image", alias="as")


class Codes(Asked):
    """Packed codes in hexadecimal digits."""

    model_config = ConfigDict(strict=True)
    codes: Annotated[list[str], Several]


class Refused(BaseModel):
    """Why there is no answer, in one sentence."""

    error: str


@dataclass(frozen=True)
class Result:
    """The hits of a query, the nearest first."""

    hits: list[Hit]


@dataclass(frozen=True)
class Results:
    """One result for each query, all of one generation."""

    generation: int
    results: list[Result]


@dataclass
class Look:
    """What a page shows: the items nearest to words or to an item, else the first ones."""

    state: State
    text: str
    item: int | None
    k: int
    codes: Any = None
    problem: DistillError | None = None


def make_app(
    served: Served, *, hosts: Sequence[str] = ("*",), refresh_seconds: float = REFRESH_SECONDS
) -> FastAPI:
    """The application.

    Args:
        served: what is searched.
        hosts: names by which a client may call the server.
        refresh_seconds: how often commits are looked for.
    """

    async def refresh() -> None:
        while True:
            await asyncio.sleep(refresh_seconds)
            await run_in_threadpool(served.refresh)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(refresh())
        yield
        task.cancel()

    app = FastAPI(
        title="distill.serve",
        lifespan=lifespan,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"auto_configure": False},
    )
    app.add_middleware(Guard, hosts=frozenset(hosts))
    for kind in (RequestValidationError, DistillError, HTTPException, Exception):
        app.add_exception_handler(kind, refused)
    app.include_router(Service(served).router())
    return app


class Service:
    """The requests that are answered.

    Args:
        served: what is searched.
    """

    def __init__(self, served: Served) -> None:
        self._served = served

    def router(self) -> APIRouter:
        """Paths and what answers them."""
        router = APIRouter(responses={"default": {"model": Refused}})
        router.add_api_route("/search", self.search, methods=["POST"])
        router.add_api_route("/search_image", self.search_image, methods=["POST"])
        router.add_api_route("/search_codes", self.search_codes, methods=["POST"])
        for method in ("GET", "HEAD"):
            shown: dict[str, Any] = {"methods": [method], "include_in_schema": method == "GET"}
            router.add_api_route("/health", self.health, **shown)
            router.add_api_route("/items/{item_id}", self.item, **shown)
            router.add_api_route(
                "/items/{item_id}/image", self.image, response_class=Response, **shown
            )
            router.add_api_route("/", self.page, response_class=HTMLResponse, **shown)
        return router

    async def search(self, words: Words) -> Results:
        """Search for texts."""
        if (words.text is None) == (words.texts is None):
            given = "neither" if words.text is None else "both"
            raise DistillError(f"query: expected text or texts, got {given}; give one")
        texts = (words.texts or []) if words.text is None else [words.text]
        return await self._results(words, lambda: self._served.text_codes(texts, words.modality))

    async def search_image(
        self,
        image: Annotated[bytes, Body(media_type="image/*")],
        options: Annotated[Options, Query()],
    ) -> Results:
        """Search for a picture, which is the whole body of the request."""
        codes, modality = self._served.image_codes, options.modality
        return await self._results(options, lambda: codes(lambda: sent_image(image), modality))

    async def search_codes(self, codes: Codes) -> Results:
        """Search for packed codes."""
        return await self._results(codes, lambda: self._served.hex_codes(codes.codes))

    async def health(self) -> dict[str, Any]:
        """What is served; no search keeps it waiting."""
        state = self._served.state
        return {
            "ready": True,
            "items": len(state.index),
            "bits": state.index.n_bits,
            **self._served.about,
            "queries": self._served.encodes,
            "generation": state.generation,
            "problem": self._served.problem,
        }

    def item(self, item_id: Annotated[Number, Path()]) -> dict[str, Any]:
        """What is known of an item."""
        text, path, code = _known(self._served.state.item, item_id)
        return {"id": item_id, "text": text, "path": path, "code": code.tobytes().hex()}

    def image(self, item_id: Annotated[Number, Path()]) -> Response:
        """The picture of an item as it is stored."""
        content = _known(self._served.state.picture, item_id)
        try:
            return Response(content, media_type=media_type(content))
        except DistillError as error:
            raise NoItemError(
                f"item: expected {item_id} with a picture, got another file"
            ) from error

    async def page(
        self,
        text: Annotated[Text | None, Query()] = None,
        item: Annotated[Number | None, Query()] = None,
        k: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> HTMLResponse:
        """A page to look at: what is nearest to words or to an item, else the first items."""
        served, state = self._served, self._served.state
        look = Look(state, text or "", item, min(k, len(state.index)))
        try:
            if look.text and item is None:
                served.check_k(state, look.k)
                look.codes = await self._encoded(lambda: served.text_codes([look.text], "text"))
        except DistillError as problem:
            look.problem = problem
        return await run_in_threadpool(self._rendered, look)

    def _rendered(self, look: Look) -> HTMLResponse:
        """The page of what is looked at."""
        served, state, hits = self._served, look.state, []
        try:
            if look.item is not None:
                look.codes = served.on_device(_known(state.item, look.item).code[None])
            if look.codes is not None:
                (hits,) = served.search(state, look.codes, served.check_k(state, look.k))
            elif look.problem is None:
                ids = state.index.ids[: look.k].tolist()
                hits = [Hit(0, i, 0, *state.item(i)[:2]) for i in ids]
        except DistillError as problem:
            look.problem = problem
        shown = [(hit.id, _card(state, hit)) for hit in hits]
        about = served.about
        page = _TEMPLATES.get_template("serve.html").render(
            title="Search",
            lead=f"{len(state.index)} {plural(about['modality'])} of {about['path']}",
            text=look.text,
            item=look.item,
            error=None if look.problem is None else str(look.problem),
            hits=shown,
            words="text" in served.encodes,
        )
        return HTMLResponse(page, 200 if look.problem is None else status_of(look.problem))

    async def _results(self, asked: Asked, codes: Callable[[], Any]) -> Results:
        state = self._served.state
        k = self._served.check_k(state, asked.k)  # before anything is encoded
        search, encoded = self._served.search, await self._encoded(codes)
        found = await run_in_threadpool(search, state, encoded, k, asked.filter)
        return Results(state.generation, [Result(hits) for hits in found])

    async def _encoded(self, codes: Callable[[], Any]) -> Any:
        """What is made in the thread that encodes, which keeps no other waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._served.encoding, codes)


def _known(find: Callable[[int], Value], item_id: int) -> Value:
    """What is known of an item.

    Raises:
        NoItemError: there is no such item, or its picture cannot be read.
    """
    try:
        return find(item_id)
    except KeyError as error:
        raise NoItemError(
            f"item: expected the id of an item, got {item_id}; take one from a search"
        ) from error
    except OSError as error:
        raise NoItemError(
            f"item: expected {item_id} with a picture, got {(error.strerror or str(error)).lower()}"
        ) from error


def _card(state: State, hit: Hit) -> Card:
    try:
        picture = thumbnail(decode(_known(state.picture, hit.id), hit.path, enough=2 * THUMBNAIL))
    except DistillError:
        picture = None
    return Card(picture, hit.text or hit.path.rpartition("/")[2], hit.distance)
