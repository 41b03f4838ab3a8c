"""What forms may a row have? The contract's, TRL's, transcripts, and the common aliases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from hrlaif.errors import DataError
from hrlaif.records import Candidate, Comparison, Message, Prompt, Record, Response, digest
from hrlaif.rows.files import SourceRow

_PROMPT_NAMES = ("prompt", "instruction", "question", "query", "messages", "context", "input")
_PAIR_NAMES = (
    ("a", "b"),
    ("response_a", "response_b"),
    ("response_1", "response_2"),
    ("output_1", "output_2"),
    ("answer_a", "answer_b"),
    ("completion_a", "completion_b"),
)
_RESPONSE_NAMES = ("response", "output", "completion", "answer", "text")
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "human": "user", "user": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "system": "system",
}  # fmt: skip
_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")
_MEND = "mend or drop that row"
_TWICE = "give each row its own id, or drop one of the two"

Turns = tuple[Message, ...]
R = TypeVar("R", bound=Record)


def prompts_from(rows: Iterable[SourceRow]) -> list[Prompt]:
    """Prompts of rows in any form; the prompt of a pair or response row will do."""
    found: dict[str, Prompt] = {}
    for where, values in rows:
        prompt = _prompt(values, where)
        if found.setdefault(prompt.id, prompt).messages != prompt.messages:
            raise DataError(
                f"{where}: id {prompt.id!r} is another prompt's on an earlier row: {_TWICE}"
            )
    return list(found.values())


def comparisons_from(rows: Iterable[SourceRow]) -> list[Comparison]:
    """Pairs of responses. Raises DataError for a row without exactly two, or an id met twice."""
    found: dict[str, Comparison] = {}
    for where, values in rows:
        comparison = _comparison(values, where)
        if comparison.id in found:
            raise DataError(f"{where}: id {comparison.id!r} stands on an earlier row too: {_TWICE}")
        found[comparison.id] = comparison
    return list(found.values())


def responses_from(rows: Iterable[SourceRow]) -> list[Response]:
    """Single responses. Raises DataError for a row without one, or an id met twice."""
    found: dict[str, Response] = {}
    for where, values in rows:
        response = _response(values, where)
        if response.key in found:
            raise DataError(f"{where}: id {response.key!r} stands on an earlier row too: {_TWICE}")
        found[response.key] = response
    return list(found.values())


def _comparison(values: Mapping[str, Any], where: str) -> Comparison:
    turns, first, second, preference = _pair(values, where)
    prompt = _prompt_record(values, turns, values.get("prompt_id"), where)
    sides = [_candidate(side, where, n) for n, side in enumerate((first, second), start=1)]
    given = values.get("id")
    key = (
        str(given) if given not in (None, "") else digest([prompt.id, sides[0].text, sides[1].text])
    )
    return _checked(
        Comparison, where,
        id=key, prompt=prompt, a=sides[0], b=sides[1],
        human_preference=values.get("human_preference", preference),
        gold_preference=values.get("gold_preference"),
    )  # fmt: skip


def _pair(values: Mapping[str, Any], where: str) -> tuple[Turns, Any, Any, float | None]:
    """The turns, both sides, and the preference that the form itself implies."""
    if "chosen" in values and "rejected" in values:
        return _chosen_rejected(values, where)
    if "responses" in values:
        sides = values["responses"]
        if not isinstance(sides, Sequence) or isinstance(sides, str) or len(sides) != 2:
            count = len(sides) if isinstance(sides, Sequence) and not isinstance(sides, str) else 1
            raise DataError(
                f"{where}: {count} responses, where a pair has 2: split or drop the row"
            )
        return _turns(values, where), sides[0], sides[1], None
    for left, right in _PAIR_NAMES:
        if left in values and right in values:
            return _turns(values, where), values[left], values[right], None
    raise DataError(
        f"{where}: no responses: a pair needs `responses: [a, b]`, or `chosen` and `rejected` "
        f"(the row has {', '.join(map(repr, values)) or 'nothing'}): {_MEND}"
    )


def _chosen_rejected(values: Mapping[str, Any], where: str) -> tuple[Turns, str, str, float]:
    if any(name in values for name in _PROMPT_NAMES):
        turns = _turns(values, where)
        texts = [_answer(values[k], turns, where, k) for k in ("chosen", "rejected")]
        return turns, texts[0], texts[1], 1.0
    chosen, rejected = (_transcript(values[k], where, k) for k in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1] or not chosen[:-1]:
        raise DataError(
            f"{where}: without a `prompt`, `chosen` and `rejected` must be transcripts "
            f"that differ in the last assistant turn alone: {_MEND}"
        )
    return chosen[:-1], chosen[-1].content, rejected[-1].content, 1.0


def _transcript(value: Any, where: str, field: str) -> Turns:
    """Turns that end in the response; a plain text without turns is the response itself."""
    if isinstance(value, str):
        turns = _spoken(value) or (Message(role="assistant", content=value),)
    else:
        turns = _messages(value, where, field)
    if turns[-1].role != "assistant":
        raise DataError(f"{where}: {field} must end in an assistant turn: {_MEND}")
    return turns


def _answer(value: Any, turns: Turns, where: str, field: str) -> str:
    """The response beside a prompt: a text, or a transcript that begins with the whole prompt."""
    if not isinstance(value, str):
        return _transcript(value, where, field)[-1].content
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
        raise DataError(f"{where}: role {name!r} is none of {sorted(_ROLES)}: {_MEND}")
    return role


def _messages(value: Any, where: str, field: str) -> Turns:
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or not value:
        raise DataError(f"{where}: {field} is neither text nor a list of turns: {_MEND}")
    turns = []
    for turn in value:
        if not isinstance(turn, Mapping) or not isinstance(
            turn.get("content", turn.get("value")), str
        ):
            raise DataError(
                f"{where}: a turn of {field} is not {{role, content}} with text: {_MEND}"
            )
        role = _role(turn.get("role", turn.get("from", "user")), where)
        turns.append(Message(role=role, content=turn.get("content", turn.get("value"))))
    return tuple(turns)


def _turns(values: Mapping[str, Any], where: str) -> Turns:
    for name in _PROMPT_NAMES:
        value = values.get(name)
        if isinstance(value, str):
            extra = values.get("input") if name == "instruction" else None
            text = f"{value}\n\n{extra}" if isinstance(extra, str) and extra else value
            if not text.strip():
                raise DataError(f"{where}: {name} is empty: {_MEND}")
            spoken = tuple(turn for turn in _spoken(text) if turn.content)
            return spoken or (Message(role="user", content=text),)
        if value is not None:
            return _messages(value, where, name)
    raise DataError(f"{where}: no prompt: name it `prompt` (text, or turns of role and content)")


def _prompt(values: Mapping[str, Any], where: str) -> Prompt:
    known = any(name in values for name in _PROMPT_NAMES)
    turns = _turns(values, where) if known else _pair(values, where)[0]
    plain = "prompt_id" not in values
    return _prompt_record(values, turns, values.get("id" if plain else "prompt_id"), where)


def _prompt_record(values: Mapping[str, Any], turns: Turns, key: Any, where: str) -> Prompt:
    names = ("category", "choices", "harmful", "language", "split")
    fields = {name: values[name] for name in names if values.get(name) is not None}
    # Many data sets keep the right answer beside the row's own columns.
    meta = values.get("meta")
    beside = meta.get("reference_answer") if isinstance(meta, Mapping) else None
    if beside is not None:
        fields["reference_answer"] = str(beside)
    for ours, aliases in (
        ("reference_answer", ("reference_answer",)),
        ("reference_response", ("reference_response", "reference_output")),
    ):
        value = next((values[a] for a in aliases if values.get(a) is not None), None)
        if value is not None:
            fields[ours] = str(value)
    if isinstance(fields.get("choices"), list):
        fields["choices"] = [str(choice) for choice in fields["choices"]]
    text = [[m.role, m.content] for m in turns]
    name = str(key) if key not in (None, "") else digest(text)
    return _checked(Prompt, where, id=name, messages=turns, **fields)


def _candidate(side: Any, where: str, number: int) -> Candidate:
    if isinstance(side, Mapping) and "text" in side:
        return _checked(Candidate, where, **side)
    if isinstance(side, Sequence) and not isinstance(side, str) and side:
        side = _messages(side, where, f"response {number}")[-1].content
    if not isinstance(side, str):
        raise DataError(f"{where}: response {number} is not text: {_MEND}")
    return Candidate(text=side)


def _response(values: Mapping[str, Any], where: str) -> Response:
    name = next((n for n in _RESPONSE_NAMES if n in values), None)
    if name is None:
        raise DataError(f"{where}: no response: name it `response`, or drop that row")
    text = _candidate(values[name], where, 1).text
    own = {k: values[k] for k in ("model", "sample", "finish_reason", "tokens") if k in values}
    if "generator" in values:
        own.setdefault("model", values["generator"])
    key = values.get("id")
    prompt = _prompt_record(values, _turns(values, where), values.get("prompt_id", key), where)
    fields = {"id": str(key)} if key is not None else {}
    return _checked(Response, where, prompt=prompt, text=text, **fields, **own)


def _checked(cls: type[R], where: str, /, **fields: Any) -> R:
    try:
        return cls(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or cls.__name__
        given = f"{first['input']!r:.60}"
        raise DataError(f"{where}: {name}: {first['msg']}, not {given}: {_MEND}") from None
