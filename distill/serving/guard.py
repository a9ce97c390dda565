"""What stands before every request: how much it may bring, and how it is refused."""

import asyncio
import re
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distill.serving.state import NoItemError
from distill.types import DistillError

BODY_BYTES, IMAGE_BYTES = 1 << 20, 16 << 20
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_EXPECTED = {
    "bytes_type": "the bytes of a picture",
    "extra_forbidden": "no such key",
    "int_parsing_size": "a smaller number",
    "json_invalid": "JSON",
    "missing": "a value",
    "model_attributes_type": "a JSON object with content-type: application/json",
}
_PYDANTIC = re.compile(r"^\w+ should (be|have) | after validation.*|, unable to parse.*")


class Guard:
    """Refuses strangers, ends bodies that are too long or do not come, and adds headers.

    Args:
        app: what answers the others.
        hosts: names by which clients may call; "*" for any.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        left, started = _limit(scope.get("path", "")), False

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413)
            return message

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http" and (sentence := self._stranger(scope)):
            await JSONResponse({"error": sentence}, 403)(scope, receive, with_headers)
            return
        try:
            await self._app(scope, counted, with_headers)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if not started:  # the server stops, and has waited long enough
                said = {"error": "server: expected to answer, was told to stop; ask again"}
                await JSONResponse(said, 503)(scope, receive, send)

    def _stranger(self, scope: Scope) -> str | None:
        """Why a request is not answered: it calls by another name, or a page elsewhere sent it."""
        headers = Headers(scope=scope)
        host = re.sub(r":\d*$", "", headers.get("host", ""))
        if "*" not in self._hosts and host.lower() not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            return f"host: expected one of {names}, got {host!a:.60}; see docs/serving.md"
        elsewhere = headers.get("sec-fetch-site") == "cross-site"
        if elsewhere and (scope["method"], headers.get("sec-fetch-dest")) != ("GET", "document"):
            return "origin: expected a page of this server, got one of another site; search there"
        return None


def status_of(error: DistillError) -> int:
    """404 where there is no such item, else 400."""
    return 404 if isinstance(error, NoItemError) else 400


async def refused(request: Request, error: Exception) -> JSONResponse:
    """Answer what cannot be served in one sentence."""
    status, sentence = 500, "server: expected to answer, failed; its log says why"
    if isinstance(error, RequestValidationError):
        status, sentence = 400, _sentence(error.errors()[0])
    elif isinstance(error, DistillError):
        status, sentence = status_of(error), str(error)
    elif isinstance(error, HTTPException):
        status, sentence = error.status_code, _said(request, error)
    return JSONResponse({"error": " ".join(sentence.split())}, status)


def _said(request: Request, error: HTTPException) -> str:
    path = request.scope["path"]
    if error.status_code == 404:
        return f"path: expected one that /openapi.json names, got {path!a:.60}"
    if error.status_code == 405:
        return f"method: expected another for {path!a:.60}, got {request.method}; see /openapi.json"
    if error.status_code == 413:
        return f"body: expected at most {_limit(path)} bytes, got more; send less at a time"
    return "body: expected JSON in UTF-8, got something else; check it"


def _sentence(error: dict[str, Any]) -> str:
    """Say what pydantic found in the project's words."""
    kind = error["type"]
    parts = () if kind == "json_invalid" else error["loc"][1:]
    name = ascii(".".join(map(str, parts)))[1:-1][:60]  # a key is what a stranger wrote
    expected = _EXPECTED.get(kind) or re.sub(_PYDANTIC, "", error["msg"])
    got = {"json_invalid": "something else", "missing": "none"}.get(kind)
    return (
        f"{name or 'body'}: expected {expected}, got {got or ascii(error['input'])[:60]}; "
        "see docs/serving.md"
    )


def _limit(path: str) -> int:
    return IMAGE_BYTES if path == "/search_image" else BODY_BYTES
