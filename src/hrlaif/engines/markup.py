"""Who said what, in a text that a chat template made? Turns before, and the response at the end.

Trainers send prompts and responses as the policy saw them. A judge must not: it would read marks of
another model's template, and a reward model would see its own twice. Only the prompt is taken
apart; a response that writes such marks itself opens no turn.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from hrlaif.errors import DataError
from hrlaif.records import Row

# How a turn begins, in the templates of the common families; `[INST]` has no names of roles.
_BEGINNINGS = (
    re.compile(r"<\|im_start\|>(?P<role>\w+)\n"),
    re.compile(r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n\n"),
    re.compile(r"<start_of_turn>(?P<role>\w+)\n"),
    re.compile(r"<\|(?P<role>system|user|assistant)\|>\n?"),
    re.compile(r"<｜(?P<role>User|Assistant)｜>"),
    re.compile(r"\[(?P<role>/?INST)\] ?"),
    re.compile(r"(?:\A|\n\n)(?P<role>Human|Assistant):(?: |\n|\Z)"),  # ours, and HH-RLHF's
)
_ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "inst": "user",
    "assistant": "assistant", "model": "assistant", "/inst": "assistant",
}  # fmt: skip
_END_MARKS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>", "</s>",
    "<|endoftext|>", "<|end|>", "<｜end▁of▁sentence｜>",
)  # fmt: skip
_PADDING = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>")
_LAST = re.compile(  # of a text read backwards: from its end there is one place to begin
    rf"\s*+(?:(?:{'|'.join(re.escape(mark[::-1]) for mark in _END_MARKS + _PADDING)})\s*+)++"
)
_BEGUN = re.compile(r"\A\s*(?:<[^<>\s]+>\s*)+")  # marks of the text's own beginning
_NO_THOUGHTS = re.compile(r"\A\s*<think>\s*</think>\s*")
_BEFORE_A_PROMPT = 64  # characters of a beginning-of-text mark


class _Turn(NamedTuple):
    role: str
    content: str


def row_of(query: str, prompt: str | None = None) -> Row:
    """A `Response` row of a whole text, and of the part of it that is the prompt, if it is known.

    Raises DataError where the prompt is not the beginning of the text, or nothing tells where it
    ends.
    """
    if prompt is None:
        turns, rest = _taken_apart(query), ""
        if not turns or turns[-1].role != "assistant":
            raise DataError(
                "nothing tells the response from the prompt: send texts of a chat template that "
                "end in an assistant turn, or prompts and responses apart"
            )
    else:
        turns, rest = _taken_apart(prompt), _after(prompt, query)
    response = rest
    if turns and turns[-1].role == "assistant":  # the template's invitation, or words put first
        response = turns.pop().content + rest
    told = [{"role": turn.role, "content": _ended(turn.content)[0]} for turn in turns]
    text, ended = _ended(_NO_THOUGHTS.sub("", response))
    return {
        "prompt": told if turns else prompt,
        "response": text,
        **({"finish_reason": "stop"} if ended else {}),
    }


def _after(prompt: str, query: str) -> str:
    """What follows the prompt in a text that a tokenizer gave back, which changes some prompts.

    It may compose letters and accents, put a space after the mark of the beginning, and cut a
    prompt that is too long at its beginning.
    """
    forms = dict.fromkeys((prompt, *(unicodedata.normalize(f, prompt) for f in ("NFC", "NFKC"))))
    for told in forms:
        place = query.find(told, 0, len(told) + _BEFORE_A_PROMPT)
        if place >= 0:
            return query[place + len(told) :]
    bare, rest = _BEGUN.sub("", prompt), _BEGUN.sub("", query)
    if bare and rest.startswith(bare):
        return rest[len(bare) :]
    for told in forms:
        if end := _end_of_cut(told, query):
            return query[end:]
    raise DataError("the text does not begin with its prompt: send both as they were made")


def _end_of_cut(prompt: str, query: str) -> int:
    """Where a prompt ends of which a text has only the end; 0 where it does not begin with that.

    All before that place is the prompt's own end: no response opens a turn by moving it.
    """
    tail = prompt[-_BEFORE_A_PROMPT:]
    begin = len(query) - len(query.lstrip("\ufffd"))  # a character of several tokens was cut
    first, end = query[begin : begin + len(tail)], begin + len(prompt)
    while (place := query.rfind(tail, begin, end)) >= 0:
        end = place + len(tail)
        there = len(prompt) - (end - begin)
        if prompt.startswith(first, there) and prompt.endswith(query[begin:end]):
            return end
        end -= 1
    return 0


def _taken_apart(text: str) -> list[_Turn]:
    """The turns of a text; none where no template is known to have made it.

    What stands first made it: marks of other templates are what somebody wrote in a turn.
    """
    found = [marks for beginning in _BEGINNINGS if (marks := list(beginning.finditer(text)))]
    if not found:
        return []
    marks = min(found, key=lambda marks: marks[0].start())
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    begun = text[: marks[0].start()]
    before = _BEGUN.sub("", begun).strip()
    if before and before == begun.strip() and _role(marks[-1]["role"]) != "assistant":
        return []  # neither begun nor ended as templates do: somebody writes about such marks
    return [_Turn("system", before)] * bool(before) + [
        _Turn(_role(mark["role"]), text[mark.end() : end])
        for mark, end in zip(marks, ends, strict=True)
    ]


def _role(name: str) -> str:
    found = _ROLES.get(name.lower())
    if found is None:
        raise DataError(f"a turn of {name!r}: known are system, user and assistant")
    return found


def _ended(text: str) -> tuple[str, bool]:
    """The text without marks at its end, and whether one said that it is over."""
    found = _LAST.match(text[::-1])
    if not found:
        return text, False
    marks = found[0][::-1]
    return text[: len(text) - len(marks)], any(mark in marks for mark in _END_MARKS)
