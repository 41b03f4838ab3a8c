"""What does an error body say, in the shapes that servers use?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_SPENT = re.compile(
    r"insufficient[ _]?(quota|balance|credit|fund)|exceeded_current_quota|terminal_quota"
    r"|billing[ _](hard[ _]limit|not[ _]active)|credit balance|arrearage|good standing"
    r"|欠费|余额不足|account.{0,40}(suspended|deactivated|overdue|not active)",
    re.IGNORECASE | re.DOTALL,
)
"""Of an account without money. What says `quota` alone may mean the calls of a minute."""
_KEY_OR_QUOTA = re.compile(
    r"api.?key.{0,20}(expired|invalid|not valid)|(invalid|expired|incorrect).{0,10}api.?key"
    r"|quota.{0,30}exce|exce.{0,30}quota",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = {
    *("content_filter", "content_policy_violation", "invalid_prompt"),
    *("data_inspection_failed", "datainspectionfailed", "1301"),
}
"""Codes and types; 1301 is Zhipu's."""
_RISKY = re.compile(
    r"content exists risk|inappropriate content|considered high risk|敏感内容|不安全", re.IGNORECASE
)
_MESSAGES = ("message", "detail", "status_msg")
_FURTHEST = 200
"""Characters of a message that are looked at: behind them some repeat what they were asked."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error body; empty texts where it does not say."""

    message: str
    param: str = ""
    """The parameter that is at fault."""
    code: str = ""
    kind: str = ""
    """Its `type`, which some fill in place of the code."""


def read_complaint(raw: str) -> Complaint:
    """What an error body says; all of it where it is no JSON."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return Complaint(raw)
    if isinstance(body, list) and body:
        body = body[0]
    error = _error(body) or body or ""
    if not isinstance(error, dict):
        return Complaint(str(error))
    message = next((said for name in _MESSAGES if (said := error.get(name))), None)
    rest = (str(error.get(name) or "") for name in ("param", "code", "type"))
    said = Complaint(str(message or json.dumps(error, ensure_ascii=False)), *rest)
    about = error.get("metadata")  # OpenRouter's: what the provider behind it said
    behind = about.get("raw") if isinstance(about, dict) else None
    if not isinstance(behind, str) or not behind.strip():
        return said
    more = read_complaint(behind)
    return Complaint(
        f"{said.message}: {more.message}",
        more.param or said.param,
        more.code or said.code,
        more.kind or said.kind,
    )


def refusal_inside(raw: str) -> int | None:
    """The status that a body without an answer should have come with, where it came with a 200.

    None where it names no error, or counts tokens: then something may have been answered, and paid.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    error = _error(body)
    if not error or body.get("choices") or body.get("usage"):
        return None
    if is_spent(raw):
        return 402
    code = str(error.get("code") if isinstance(error, dict) else "")
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500


def _error(body: Any) -> Any:
    """The part of a body that names an error; None where none does."""
    if not isinstance(body, dict):
        return None
    told = body.get("base_resp")  # MiniMax's, with 0 where all is well
    if isinstance(told, dict) and told.get("status_code"):
        return body.get("error") or told
    return body.get("error") or (body if body.get("object") == "error" else None)


def complaint(raw: str) -> str:
    """What an error body says, in one line."""
    return " ".join(read_complaint(raw).message.split())[:300]


def is_spent(raw: str) -> bool:
    """Whether it says that the account has no money left: no other call would be answered."""
    return _SPENT.search(_head(raw)) is not None


def is_filtered(raw: str) -> bool:
    """Whether it says that a content filter stopped this input, and would let others pass."""
    said = read_complaint(raw)
    names = {said.code.lower(), said.kind.lower()}
    return bool(names & _FILTERED) or _RISKY.search(said.message[:_FURTHEST]) is not None


def is_of_account(raw: str) -> bool:
    """Whether what rejects a request (400) blames the account or the key, and not the request."""
    return is_spent(raw) or _KEY_OR_QUOTA.search(_head(raw)) is not None


def _head(raw: str) -> str:
    said = read_complaint(raw)
    return f"{said.code} {said.kind} {said.message[:_FURTHEST]}"
