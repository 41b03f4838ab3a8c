"""What can the organiser ask? Progress, agreement, raters and their links, export and import."""

from __future__ import annotations

import hmac
import tempfile
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hrlaif.errors import HrlaifError
from hrlaif.human.elsewhere import bring
from hrlaif.human.overview import ROWS
from hrlaif.human.study import every_rater, forget, join
from hrlaif.human.web import ORGANISER, Desk, answer, apart, page, sent
from hrlaif.rows import read_rows
from hrlaif.rows.exports import FORMS

_ENDS = {"label-studio": "json", "argilla": "json", "csv": "csv", ROWS: "zip"}
_IMPORTED = (".jsonl", ".json", ".csv")


def routes() -> list[Route]:
    """The organiser's part of the site."""
    return [
        Route("/organiser", _page),
        Route("/organiser/overview", _overview),
        Route("/organiser/export", _export),
        Route("/organiser/import", _import, methods=["POST"]),
        Route("/organiser/invite", _invite, methods=["POST"]),
        Route("/organiser/link", _link, methods=["POST"]),
        Route("/organiser/forget", _forget, methods=["POST"]),
    ]


def _allowed(request: Request, *, token: bool = False) -> Desk:
    """Raises 403 for everybody but the organiser."""
    desk: Desk = request.app.state.desk
    given = request.cookies.get(desk.cookie(ORGANISER), "")
    if not hmac.compare_digest(desk.token("organiser").encode(), given.encode()):
        raise HTTPException(403, "open the organiser's link, which `hrlaif vote` printed")
    if token:
        desk.check(request, request.headers.get("x-token", ""), "organise")
    return desk


async def _page(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    if given := request.query_params.get("token"):
        desk.check(request, given, "organiser")
        response = RedirectResponse("/organiser", 303)
        desk.remember(response, ORGANISER, given)
        return response
    desk = _allowed(request)
    return page(
        "organiser.html.j2",
        title=desk.title,
        token=desk.token("organise"),
        forms=[ROWS, *FORMS],
        join=f"/?join={desk.token('join')}",
    )


async def _overview(request: Request) -> Response:
    desk = _allowed(request)
    return Response(await desk.aside.overview(), media_type="application/json")


async def _export(request: Request) -> Response:
    desk = _allowed(request)
    form = request.query_params.get("form", "")
    if form != ROWS and form not in FORMS:
        raise HTTPException(400, f"form is one of {', '.join((ROWS, *FORMS))}")
    name = f"votes-{form}.{_ENDS.get(form, 'jsonl')}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    content = await desk.aside.export(form)
    return Response(content, media_type="application/octet-stream", headers=headers)


async def _import(request: Request) -> Response:
    """The body is the file; its name's end says what it is."""
    desk = _allowed(request, token=True)
    end = Path(request.query_params.get("name", "")).suffix.lower()
    if end not in _IMPORTED:
        raise HTTPException(400, f"the file's name ends in one of {', '.join(_IMPORTED)}")
    body = await request.body()
    added = await apart(_bring, desk, body, end)
    return answer(added._asdict())


def _bring(desk: Desk, body: bytes, end: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"votes{end}"
        path.write_bytes(body)
        try:
            return bring(desk.study, read_rows(path))
        except HrlaifError as error:
            raise HrlaifError(str(error).replace(str(path), "the file")) from None


async def _invite(request: Request) -> Response:
    """A rater under an alias that the organiser chooses, and the rater's own link."""
    desk = _allowed(request, token=True)
    alias = str((await sent(request)).get("alias", ""))
    rater = await apart(join, desk.study, alias)
    return answer({"alias": rater.alias, "link": f"/r/{desk.study.session(rater)}"})


async def _link(request: Request) -> Response:
    desk = _allowed(request, token=True)
    number = (await sent(request)).get("id")
    found = [r for r in await apart(every_rater, desk.study) if r.id == number]
    if not found:
        raise HTTPException(410, "there is no such rater: reload the page")
    return answer({"link": f"/r/{desk.study.session(found[0])}"})


async def _forget(request: Request) -> Response:
    desk = _allowed(request, token=True)
    values = await sent(request)
    number, keep = values.get("id"), values.get("keep_votes") is True
    if type(number) is not int:
        raise HTTPException(400, "name a rater")
    await apart(_forgotten, desk, number, keep)
    return answer({"forgotten": number})


def _forgotten(desk: Desk, number: int, keep: bool) -> None:
    forget(desk.study, number, keep_votes=keep)
