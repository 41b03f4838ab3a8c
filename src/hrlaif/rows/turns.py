"""What was said before the response? Texts, lists of turns and transcripts become turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hrlaif.errors import DataError
from hrlaif.records import Message

PROMPT_NAMES = (
    "prompt", "instruction", "question", "query", "messages", "context", "input", "history",
)  # fmt: skip
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "human": "user", "user": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "system": "system",
}  # fmt: skip
_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")
MEND = "mend or drop that row"

Turns = tuple[Message, ...]


def transcript(value: Any, where: str, field: str) -> Turns:
    """Turns that end in the response; a plain text without turns is the response itself."""
    if isinstance(value, str):
        turns = _spoken(value) or (Message(role="assistant", content=value),)
    else:
        turns = messages_of(value, where, field)
    if turns[-1].role != "assistant":
        raise DataError(f"{where}: {field} must end in an assistant turn: {MEND}")
    return turns


def answer_of(value: Any, turns: Turns, where: str, field: str) -> str:
    """The response beside a prompt: a text, or a transcript that begins with the whole prompt."""
    if not isinstance(value, str):
        return transcript(value, where, field)[-1].content
    spoken = _spoken(value)
    return spoken[-1].content if spoken and spoken[:-1] == turns else value


def _spoken(text: str) -> Turns:
    """The turns of a text that is a whole `Human: ... Assistant: ...` dialogue; else none."""
    parts = _TURN.split(text)
    if len(parts) < 3 or parts[0].strip() or parts[1] != "Human":
        return ()
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    turns = [Message(role=_ROLES[r.lower()], content=t.strip()) for r, t in pairs]
    # HH-RLHF has empty turns on the way; an empty last one is an empty response.
    return tuple(turn for n, turn in enumerate(turns, start=1) if turn.content or n == len(turns))


def _role(name: object, where: str) -> Any:
    role = _ROLES.get(str(name).lower())
    if role is None:
        raise DataError(f"{where}: role {name!r} is none of {sorted(_ROLES)}: {MEND}")
    return role


def messages_of(value: Any, where: str, field: str) -> Turns:
    """The turns of a list, or the only one."""
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or not value:
        raise DataError(f"{where}: {field} is neither text nor a list of turns: {MEND}")
    turns = []
    for turn in value:
        if not isinstance(turn, Mapping) or not isinstance(
            turn.get("content", turn.get("value")), str
        ):
            raise DataError(
                f"{where}: a turn of {field} is not {{role, content}} with text: {MEND}"
            )
        role = _role(turn.get("role", turn.get("from", "user")), where)
        turns.append(Message(role=role, content=turn.get("content", turn.get("value"))))
    return tuple(turns)


def turns_of(values: Mapping[str, Any], where: str) -> Turns:
    """The prompt of a row, under any of its names."""
    for name in PROMPT_NAMES:
        value = values.get(name)
        if isinstance(value, str):
            extra = values.get("input") if name == "instruction" else None
            text = f"{value}\n\n{extra}" if isinstance(extra, str) and extra else value
            if not text.strip():
                raise DataError(f"{where}: {name} is empty: {MEND}")
            spoken = tuple(turn for turn in _spoken(text) if turn.content)
            return spoken or (Message(role="user", content=text),)
        if value is not None:
            return messages_of(value, where, name)
    raise DataError(f"{where}: no prompt: name it `prompt` (text, or turns of role and content)")
