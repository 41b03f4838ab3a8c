"""What is said to a server about files and batches? A few requests, tried while that helps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, final

import httpx2

from hrlaif.errors import HrlaifError, ModelError
from hrlaif.llm.remote_complaint import complaint
from hrlaif.llm.remote_key import redact
from hrlaif.llm.remote_places import Place
from hrlaif.llm.remote_refusals import Refusals
from hrlaif.llm.remote_sent import Sent
from hrlaif.llm.remote_server import Endpoint, backoff, retry_after
from hrlaif.progress import say

_TAG = "hrlaif"
"""The name under which a batch carries its tag, so that it is found again."""
_PAGE, _PAGES = 100, 20
"""Batches on a page, and pages, the newest first, that are looked through for one."""
_MISSING = {404, 405, 501}
_PASSING = {408, 409, 425, 429}
_QUIET = 60.0
GIVE_UP = (
    "was it sent with another key, or deleted? To give batch {0} up, and have its questions asked, "
    "and paid, again: hrlaif calls LEDGER forget --batch {0}"
)


class Refused(HrlaifError):
    """The server will not do this, however often it is asked."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.missing = status in _MISSING
        """There is no such path, or nothing behind it."""


class Full(HrlaifError):
    """The server has as many batches as it takes for now."""


class Unsure(HrlaifError):
    """The server does not say whether it has a batch."""


@final
class Files:
    """Files and batches at the first address of a model."""

    def __init__(self, endpoint: Endpoint, place: Place, refusals: Refusals):
        self._endpoint, self._place, self._refusals = endpoint, place, refusals

    async def upload(self, name: str, lines: bytes) -> str:
        """The id of a file of requests."""
        what: dict[str, Any] = {
            "files": {"file": (name, lines, "application/jsonl")},
            "data": {"purpose": "batch"},
        }
        return _id(await self._call("POST", "/files", **what))

    async def create(self, file: str, tag: str, path: str) -> str:
        """The id of a batch of a file; one whose making went unanswered is looked for.

        Raises Full, Refused, or ModelError where the server may have it or not.
        """
        body = {
            "input_file_id": file,
            "endpoint": path,
            "completion_window": "24h",
            "metadata": {_TAG: tag},
        }
        for attempt in range(self._endpoint.max_retries + 1):
            try:
                return _id(await self._call("POST", "/batches", tries=1, json=body))
            except ModelError as error:
                await asyncio.sleep(backoff(attempt))
                try:
                    id = await self.find(tag, file)
                except (Unsure, Refused):
                    raise error from None  # the next process settles it
                if id:
                    return id
                if attempt == self._endpoint.max_retries:
                    raise
        raise AssertionError

    async def find(self, tag: str, file: str) -> str | None:
        """The id of the batch that carries a tag, or was made of a file; None: there is none.

        Raises Unsure where the server lists no batches, or not all of them.
        """
        after: dict[str, str] = {}
        for _ in range(_PAGES):
            asked = {"limit": str(_PAGE), **after}
            try:
                page = await self._call("GET", "/batches", params=asked)
            except Refused as error:
                if error.missing:
                    raise Unsure(str(error)) from None
                raise
            given = page.get("data")
            listed = [b for b in given if isinstance(b, dict)] if isinstance(given, list) else []
            for batch in listed:
                metadata = batch.get("metadata")
                tagged = isinstance(metadata, dict) and metadata.get(_TAG) == tag
                if tagged or batch.get("input_file_id") == file:
                    return _id(batch)
            if not page.get("has_more", len(listed) >= _PAGE):
                return None
            if not listed:
                break
            after = {"after": str(listed[-1].get("id"))}
        raise Unsure(f"{self._where('/batches')} lists more than can be looked through")

    async def batch(self, id: str) -> Mapping[str, Any]:
        """Its state; waits for as long as the server, or the network, is away."""
        try:
            return await self._call("GET", f"/batches/{id}", tries=None)
        except Refused as error:
            raise ModelError(f"{error}: {GIVE_UP.format(id)}") from None

    async def lines(self, file: str, id: str) -> list[str]:
        """The lines of an answer file of a batch."""
        try:
            response = await self._response("GET", f"/files/{file}/content", None)
        except Refused as error:
            raise ModelError(f"{error}: {GIVE_UP.format(id)}") from None
        # JSON is UTF-8, whatever the header calls it.
        lines = response.content.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines if line.strip()]

    async def _call(
        self, method: str, path: str, *, tries: int | None = 0, **what: Any
    ) -> Mapping[str, Any]:
        response = await self._response(method, path, tries, **what)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ModelError(f"{self._where(path)} sent no JSON object: does it take batches?")
        return found

    async def _response(
        self, method: str, path: str, tries: int | None, **what: Any
    ) -> httpx2.Response:
        """An answer with status 2xx; `tries` of 0 are as many as for a call, of None no end."""
        most = self._endpoint.max_retries + 1 if tries == 0 else tries
        attempt, said = 0, time.monotonic()
        while True:
            wait: float | None = None
            try:
                url = self._place.address + path
                response = await self._place.client.request(method, url, **what)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                reason = redact(str(error), self._place.secret) or type(error).__name__
            else:
                if 200 <= response.status_code < 300:
                    return response
                wait = retry_after(response.headers.get("retry-after"))
                reason = self._passing(method, path, response)
            attempt += 1
            if attempt == most:
                raise ModelError(f"{self._where(path)}: {reason}: the same command goes on")
            if time.monotonic() - said >= _QUIET:
                said = time.monotonic()
                say(f"  {self._where(path)}: {reason}: waited for")
            await asyncio.sleep(backoff(attempt - 1) if wait is None else wait)

    def _passing(self, method: str, path: str, response: httpx2.Response) -> str:
        """What may be otherwise in a while; raises Refused where it will not."""
        sent = Sent()
        sent.status, sent.headers = response.status_code, response.headers
        raw = redact(response.text[:10_000], self._place.secret)
        if sent.status == 429 and (method, path) == ("POST", "/batches"):
            raise Full(complaint(raw) or "too many batches (429)")
        if sent.status in _MISSING:
            told = f"{self._where(path)} is not there ({sent.status})"
            alone = "without --batch (compute.batch) each question is asked by itself"
            raise Refused(f"{told}: {alone}" if method == "POST" else told, sent.status)
        if sent.status >= 500 or sent.status in _PASSING:
            return f"{complaint(raw) or 'no reason given'} ({sent.status})"
        if sent.status in (400, 413, 422):
            said = f"{self._where(path)} refused ({sent.status}): {complaint(raw)}"
            raise Refused(said, sent.status)
        raise Refused(self._refusals.refused(self._place, sent.status, sent, raw), sent.status)

    def _where(self, path: str) -> str:
        return f"{self._endpoint.name}: {self._place.address}{path}"


def _id(made: Mapping[str, Any]) -> str:
    found = made.get("id")
    if not isinstance(found, str) or not found:
        raise ModelError("the server made a file or a batch without an id: does it take batches?")
    return found
