"""What does it mean when a server says no? Another try, a row without an answer, or the end."""

from __future__ import annotations

import re
import time
from typing import Any, final

from hrlaif.errors import ModelError
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote_complaint import complaint, is_of_account
from hrlaif.llm.remote_key import redact
from hrlaif.llm.remote_places import Place
from hrlaif.llm.remote_sent import Again, Sent
from hrlaif.llm.remote_server import CUT, NO_LOGPROBS, Endpoint, Server, retry_after
from hrlaif.progress import say
from hrlaif.records import Unanswered

_PATIENCE = 120.0
"""Seconds without any answer after which 429 counts as a failure."""
_IN_A_ROW = 50
"""Questions given up, without an answer between them, after which the work stops."""
_GATEWAY_TIMEOUT = (504, 524)
"""The server behind the gateway may still be writing."""
_REJECTED = "the server rejected the request"
_ID = re.compile(r"\b(?=[\w-]*\d)[\w-]{12,}")
"""Of one request: in all else its rejection may be as that of another."""
_FILTERED = "refused by the server's content filter"


@final
class Refusals:
    """Reads the errors of one model, and counts what stays without an answer."""

    def __init__(self, endpoint: Endpoint, server: Server, ledger: Ledger | None):
        self._endpoint, self._server, self._ledger = endpoint, server, ledger
        self.rejected: list[str] = []
        """Why requests were rejected, where nothing says that they are too long or filtered."""

    def read(self, place: Place, sent: Sent, raw: str, body: dict[str, Any]) -> Unanswered | Again:
        """What becomes of a body that was refused so. Raises ModelError where all would be."""
        status = sent.status
        if status >= 500 or status in {408, 409, 425}:
            wait = retry_after(sent.headers.get("retry-after"))
            reason = f"the server failed ({status}): {complaint(raw)[:120]}"
            return Again(reason, wait, lost=status in _GATEWAY_TIMEOUT)
        if status == 403 and body.get("logprobs") and "logprobs" in complaint(raw).lower():
            self._server.logprobs = False
            return NO_LOGPROBS
        if status == 403 and _flagged(raw):
            self.failed(_FILTERED)
            return Unanswered(reason=_FILTERED)
        if status not in {400, 413, 422}:
            raise ModelError(self.refused(place, status, sent, raw))
        dropped = set(self._server.dropped)
        refusal = "too long" if status == 413 else self._server.refused(raw, body)
        for name in self._server.dropped - dropped:
            say(f"  {self._endpoint.name} rejects `{name}`: going on without it")
        if refusal == "adapted":
            return Again("the server rejected its parameters", adapted=True)
        if refusal == "no logprobs":
            return NO_LOGPROBS
        if refusal == "other" and is_of_account(raw):
            raise ModelError(self.refused(place, status, sent, raw))
        if refusal == "no model":
            raise ModelError(self.refused(place, 404, sent, raw))
        if refusal == "cut":
            self.failed(CUT.reason)
            return CUT
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        reason = {
            "too long": "too long for the model's context",
            "no room": f"too long for the model's context with {most} tokens to answer in",
            "filtered": _FILTERED,
        }.get(refusal, f"{_REJECTED} ({status}): {complaint(raw)}")
        if refusal == "other":
            self.rejected.append(reason)
        self.failed(reason)
        return Unanswered(reason=reason)

    def refused(self, place: Place, status: int, sent: Sent, raw: str) -> str:
        """What to do where nothing is answered at all."""
        where = f"{self._endpoint.name} at {place.address}"
        said = f" ({complaint(raw)})" if raw.strip() else ""
        if 300 <= status < 400:
            target = redact(sent.headers.get("location", "elsewhere"), place.secret)
            return f"{where} redirects to {target}: if you trust it, set base_url to it"
        if status in {401, 403}:
            variable = self._endpoint.key_variable
            return f"{where} refused the key ({status}): is {variable} set to a key for it?{said}"
        if status == 404:
            return (
                f"{where} was not found: is the model among those of {place.address}"
                f"/models, and does the address end as in http://localhost:8000/v1?{said}"
            )
        if status == 402 or is_of_account(raw):
            return (
                f"{where} refused the account, or the key in {self._endpoint.key_variable}, with "
                f"status {status}{said}: all answers so far are kept; once it is in order, the "
                "same command goes on"
            )
        return f"{where} refused the call with status {status}{said}"

    def counted(self, outcome: Unanswered | Again) -> Unanswered | Again:
        """The outcome of a single call; raises ModelError after fifty equal rejections in a row.

        Some servers reject so where the account is at fault, in words that nobody foresees.
        """
        if isinstance(outcome, Again) or not outcome.reason.startswith(_REJECTED):
            return outcome
        server, alike = self._server, _ID.sub("", outcome.reason)
        server.rejections = server.rejections + 1 if alike == server.rejection else 1
        server.rejection = alike
        if server.rejections >= _IN_A_ROW:
            raise ModelError(
                f"{self._endpoint.name} rejected {server.rejections} questions in a row in the "
                f"same words ({outcome.reason}): all answers so far are kept; the same command "
                "goes on"
            )
        return outcome

    def failed(self, reason: str) -> None:
        """Counts a row without an answer."""
        if self._ledger:
            self._ledger.record_failure(self._endpoint.name, reason)

    def is_patient(self, last: Again, begun: float) -> bool:
        """Whether a server that asks for patience answers others meanwhile, or did just now."""
        return last.busy and time.monotonic() - max(begun, self._server.answered_at) < _PATIENCE

    def given_up(self, last: Again, begun: float, tries: int) -> Unanswered:
        """Counts it; raises ModelError where there is no use in going on."""
        self._server.given_up += 1
        if self._endpoint.start:
            self._endpoint.start()  # raises with the end of its log, where it has ended
        if last.unreachable and self._server.answered_at < begun:
            where = ", ".join(self._endpoint.addresses)
            raise ModelError(
                f"{self._endpoint.name} cannot be reached at {where} in {tries} "
                f"tries ({last.reason}): is the server running, and the address right? All answers "
                "so far are kept; the same command goes on from there"
            )
        self.failed(last.reason)
        if self._server.given_up >= _IN_A_ROW:
            raise ModelError(
                f"{self._endpoint.name} answered none of {self._server.given_up} questions in a "
                f"row ({last.reason}): all answers so far are kept; the same command goes on"
            )
        return Unanswered(reason=f"{last.reason}, in {tries} tries")


def _flagged(raw: str) -> bool:
    """Whether an error says that this input was stopped, as OpenRouter does, and not the key.

    What is no JSON comes from a proxy on the way, which stops all of them.
    """
    said, in_json = complaint(raw), raw.lstrip().startswith("{")
    if in_json and re.search(r"(?i)violates usage guidelines|safety_check_type", said):
        return True  # xAI's, which names the account and the key too
    about_all = re.search(r"(?i)\baccount|\borgani[sz]ation|api.?key", said)
    stopped = re.search(r"(?i)flagged|moderation|content.?(policy|filter)", said)
    return in_json and stopped is not None and about_all is None
