"""What did another red-team tool find? Attempts of garak, PyRIT and promptfoo, judged anew here.

Only what was asked and answered is taken over: each tool's own verdict is left aside, since none of
them can be told from silence (garak scores an answer that its judge did not rate as safe).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hrlaif.errors import DataError
from hrlaif.messages import language_of
from hrlaif.records import Message, Prompt, Response, digest
from hrlaif.redteam.attempts import Attempt

_TOOLS = "garak (*.report.jsonl), PyRIT (an export of conversations, .json) or promptfoo (.json)"


class _Found(NamedTuple):
    """One attempt in our words."""

    where: str
    turns: list[tuple[str, str]]
    """(role, text), the last one the user's."""
    answers: list[str]
    family: str
    hazard: str
    model: str


def imported(path: str | Path) -> list[Attempt]:
    """The text attempts of a result file; equal ones are taken once.

    Raises DataError where the file is of none of the three tools, or holds no answered attempt.
    """
    name = str(path)
    values = _values(Path(path))
    attempts: dict[str, Attempt] = {}
    for found in _found(values, name):
        for text in found.answers:
            made = _attempt(found, text)
            attempts.setdefault(made.id, made)
    if not attempts:
        raise DataError(f"{name}: no attempt with a prompt and an answer: export it again")
    return list(attempts.values())


def _values(path: Path) -> list[Any]:
    """The rows of a JSON Lines file, or the one value of a JSON file."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): check its name") from None
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        pass
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):  # texts may hold other breaks
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{path}, line {number}: not JSON ({error}): mend or delete that line"
                ) from None
    return rows


def _found(values: list[Any], name: str) -> Iterator[_Found]:
    first = values[0] if values else None
    if any(isinstance(v, Mapping) and "entry_type" in v for v in values):
        yield from _garak(values, name)
    elif isinstance(first, Mapping) and isinstance(first.get("results"), Mapping | list):
        yield from _promptfoo(first["results"], name)
    else:
        pieces = first if isinstance(first, list) else values
        if not any(isinstance(p, Mapping) and "conversation_id" in p for p in pieces):
            raise DataError(f"{name}: not a result file of {_TOOLS}")
        yield from _pyrit(pieces, name)


def _garak(rows: list[Any], name: str) -> Iterator[_Found]:
    """Rows of entry_type `attempt`; each stands twice, before and after its evaluation."""
    model = ""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            continue
        if row.get("entry_type") == "start_run setup":
            model = str(row.get("plugins.target_name") or row.get("plugins.model_name") or "")
        if row.get("entry_type") != "attempt":
            continue
        turns = _garak_turns(row.get("prompt"))
        answers = [text for output in row.get("outputs") or () if (text := _garak_text(output))]
        if turns and turns[-1][0] == "user" and answers:
            family = f"garak/{row.get('probe_classname') or 'unknown'}"
            goal = str(row.get("goal") or "other")
            yield _Found(f"{name}, line {number}", turns, answers, family, goal, model)


def _garak_turns(prompt: Any) -> list[tuple[str, str]]:
    """A text (older files), a message, or a conversation of turns."""
    if isinstance(prompt, Mapping) and isinstance(prompt.get("turns"), list):
        turns = [t for t in prompt["turns"] if isinstance(t, Mapping)]
        return [
            (str(turn.get("role") or "user"), text)
            for turn in turns
            if (text := _garak_text(turn.get("content")))
        ]
    text = _garak_text(prompt)
    return [("user", text)] if text else []


def _garak_text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("text")
    return value.strip() if isinstance(value, str) else ""


def _pyrit(pieces: list[Any], name: str) -> Iterator[_Found]:
    """Message pieces, grouped by conversation; what the target saw is `converted_value`."""
    talks: dict[str, list[Mapping[str, Any]]] = {}
    for number, piece in enumerate(pieces, start=1):
        if not isinstance(piece, Mapping) or "conversation_id" not in piece:
            raise DataError(f"{name}, row {number}: no conversation_id: export the file again")
        talks.setdefault(str(piece["conversation_id"]), []).append(piece)
    for key, talk in talks.items():
        talk.sort(key=lambda piece: piece.get("sequence") or 0)
        turns: list[tuple[str, str]] = []
        for piece in talk:
            # The newest versions call the role api_role, and an assistant that they play simulated.
            role = str(piece.get("role") or piece.get("api_role") or "user")
            role = role.removeprefix("simulated_")
            text = piece.get("converted_value") or piece.get("original_value")
            kind = piece.get("converted_value_data_type") or "text"
            if not isinstance(text, str) or kind != "text":
                break
            if role == "assistant" and turns and turns[-1][0] == "user":
                failed = piece.get("response_error") not in (None, "none")
                answers = [] if failed or not text.strip() else [text]
                family = f"pyrit/{_named(piece.get('attack_identifier'))}"
                harms = piece.get("targeted_harm_categories") or ["other"]
                model = _named(piece.get("prompt_target_identifier"), "model_name")
                where = f"{name}, conversation {key}"
                yield _Found(where, list(turns), answers, family, str(harms[0]), model)
            turns.append((role, text))


def _named(identifier: Any, first: str = "__type__") -> str:
    """The name in an identifier of PyRIT, whose keys differ between versions."""
    if not isinstance(identifier, Mapping):
        return "unknown"
    names = (first, "class_name", "__type__")
    return next((str(identifier[n]) for n in names if identifier.get(n)), "unknown")


def _promptfoo(results: Any, name: str) -> Iterator[_Found]:
    """`results.results` of `promptfoo eval -o results.json`; `results` alone in older files."""
    rows = (
        results.get("results") or results.get("outputs")
        if isinstance(results, Mapping)
        else results
    )
    for number, row in enumerate(rows if isinstance(rows, list) else (), start=1):
        if not isinstance(row, Mapping):
            continue
        test = row.get("testCase") or row.get("test") or {}
        about = {**_mapping(test.get("metadata")), **_mapping(row.get("metadata"))}
        response = row.get("response")
        answer = response.get("output") if isinstance(response, Mapping) else response
        answer = row.get("output") if answer is None else answer
        prompt = row.get("prompt")
        asked = prompt.get("raw") if isinstance(prompt, Mapping) else prompt
        turns = _promptfoo_turns(asked, _mapping(row.get("vars") or test.get("vars")))
        if turns and isinstance(answer, str) and answer.strip():
            family = f"promptfoo/{about.get('strategyId') or 'basic'}"
            hazard = str(about.get("harmCategory") or about.get("pluginId") or "other")
            model = str(_mapping(row.get("provider")).get("id") or row.get("provider") or "")
            yield _Found(f"{name}, row {number}", turns, [answer], family, hazard, model)


def _promptfoo_turns(raw: Any, variables: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The prompt as it was sent: a text, or a JSON list of messages; else the variable `prompt`."""
    text = raw if isinstance(raw, str) and raw.strip() else variables.get("prompt")
    if not isinstance(text, str) or not text.strip():
        return []
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        messages = None
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
        return [("user", text)]
    turns = [(str(m.get("role")), m.get("content")) for m in messages]
    told = [(role, content) for role, content in turns if isinstance(content, str) and content]
    return told if len(told) == len(turns) and told and told[-1][0] == "user" else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _attempt(found: _Found, text: str) -> Attempt:
    messages = []
    for role, content in found.turns:
        if role not in ("system", "user", "assistant"):
            raise DataError(
                f"{found.where}: role {role!r} is none of system, user, assistant: drop that row"
            )
        messages.append(Message.model_validate({"role": role, "content": content}))
    key = digest([found.family, found.turns, text])
    request = found.turns[-1][1]
    prompt = Prompt(
        id=f"import/{digest(found.turns)}",
        messages=tuple(messages),
        category="safety",
        harmful=True,
        language=language_of(request),
        split="train",
    )
    name = f"import/{key}"
    return Attempt(
        id=name,
        seed=prompt.id,
        family=found.family,
        hazard=found.hazard,
        source="import",
        request=request,
        response=Response(prompt=prompt, text=text, model=found.model, id=name),
    )
