"""What was said before the response? Texts, lists of turns and transcripts become turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hrlaif.errors import DataError
from hrlaif.records import Message
from hrlaif.rows.known import file_of, say_once
from hrlaif.rows.names import answered

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
_FOLLOWING = {
    "instruction": ("input", "context"), "question": ("context",), "query": ("context",),
}  # fmt: skip
_SYSTEM = ("system", "system_prompt")


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
    """The response beside a prompt: a text, or a transcript that repeats the prompt or its end.

    Raises DataError for turns before the response that the prompt lacks.
    """
    talk = _talk(turns)
    if isinstance(value, str):
        spoken = _spoken(value)
        return spoken[-1].content if spoken and _talk(spoken[:-1]) == talk else value
    said = transcript(value, where, field)
    before = _talk(said[:-1])
    if before != talk[len(talk) - len(before) :]:
        raise DataError(
            f"{where}: {field} holds turns that the prompt lacks: give them all there, or `chosen` "
            "and `rejected` without a prompt"
        )
    if said[0].role == "system" and said[0] not in turns:
        say_once(
            f"{file_of(where)}: the system turn of {field} is not read, which the prompt lacks"
        )
    return said[-1].content


def _talk(turns: Turns) -> list[tuple[str, str]]:
    """What user and assistant said; a system turn stands in few transcripts."""
    return [(turn.role, turn.content.strip()) for turn in turns if turn.role != "system"]


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
        text = _said(turn, where, field) if isinstance(turn, Mapping) else None
        if not isinstance(text, str):
            raise DataError(
                f"{where}: a turn of {field} is not {{role, content}} with text: {MEND}"
            )
        role = _role(turn.get("role", turn.get("from", "user")), where)
        turns.append(Message(role=role, content=text))
    return tuple(turns)


def _said(turn: Mapping[str, Any], where: str, field: str) -> Any:
    """What a turn says; of a list of parts, as OpenAI writes them, the texts."""
    said = turn.get("content", turn.get("value"))
    if not isinstance(said, list) or not all(isinstance(part, Mapping) for part in said):
        return said
    for part in said:
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise DataError(
                f"{where}: a turn of {field} holds {part.get('type')!r:.30}, and only text is "
                f"read: {MEND}"
            )
    return "".join(part["text"] for part in said)


def turns_of(values: Mapping[str, Any], where: str) -> Turns:
    """The prompt of a row, under any of its names, with what its other columns add."""
    name = next((name for name in PROMPT_NAMES if values.get(name) is not None), None)
    if name is None:
        raise DataError(
            f"{where}: no prompt: name it `prompt` (text, or turns of role and content)"
        )
    value = values[name]
    if not isinstance(value, str):
        _say_beside(values, name, (), where)
        return with_system(messages_of(value, where, name), values, where)
    more = [n for n in _FOLLOWING.get(name, ()) if isinstance(values.get(n), str)]
    _say_beside(values, name, more, where)
    text = "\n\n".join([value, *(values[n] for n in more if values[n])])
    if not text.strip():
        raise DataError(f"{where}: {name} is empty: {MEND}")
    spoken = tuple(turn for turn in _spoken(text) if turn.content)
    return with_system(spoken or (Message(role="user", content=text),), values, where)


def asked_of(values: Mapping[str, Any], where: str) -> tuple[Turns, Mapping[str, Any]]:
    """What a policy is asked, and the row with the answer that its turns ended with.

    A chat to imitate ends with the assistant's turn, which is no part of what is asked. Raises
    DataError where no turn of the user stands before it.
    """
    turns = turns_of(values, where)
    if turns[-1].role != "assistant":
        return turns, values
    asked, answer = turns[:-1], turns[-1].content
    if not asked or asked[-1].role != "user":
        raise DataError(f"{where}: no turn of the user before the assistant's last: {MEND}")
    if not answer.strip() or answered(values):  # words put first, not an answer
        return asked, values
    # Under the second of the names that are read: what a column says counts.
    return asked, {"reference_output": answer, **values}


def _say_beside(values: Mapping[str, Any], name: str, read: Sequence[str], where: str) -> None:
    """Says once of a file which columns are named as prompts are, and are no part of this one."""
    for other in PROMPT_NAMES:
        if other not in (name, *read) and values.get(other):
            say_once(f"{file_of(where)}: the column `{other}` is not read beside `{name}`")


def with_system(turns: Turns, values: Mapping[str, Any], where: str) -> Turns:
    """The turns after the system's, where a column holds one and the turns do not."""
    for name in _SYSTEM:
        text = values.get(name)
        if isinstance(text, str) and text.strip() and turns[0].role != "system":
            turns = (Message(role="system", content=text), *turns)
        elif text and text != turns[0].content:
            say_once(f"{file_of(where)}: the column `{name}` is not read")
    return turns
