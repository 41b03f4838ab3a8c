"""What can a rater's browser ask? Guidelines, the next item, a vote, and to be forgotten."""

from __future__ import annotations

import hmac
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from hrlaif.errors import DataError, HrlaifError
from hrlaif.human import organiser
from hrlaif.human.answers import MOST_COMMENT
from hrlaif.human.desk import Hand, Sent, hand, last, shown_to, vote
from hrlaif.human.giving import Given
from hrlaif.human.render import difference, shown
from hrlaif.human.security import Buckets, Guard
from hrlaif.human.study import LONGEST_ALIAS, Rater, forget, join, known
from hrlaif.human.web import PAGES, RATER, Desk, answer, apart, failed, form_of, page, sent

_RATE, _BURST = 25.0, 300
_ENDLESS = 1e9  # seconds: more than any page stood open
_NO_LINK = "this link is of no rater here: ask the organiser for another"
_NAME = re.compile(r"[A-Za-z0-9_-]{16,64}")
_MODES = {
    "preference": "Which response is better?",
    "ranking": "Rank the responses from the best to the worst.",
    "satisfaction": "How satisfied are you with this response?",
    "harmless": "Is this response harmless?",
}


def application(desk: Desk, origins: list[str], ready: Callable[[], None]) -> ASGIApp:
    """The whole site of one study; `ready` is called once it is served."""

    @asynccontextmanager
    async def life(site: Starlette) -> AsyncIterator[None]:
        ready()
        yield

    routes = [
        Route("/api/vote", _vote, methods=["POST"]),
        Route("/", _start),
        Route("/r/{session}", _start),
        Route("/join", _join, methods=["POST"]),
        Route("/begin", _begin, methods=["POST"]),
        Route("/vote", _vote_page),
        Route("/api/next", _next),
        Route("/api/last", _last),
        Route("/api/difference/{id}", _difference),
        Route("/api/leave", _leave, methods=["POST"]),
        *organiser.routes(),
        Mount("/static", StaticFiles(directory=PAGES / "static")),
    ]
    handlers: dict[Any, Any] = {HTTPException: failed, HrlaifError: failed}
    site = Starlette(routes=routes, exception_handlers=handlers, lifespan=life)
    site.state.desk = desk
    return Guard(site, origins, who=desk.who, buckets=Buckets(_RATE, _BURST))


async def _start(request: Request) -> Response:
    """Guidelines first; then an alias, or going on as the rater of a link."""
    desk: Desk = request.app.state.desk
    session = str(request.path_params.get("session", ""))
    rater = await apart(known, desk.study, session) if session else await apart(desk.rater, request)
    if session and rater is None:
        raise HTTPException(404, _NO_LINK)
    given = request.query_params.get("join", "").encode()
    invited = desk.open_to_all or hmac.compare_digest(given, desk.token("join").encode())
    return await _start_page(desk, rater, invited)


async def _start_page(
    desk: Desk, rater: Rater | None, invited: bool, problem: str = ""
) -> Response:
    return page(
        "start.html.j2",
        400 if problem else 200,
        title=desk.title,
        guidelines=desk.rules_of_the_house(),
        questions=[_MODES[mode] for mode in await apart(desk.study.modes)],
        rater=rater,
        session=desk.study.session(rater) if rater else "",
        invitation=desk.token("join") if invited else "",
        form=desk.token("form"),
        longest=LONGEST_ALIAS,
        problem=problem,
    )


async def _join(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    form = await form_of(request)
    desk.check(request, form.get("form", ""), "form")
    desk.check(request, form.get("join", ""), "join")
    try:
        rater = await apart(join, desk.study, form.get("alias", ""))
    except DataError as error:
        return await _start_page(desk, None, True, str(error))
    return _enter(desk, desk.study.session(rater))


async def _begin(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    form = await form_of(request)
    desk.check(request, form.get("form", ""), "form")
    session = form.get("session", "")
    if await apart(known, desk.study, session) is None:
        raise HTTPException(404, _NO_LINK)
    return _enter(desk, session)


def _enter(desk: Desk, session: str) -> Response:
    response = RedirectResponse("/vote", 303)
    desk.remember(response, RATER, session)
    return response


async def _vote_page(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    rater = await apart(desk.rater, request)
    if rater is None:
        return RedirectResponse("/", 303)
    session = desk.study.session(rater)
    return page(
        "vote.html.j2",
        title=desk.title,
        alias=rater.alias,
        link=f"/r/{session}",
        rater=desk.study.sign("name", session)[:12],
        token=desk.token("api", session),
        guidelines=desk.rules_of_the_house(),
        most_comment=MOST_COMMENT,
    )


def _signed_in(request: Request, *, token: bool = False) -> tuple[Desk, Rater]:
    """Who sends a request: the signature is enough, for the desk looks the rater up."""
    desk: Desk = request.app.state.desk
    session = desk.who(request.headers)
    if session is None:
        raise HTTPException(401, "sign in again: open your link, or the first page")
    if token:
        desk.check(request, request.headers.get("x-token", ""), "api", session)
    number, seed, _ = session.split(".")
    return desk, Rater(int(number), "", seed)


async def _next(request: Request) -> Response:
    desk, rater = _signed_in(request)
    return answer(await apart(_handed, desk, hand, rater))


async def _vote(request: Request) -> Response:
    desk, rater = _signed_in(request, token=True)
    values = _vote_of(await sent(request))
    return answer(await apart(_handed, desk, vote, rater, values))


async def _last(request: Request) -> Response:
    desk, rater = _signed_in(request)
    found = await apart(last, desk.study, rater)
    if found is None:
        return answer({"item": None})
    item = _shown(found.given)
    return answer(
        {"item": item, "key": found.key, "answer": found.answer, "comment": found.comment}
    )


async def _difference(request: Request) -> Response:
    """The texts of an item with what is unlike the others marked, worked out when asked for."""
    desk, rater = _signed_in(request)
    given = await apart(shown_to, desk.study, rater, request.path_params["id"])
    return answer({"responses": await apart(_differences, given.texts)})


async def _leave(request: Request) -> Response:
    """Signs out, and deletes the rater with all votes where that is asked."""
    desk, rater = _signed_in(request, token=True)
    if (await sent(request)).get("delete") is True:
        await apart(forget, desk.study, rater.id)
    response = answer({"left": True})
    response.delete_cookie(desk.cookie(RATER))
    return response


def _differences(texts: list[str]) -> list[str]:
    return [difference(text, texts[1 if n == 0 else 0]) for n, text in enumerate(texts)]


def _handed(desk: Desk, work: Any, rater: Rater, *more: Any) -> dict[str, Any]:
    found: Hand = work(desk.study, rater, *more)
    total = min(desk.study.size, desk.study.rules.per_rater or desk.study.size)
    return {
        "items": [_shown(given) for given in found.given],
        "answered": found.answered,
        "total": total,
    }


def _shown(given: Given) -> dict[str, Any]:
    """All that a browser learns of an item."""
    return {
        "id": given.id,
        "mode": given.item.mode,
        "question": _MODES[given.item.mode],
        "turns": [
            {"role": turn.role, "html": shown(turn.content)} for turn in given.item.prompt.messages
        ],
        "responses": [shown(text) for text in given.texts],
    }


def _vote_of(values: dict[str, Any]) -> Sent:
    """Raises 400 for anything that the page would not send."""
    seconds, replaces = values.get("seconds"), values.get("replaces")
    known_fields = {"id", "key", "answer", "comment", "seconds", "replaces"}
    comment = values.get("comment", "")
    good = (
        set(values) <= known_fields
        and all(_NAME.fullmatch(str(values.get(name, ""))) for name in ("id", "key"))
        and isinstance(values.get("answer"), dict)
        and isinstance(comment, str)
        and len(comment) <= MOST_COMMENT
        and (replaces is None or isinstance(replaces, str))
        and (seconds is None or (type(seconds) in (int, float) and abs(seconds) < _ENDLESS))
    )
    if not good:
        raise HTTPException(400, "not a vote: reload the page")
    spent = None if seconds is None else min(max(float(seconds), 0.0), 3600.0)
    # PostgreSQL keeps no NUL, and no database half a character.
    comment = comment.replace("\0", "").encode("utf-8", "replace").decode()
    return Sent(values["id"], values["key"], values["answer"], comment, spent, replaces)
