"""What is said to a server about files and batches? A few requests, tried while that helps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, final

import httpx2

from hrlaif.errors import HrlaifError, ModelError
from hrlaif.llm.remote_key import redact
from hrlaif.llm.remote_places import Place
from hrlaif.llm.remote_refusals import Refusals
from hrlaif.llm.remote_sent import Sent
from hrlaif.llm.remote_server import Endpoint, backoff, complaint, retry_after
from hrlaif.progress import say

_TAG = "hrlaif"
"""The name under which a batch carries its tag, so that it is found again."""
_PAGES = 20
"""Of a hundred batches each, the newest first, that are looked through for one."""
_PASSING = {408, 409, 425, 429}
_QUIET = 60.0


class Refused(HrlaifError):
    """The server will not do this, however often it is asked."""


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
        """The id of a batch of a file; one whose making went unanswered is found by its tag."""
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
                try:
                    id = await self.find(tag)
                except Refused:
                    raise error from None  # it may be there: the next process looks again
                if id:
                    return id
                if attempt == self._endpoint.max_retries:
                    raise
                await asyncio.sleep(backoff(attempt))
        raise AssertionError

    async def find(self, tag: str) -> str | None:
        """The id of the batch that carries a tag, if there is one."""
        after: dict[str, str] = {}
        for _ in range(_PAGES):
            page = await self._call("GET", "/batches", params={"limit": "100", **after})
            listed = [batch for batch in page.get("data") or [] if isinstance(batch, dict)]
            for batch in listed:
                metadata = batch.get("metadata")
                if isinstance(metadata, dict) and metadata.get(_TAG) == tag:
                    return str(batch["id"])
            if not page.get("has_more") or not listed:
                return None
            after = {"after": str(listed[-1].get("id"))}
        return None

    async def batch(self, id: str) -> Mapping[str, Any]:
        """Its state; waits for as long as the server, or the network, is away."""
        try:
            return await self._call("GET", f"/batches/{id}", tries=None)
        except Refused as error:
            raise ModelError(
                f"{error}: batch {id} may have been sent with another key. To give it up, and have "
                f"its questions asked, and paid, again: hrlaif calls LEDGER forget --batch {id}"
            ) from None

    async def lines(self, file: str) -> AsyncIterator[str]:
        """The lines of a file."""
        response = await self._response("GET", f"/files/{file}/content", None)
        for line in response.text.split("\n"):
            if line.strip():
                yield line

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
                reason = self._passing(path, response)
            attempt += 1
            if attempt == most:
                raise ModelError(f"{self._where(path)}: {reason}: the same command goes on")
            if time.monotonic() - said >= _QUIET:
                said = time.monotonic()
                say(f"  {self._where(path)}: {reason}: waited for")
            await asyncio.sleep(backoff(min(attempt - 1, 8)) if wait is None else wait)

    def _passing(self, path: str, response: httpx2.Response) -> str:
        """What may be otherwise in a while; raises Refused where it will not."""
        sent = Sent()
        sent.status, sent.headers = response.status_code, response.headers
        raw = redact(response.text[:10_000], self._place.secret)
        if sent.status >= 500 or sent.status in _PASSING:
            return f"{complaint(raw) or 'no reason given'} ({sent.status})"
        if sent.status in (404, 405):
            told = f"{self._where(path)} is not there ({sent.status})"
            alone = "without --batch (compute.batch) each question is asked by itself"
            raise Refused(told if "/batches/" in path else f"{told}: {alone}")
        if sent.status in (400, 413, 422):
            raise Refused(f"{self._where(path)} refused ({sent.status}): {complaint(raw)}")
        raise Refused(self._refusals.refused(self._place, sent.status, sent, raw))

    def _where(self, path: str) -> str:
        return f"{self._endpoint.name}: {self._place.address}{path}"


def _id(made: Mapping[str, Any]) -> str:
    found = made.get("id")
    if not isinstance(found, str) or not found:
        raise ModelError("the server made a file or a batch without an id: does it take batches?")
    return found
