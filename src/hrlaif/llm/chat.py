"""What does a model read? Chats as token ids, by its chat template or our plain one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from hrlaif.errors import ModelError
from hrlaif.records import Message

PLAIN_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}\n\n"
    "{% elif m['role'] == 'user' %}Human:\n{{ m['content'] }}\n\n"
    "{% else %}Assistant:\n{{ m['content'] }}{{ eos_token }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
_SCORED = (
    "{% set scored = messages[-1] if not add_generation_prompt "
    "and messages[-1].role == 'assistant' and not messages[-1].tool_calls else none %}"
    "{% set messages = messages[:-1] if scored else messages %}"
    "{% set add_generation_prompt = add_generation_prompt or scored is not none %}"
)
_ROLE_MARKS = re.compile(
    r"<[|｜][^|｜<>\s]{1,40}[|｜]>|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
)
_MARK = re.compile(r"(?s)[<\[].*\w.*[>\]]")
_WITHIN = re.compile(r"(?i)think|thought|reason|tool|function")
"""In the names of marks that stand within a model's own turn."""
_PROBE = "zqxw"


def prepare(tokenizer: Any) -> Any:
    """Gives a tokenizer without a chat template the plain one, to be saved with it from then on."""
    if not getattr(tokenizer, "chat_template", None):
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def render(tokenizer: Any, messages: Sequence[Message], *, ask: bool = True) -> str:
    """The text that the model reads; `ask` ends it where the model's own turn begins.

    Chat-role tokens inside the messages are broken up, and a system turn that a template refuses
    (Gemma's) is put before the first user turn.
    """
    prepare(tokenizer)
    turns = [
        {"role": m.role, "content": neutralise(m.content, special_tokens(tokenizer))}
        for m in messages
    ]
    try:
        return _applied(tokenizer, turns, ask)
    except Exception as error:  # jinja2's errors, which a template also raises on purpose
        folded = _folded(turns)
        if folded == turns:
            raise ModelError(f"the model's chat template refuses this chat: {error}") from error
    try:
        return _applied(tokenizer, folded, ask)
    except Exception as error:
        raise ModelError(f"the model's chat template refuses this chat: {error}") from error


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a chat up to where the model's turn begins, with BOS (if any) exactly once."""
    return text_ids(tokenizer, render(tokenizer, messages))


def text_ids(tokenizer: Any, rendered: str) -> list[int]:
    """Token ids of a rendered chat, with BOS exactly once where the tokenizer has one."""
    ids = list(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    bos = tokenizer.bos_token_id
    if bos is None:
        return ids
    begins = next((i for i, token in enumerate(ids) if token != bos), len(ids))
    wants = begins > 0 or bos in tokenizer("")["input_ids"]
    return ([bos] if wants else []) + ids[begins:]


def response_ids(tokenizer: Any, text: str, finished: bool) -> list[int]:
    """Token ids of a response; the end of turn follows only when the model ended it (`finished`).

    A truncated response stays visibly unfinished. Special tokens in the text are plain text.
    """
    ids = plain_ids(tokenizer, text)
    return [*ids, turn_end(tokenizer)] if finished else ids


def end_with_response(tokenizer: Any) -> Any:
    """Makes its chat template end a conversation where a response ends, for a score read there.

    A conversation whose last turn is the assistant's becomes the text of its prompt with the cue to
    answer, the response untouched, and `turn_end`; templates also write a line break after that
    token, or none at all. Any other is rendered as before, BOS included where `text_ids` adds it.
    """
    end = json.dumps(tokenizer.convert_ids_to_tokens(turn_end(tokenizer)), ensure_ascii=False)
    asked = render(tokenizer, [Message(role="user", content="a")])
    told = tokenizer(asked, add_special_tokens=False)["input_ids"]
    bos = "bos_token" if len(text_ids(tokenizer, asked)) > len(told) else "''"
    whole = tokenizer.get_chat_template().removesuffix("\n")  # as jinja reads it on its own
    # Servers may give a text as a list of parts (vLLM does where the template reads such lists).
    text = "scored.content if scored.content is string else scored.content|map(attribute='text')"
    last = f"{{{{ ({text}|join) ~ {end} if scored else '' }}}}"
    tokenizer.chat_template = f"{_SCORED}{{{{ {bos} }}}}{whole}{last}"
    if tokenizer.bos_token_id in tokenizer("")["input_ids"]:
        tokenizer.add_bos_token = False  # RewardBench would let it add a second one
    return tokenizer


def ends_with_response(tokenizer: Any) -> bool:
    """Whether `end_with_response` made its chat template."""
    return str(tokenizer.chat_template).startswith(_SCORED)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text in which no token acts that `special_tokens` names."""
    found = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    specials = special_tokens(tokenizer)
    if not set(found) & _ids(tokenizer, specials):
        return list(found)
    broken = neutralise(text, specials)
    return list(tokenizer(broken, add_special_tokens=False)["input_ids"])


@lru_cache(maxsize=8)
def _ids(tokenizer: Any, specials: tuple[str, ...]) -> frozenset[int]:
    return frozenset([*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids(specials)])


def neutralise(text: str, specials: Iterable[str] = ()) -> str:
    """The text with a space inside each chat-role token: data cannot open or close a turn."""
    while True:
        before = text
        text = _ROLE_MARKS.sub(lambda m: f"{m[0][0]} {m[0][1:]}", text)
        for special in _possible(text, specials):
            if special in text:
                text = text.replace(special, f"{special[0]} {special[1:]}")
        if text == before:
            return text


def _possible(text: str, specials: Iterable[str]) -> Iterator[str]:
    """Those of which the first two characters are in the text: of Gemma's 6,242, hardly any."""
    for begin, some in _by_beginning(tuple(specials)).items():
        if begin in text:
            yield from some


@lru_cache(maxsize=8)
def _by_beginning(specials: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for special in specials:
        found.setdefault(special[:2], []).append(special)
    return found


@lru_cache(maxsize=8)
def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The strings that this tokenizer reads as special, of two characters or more.

    Also those that it does not call so but its chat template puts around turns, as `<｜User｜>` of
    DeepSeek's distilled models; not marks of thoughts and tools, which a turn may hold. Kept, since
    a vocabulary of 262,144 takes 10 ms to list: whoever adds tokens clears it.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found = {str(token) for token in added if getattr(token, "special", False)}
    found |= set(tokenizer.all_special_tokens)
    template = str(getattr(tokenizer, "chat_template", None) or "")
    marks = (t for t in map(str, added) if _MARK.fullmatch(t) and not _WITHIN.search(t))
    found |= {t for t in marks if t in template}
    return tuple(sorted(t for t in found if len(t) > 1))


def turn_end(tokenizer: Any) -> int:
    """The token that ends the assistant's turn: what the template puts after it, else EOS."""
    return _turn_end(prepare(tokenizer))


@lru_cache(maxsize=8)
def _turn_end(tokenizer: Any) -> int:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE}]
    after = _applied(tokenizer, turns, False).rpartition(_PROBE)[2]
    specials = set(tokenizer.all_special_ids) | {
        index for index, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in specials:
            return int(token)
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end-of-text token: set eos_token in its config")
    return int(tokenizer.eos_token_id)


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends a text: all of the generation config's, the tokenizer's, the turn's."""
    found: set[int] = {turn_end(tokenizer)}
    configs = (getattr(model, "generation_config", None), model.config)
    for value in [*(getattr(c, "eos_token_id", None) for c in configs), tokenizer.eos_token_id]:
        found.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return found


def _applied(tokenizer: Any, turns: list[dict[str, str]], ask: bool) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask))


def _folded(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """System turns put at the head of the first user turn."""
    system = [turn["content"] for turn in turns if turn["role"] == "system"]
    rest = [dict(turn) for turn in turns if turn["role"] != "system"]
    if system and rest:
        rest[0]["content"] = "\n\n".join([*system, rest[0]["content"]])
        return rest
    return turns
