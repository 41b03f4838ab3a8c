"""How does a trainer elsewhere get our rewards? By HTTP, in its own words, on one port.

A response without a score is never a number that nobody gave: forms that have no word for it are
answered with 503 and the reason, unless `missing` says what to put there.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from socket import socket
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hrlaif.engines.batches import Batches
from hrlaif.engines.forms import FORMS, Form, rows_read, rows_written
from hrlaif.errors import DataError, HrlaifError
from hrlaif.records import Score

_LARGEST = 64 * 1024 * 1024
_LOOK = 1.0  # seconds between looks whether a client is still there
_AGAIN = {"retry-after": "1"}
T = TypeVar("T")


class Served(NamedTuple):
    """What is served, and to whom."""

    batches: Batches
    missing: float | None = None
    """Stands for a score that there is none of, where a form has no word for that."""
    key: str | None = None
    """What requests must bring, as `Authorization: Bearer KEY` or `?key=KEY`."""
    names: tuple[str, ...] = ()
    """The host names that it is asked under, at any port; none: any."""


def application(served: Served, ready: Callable[[], None]) -> Starlette:
    """The whole server; `ready` is called once it answers."""

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        async with served.batches.open():
            ready()
            yield

    def route(path: str, answer: Callable[[Any], Awaitable[Any]]) -> Route:
        return Route(path, partial(_post, served, answer), methods=["POST"])

    async def rows(body: Any) -> Any:
        return rows_written(await served.batches.score(await _parsed(rows_read, body)))

    routes = [route(path, partial(_numbered, served, form)) for path, form in FORMS.items()]
    handlers: dict[Any, Any] = {HTTPException: _failed, HrlaifError: _failed, Exception: _failed}
    return Starlette(
        routes=[*routes, route("/score", rows), Route("/health", partial(_health, served))],
        exception_handlers=handlers,
        lifespan=life,
    )


def serve(served: Served, listening: socket, ready: Callable[[], None]) -> None:
    """Serves until Ctrl-C or a polite kill."""
    config = uvicorn.Config(
        application(served, ready),
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return


async def _post(
    served: Served, answer: Callable[[Any], Awaitable[Any]], request: Request
) -> Response:
    if served.key and not hmac.compare_digest(_key_of(request).encode(), served.key.encode()):
        raise HTTPException(401, "send the key, as `Authorization: Bearer KEY` or `?key=KEY`")
    # A page in a browser here could point a name of its own at this machine (DNS rebinding).
    if served.names and _host(request) not in served.names:
        raise HTTPException(
            421, "this host name is not served here: set HRLAIF_SERVE_KEY to be asked under others"
        )
    # Nor could it send this type from elsewhere: for that it must ask first, unlike for a form.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    body = await _parsed(_object, await _read(request))
    return _Json(await _while_there(request, answer(body)))


async def _while_there(request: Request, work: Awaitable[Any]) -> Any:
    """What was asked for; where the client goes, what no batch has taken yet is not computed.

    Trainers give up and ask again: without this a full queue would be answered for nobody.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=_LOOK))[0]:
            if await request.is_disconnected():
                raise HTTPException(499, "the client has gone")
        return await task
    finally:
        task.cancel()


class _Json(JSONResponse):
    """In which half a character, which requests may hold and get back, is a question mark."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


async def _parsed(read: Callable[[Any], T], sent: Any) -> T:
    """What was sent, read beside the loop, which answers others meanwhile. Raises 422."""
    try:
        return await run_in_threadpool(read, sent)
    except DataError as error:
        raise HTTPException(422, str(error)) from None


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the request is not JSON: {error}") from None
    if not isinstance(body, Mapping):
        raise DataError("the request is no JSON object")
    return body


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST:
            raise HTTPException(413, f"more than {_LARGEST // 2**20} MiB: send fewer at a time")
    return bytes(body)


def _host(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _key_of(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key if kind.lower() == "bearer" else request.query_params.get("key", "")


async def _numbered(served: Served, form: Form, body: Mapping[str, Any]) -> Any:
    scores = await served.batches.score(await _parsed(form.read, body))
    return form.write(body, scores, [_number(score, served.missing) for score in scores])


def _number(score: Score, missing: float | None) -> float:
    if score.value is not None:
        return score.value
    if missing is None:
        raise HTTPException(503, f"no score: {score.reason}", _AGAIN)
    return missing


async def _health(served: Served, _: Request) -> Response:
    batches = served.batches
    judge = batches.judge.name if batches.judge else None
    return _Json({"judge": judge, "waiting": batches.waiting, **batches.counts})


async def _failed(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _Json({"error": error.detail}, error.status_code, error.headers)
    # Not the request was at fault, but the judge, or the disk that keeps its answers.
    if isinstance(error, HrlaifError):
        return _Json({"error": str(error)}, 503, _AGAIN)
    return _Json({"error": f"{type(error).__name__}: {error}"}, 500)
