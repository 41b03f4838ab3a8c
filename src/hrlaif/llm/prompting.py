"""How does a judge's question become text? Template files, rendered once, data fenced."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from hrlaif.errors import UsageError
from hrlaif.llm import own_texts
from hrlaif.messages import as_seen, spoken
from hrlaif.records import Asked, Chat, Message, Prompt, Response, digest

_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)


@lru_cache(maxsize=64)
def load_template(folder: Path, task: str, language: str | None) -> Mapping[str, Any]:
    """The prompt file `task.language.yaml`; English where a language has none; `zh-CN` is `zh`.

    A task that is itself a .yaml file is completed from `general`, or from `harmless` where it asks
    for the more harmful response: see `own_texts`.
    """
    if own_texts.is_own(task):
        return own_texts.texts(task, load_template(folder, own_texts.frame(task), language))
    known = re.match(r"[a-z]{2,3}(?![a-z])", (language or "").lower())
    path = folder / f"{task}.{known[0] if known else 'en'}.yaml"
    if not path.exists():
        path = folder / f"{task}.en.yaml"
    if not path.exists():
        tasks = sorted({p.name.split(".")[0] for p in folder.glob("*.en.yaml")})
        raise UsageError(f"task {task!r} is none of {tasks}, and no .yaml file of your own")
    template: Mapping[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return template


@lru_cache(maxsize=256)
def _compiled(text: str) -> Any:
    return _ENVIRONMENT.from_string(text)


def render(text: str, **values: object) -> str:
    """Fills a template in one pass: what stands in a value is never read as a template."""
    filled: str = _compiled(text).render(**values)
    return filled


def fence_mark(*texts: str, inside: Sequence[str] = ()) -> str:
    """Hex digits for the fences round the data, which stand nowhere in the data itself.

    So no text can close its fence, nor seem to: capitals, full width and characters that nobody
    sees count as what they look like. The mark is drawn from `texts`, in any order, so that both
    orders of a pair share their beginning; `inside` is searched for it and changes nothing else.
    """
    seen = [as_seen(text).casefold() for text in (*texts, *inside)]
    for attempt in itertools.count():
        seed = [*sorted(texts), attempt] if attempt else sorted(texts)
        mark = digest(seed, length=4 + attempt // 16)
        if not any(mark in text for text in seen):
            return mark
    raise AssertionError("unreachable: longer marks are rarer than any text is long")


def clip(text: str, limit: int, *, keep: str) -> tuple[str, bool]:
    """At most `limit` characters of the `start` or the `end`, cut visibly; and if it was cut."""
    cut = len(text) - limit
    if cut <= 0:
        return text, False
    if keep == "end":
        return f"[... {cut} characters cut] {text[cut:]}", True
    return f"{text[:limit]} [{cut} characters cut ...]", True


def transcript(messages: Sequence[Message], roles: Mapping[str, str]) -> str:
    """A prompt as text: one user turn stands alone, several are named by their roles."""
    if len(messages) == 1:
        return messages[0].content
    names = {"system": "系统" if _is_chinese(roles["user"]) else "System", **roles}
    return "\n\n".join(f"{_named(names[m.role])}{m.content}" for m in messages)


def question_text(prompt: Prompt, roles: Mapping[str, str]) -> str:
    """What a judge reads of a prompt: its turns, with the options that the row has apart."""
    return transcript(with_options(prompt).messages, roles)


def with_options(prompt: Prompt) -> Prompt:
    """Lettered options after the question, where the row has them apart from its text."""
    last = prompt.messages[-1]
    if not prompt.choices or _listed(prompt.choices, last.content):
        return prompt
    lines = [f"{chr(65 + n)}. {choice}" for n, choice in enumerate(prompt.choices)]
    message = Message(role=last.role, content="\n".join([last.content, *lines]))
    return prompt.model_copy(update={"messages": (*prompt.messages[:-1], message)})


def _listed(choices: Sequence[str], text: str) -> bool:
    """Whether all options stand in the text, one after the other, each as a whole."""
    at = 0
    for choice in choices:
        found = re.compile(rf"(?<!\w){re.escape(choice.strip())}(?!\w)").search(text, at)
        if found is None:
            return False
        at = found.end()
    return True


def _named(role: str) -> str:
    """`Human: `, and with the full-width colon `用户：`, which needs no space."""
    return f"{role}：" if _is_chinese(role) else f"{role}: "


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def about_one(texts: Mapping[str, Any], response: Response, max_chars: int) -> Chat:
    """A question about one response, in the texts of a template: grades, levels.

    Longer prompts lose their beginning, longer responses their end, visibly.
    """
    context, _ = clip(question_text(response.prompt, texts["roles"]), max_chars, keep="end")
    shown, _ = clip(spoken(response.text), max_chars, keep="start")
    # The mark is drawn from the prompt alone, so samples of one prompt share their beginning.
    mark = fence_mark(context, inside=[shown])
    data = render(texts["sample"], prompt=context, response=shown, mark=mark)
    head = f"{texts['preamble'].strip()}\n{texts['data_note'].strip()}"
    text = f"{head}\n\n{data.strip()}\n{texts['reminder'].strip()}\n{texts['ending']}"
    return Chat.user(text, about=Asked(first=response.text))
