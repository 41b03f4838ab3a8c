"""What do all pages share? Sessions, tokens against forged requests, errors, and templates."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, Response

from hrlaif.human.aside import Aside
from hrlaif.human.desk import Conflict, Gone
from hrlaif.human.render import shown
from hrlaif.human.security import Buckets
from hrlaif.human.study import Rater, Study, known, signed

PAGES = Path(__file__).parent / "pages"
RATER, ORGANISER = "rater", "organiser"
"""Who a cookie remembers."""
_YEAR = 365 * 24 * 3600
_CODES: dict[type[Exception], int] = {Gone: 410, Conflict: 409}


@dataclass
class Desk:
    """What the pages of one study need to know."""

    study: Study
    aside: Aside
    guidelines: Path
    """Markdown, read anew for every page that shows it."""
    open_to_all: bool
    """On this machine alone, anybody may join; elsewhere, only by a link."""
    secure: bool
    """Served by HTTPS, so that cookies must be too."""
    title: str
    guesses: Buckets = field(default_factory=lambda: Buckets(0.2, 20))
    """Wrong tokens, by client."""

    def who(self, headers: Headers) -> str | None:
        """The session of a request, where it was signed here."""
        cookies = cookie_parser(headers.get("cookie", ""))
        found = str(cookies.get(self.cookie(RATER), ""))
        return found if signed(self.study, found) else None

    def rules_of_the_house(self) -> str:
        """The guidelines as they stand now, as safe HTML."""
        return shown(self.guidelines.read_text("utf-8", "replace"), breaks=False)

    def rater(self, request: Request) -> Rater | None:
        """Who is signed in."""
        session = self.who(request.headers)
        return known(self.study, session) if session else None

    def token(self, purpose: str, session: str = "") -> str:
        """What a page of ours holds and a page elsewhere cannot know."""
        return self.study.sign(f"token {purpose}", session)

    def check(self, request: Request, given: str, purpose: str, session: str = "") -> None:
        """Raises 403 where a token is wrong, and 429 where too many were."""
        if hmac.compare_digest(self.token(purpose, session).encode(), given.encode()):
            return
        client = request.client.host if request.client else ""
        if not self.guesses.take(client):
            raise HTTPException(429, "too many wrong tokens: wait a minute")
        raise HTTPException(403, "this page is out of date: reload it")

    def cookie(self, whose: str) -> str:
        """Its name: one a study, for browsers send it to every port of a host."""
        return f"{whose}-{self.study.sign('cookie')[:8]}"

    def remember(self, response: Response, whose: str, value: str) -> None:
        """A cookie that no script sees; of what other sites send, it comes with links alone."""
        response.set_cookie(
            self.cookie(whose),
            value,
            max_age=_YEAR,
            httponly=True,
            samesite="lax",
            secure=self.secure,
            path="/",
        )


_TEMPLATES = Environment(
    loader=FileSystemLoader(PAGES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from its template."""
    text = _TEMPLATES.get_template(name).render(**values)
    return HTMLResponse(text.encode("utf-8", "replace"), status)


def answer(value: Any) -> Response:
    """JSON, in which half a character of a response becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False)
    return Response(text.encode("utf-8", "replace"), media_type="application/json")


async def sent(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body; raises 415 or 400."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "send JSON")
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise HTTPException(400, "not JSON") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "not a JSON object")
    return found


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a plain HTML form."""
    body = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=20))


async def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Work with the database, in a thread of its own."""
    return await run_in_threadpool(work, *arguments)


async def failed(request: Request, error: Exception) -> Response:
    """Every expected error: a page for a person, JSON for a page of ours."""
    status, why = _CODES.get(type(error), 400), str(error)
    if isinstance(error, HTTPException):
        status, why = error.status_code, error.detail
    if "text/html" in request.headers.get("accept", ""):
        return page("problem.html.j2", status, title="Something is wrong", problem=why)
    return JSONResponse({"error": why}, status)
