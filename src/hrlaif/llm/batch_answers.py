"""What does a batch say of each question in it? A line an answer, as a single call brings it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hrlaif.errors import ModelError
from hrlaif.llm.batch_book import Batched
from hrlaif.llm.remote_complaint import is_spent, refusal_inside
from hrlaif.llm.remote_key import redact, without
from hrlaif.llm.remote_parse import envelope_error
from hrlaif.llm.remote_places import Place
from hrlaif.llm.remote_refusals import Refusals
from hrlaif.llm.remote_sent import Again, Sent
from hrlaif.records import Unanswered

_ENDS = ("completed_at", "expired_at", "cancelled_at")
Found = dict[str, str | Unanswered | Again]
"""By key: the raw answer, why there is none, or why another try may bring one."""


def answered(line: str, waiting: Mapping[str, Batched], place: Place, refusals: Refusals) -> Found:
    """What one line of an answer file says; nothing where it is of no question that waits.

    Raises ModelError where it says that no other question would be answered either.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    key = row.get("custom_id") if isinstance(row, dict) else None
    if not isinstance(key, str) or key not in waiting:
        return {}
    response = row.get("response")
    if not isinstance(response, dict):
        said = redact(message(row.get("error")), place.secret)[:120]
        return {key: Again(f"no answer in the batch: {said or 'no reason given'}")}
    sent = Sent()
    status = response.get("status_code")
    sent.status = status if type(status) is int else 0
    raw = json.dumps(response.get("body"), ensure_ascii=False)
    if sent.ok and (broken := envelope_error(raw) and envelope_error(redact(raw, place.secret))):
        if (status := refusal_inside(raw)) is None:
            return {key: Again(f"the server sent {broken}", lost=True)}
        sent.status = status
    elif sent.ok:
        return {key: without(raw, place.secret)}
    raw = redact(raw, place.secret)
    if sent.status == 429 and is_spent(raw):
        raise ModelError(refusals.refused(place, sent.status, sent, raw))
    if sent.status in (0, 429):
        return {key: Again(f"not answered in the batch ({sent.status})")}
    return {key: refusals.read(place, sent, raw, waiting[key].request)}


def message(error: Any) -> str:
    """What an error says, in the forms in which servers put it: a text, an object, a list."""
    if isinstance(error, dict) and "data" in error:
        error = error["data"]
    if isinstance(error, list):
        error = error[0] if error else ""
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    return str(error or "")


def seconds(ended: Mapping[str, Any]) -> float:
    """From a batch's making to its end, as the server says."""
    begun = ended.get("created_at")
    last = next((at for name in _ENDS if (at := ended.get(name))), None)
    if not isinstance(begun, int | float) or not isinstance(last, int | float):
        return 0.0
    return max(0.0, float(last) - float(begun))
