"""What did the server say? Pure functions over raw answers, so that they can be read again."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrlaif.records import Completion, Unanswered

AMBIGUOUS = 0.01
"""A token with at least this probability that may be either of two labels makes them unreadable."""
_AROUND = " \t\r\n\v\f\"'`*_~#()[]{}<>|.,:;!=→-–—“”‘’«»「」『』【】。，：；"
_HIDDEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_DOUBT = re.compile(r"(?i)\b(?:not|never|neither|nor|worse|worst|weaker|inferior)\b|n't\b")
_CUT = {"length", "max_tokens", "max_output_tokens"}


@dataclass(frozen=True, slots=True)
class Position:
    """One generated token, and the probabilities of the likeliest tokens in its place."""

    sampled: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer in one shape, whichever interface it came from."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int | None
    positions: tuple[Position, ...]
    refusal: str = ""


def envelope_error(raw: str) -> str | None:
    """Why this body is no answer at all (HTML, half a JSON, no choices); None where it is one."""
    if not raw.strip():
        return "an empty body"
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        kind = "HTML" if raw.lstrip().startswith("<") else "a body that is not JSON"
        return f"{kind}: {raw.strip()[:80]!r}"
    choices = body.get("choices") if isinstance(body, dict) else None
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        return f"JSON without choices: {raw.strip()[:80]!r}"
    if not ("text" in choices[0] or isinstance(choices[0].get("message"), dict)):
        return f"JSON without a message: {raw.strip()[:80]!r}"
    return None


def read(raw: str) -> Answer:
    """The answer in a body that `envelope_error` let pass."""
    body = json.loads(raw)
    choice = body["choices"][0]
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    finish = str(choice.get("finish_reason") or "stop")
    prompt_tokens, completion_tokens = usage(body)
    return Answer(
        text=_plain(choice.get("text") if "text" in choice else message.get("content")),
        finish_reason="length" if finish in _CUT else finish,
        prompt_tokens=prompt_tokens or 0,
        completion_tokens=completion_tokens,
        positions=_positions(choice.get("logprobs")),
        refusal=_plain(message.get("refusal")),
    )


def usage(body: Any) -> tuple[int | None, int | None]:
    """Prompt and completion tokens as the server counted them; None where it did not."""
    used = body.get("usage") if isinstance(body, dict) else None
    used = used if isinstance(used, dict) else {}
    counts = (used.get("prompt_tokens"), used.get("completion_tokens"))
    prompt, completion = (n if isinstance(n, int) and n >= 0 else None for n in counts)
    return prompt, completion


def completion(answer: Answer) -> Completion | Unanswered:
    """The text, or why there is none. Never a made-up text."""
    if answer.finish_reason == "content_filter" or not answer.text.strip():
        return why_not(answer)
    return Completion(
        text=answer.text,
        finish_reason="length" if answer.finish_reason == "length" else "stop",
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens or 0,
    )


def is_cut_short(answer: Answer) -> bool:
    """Whether all its tokens were used up before it said anything, as by thoughts not shown."""
    return answer.finish_reason == "length" and not answer.text.strip()


def why_not(answer: Answer) -> Unanswered:
    """Why an answer is none: filtered, refused or empty."""
    if answer.finish_reason == "content_filter":
        return Unanswered(reason="stopped by the server's content filter")
    if answer.refusal:
        return Unanswered(reason=f"refused: {answer.refusal[:200]!r}")
    cut = " (cut at the token limit)" if answer.finish_reason == "length" else ""
    return Unanswered(reason=f"empty answer{cut}")


def label_probabilities(
    positions: Sequence[Position], choices: Sequence[str]
) -> tuple[float, ...] | None:
    """Probability of each label as the answer, not normalised; a label not listed counts 0.

    Sums the surface forms of a label (`1`, ` 1`, `"1`, `１`), also behind a first blank token. None
    when there is no distribution to read, or when a token with 1 % or more is the beginning of
    several labels (`1` of `1` and `10`) and what followed it does not tell.
    """
    if not positions or len(positions[0].probabilities) < 2:
        return None
    return _walk(positions, [normal(choice) for choice in choices], "")


def verdict(text: str, choices: Sequence[str]) -> int | None:
    """Index of the label that the text ends in; None when it names none, or several.

    Read are lines that are a label (`2`, `**[[2]]**`), lead to one (`Preferred Response=2`, `the
    answer is 2`) or call one better (`Response 2 is better`). The last such line counts, unless it,
    or anything behind it, also names another label.
    """
    text = unicodedata.normalize("NFKC", text.translate(_HIDDEN))
    text = re.sub(r"(?s)<think>.*?(</think>|$)", "", text)
    labels = [unicodedata.normalize("NFKC", choice).strip() for choice in choices]
    if len(labels) > 2:
        top = re.escape(labels[-1])
        text = re.sub(rf"(?<=\d)\s*(?:/|out of)\s*{top}(?!\w|[.,]\d)", "", text)
    lines = [line for line in text.splitlines() if line.strip()]
    named: set[int] = set()
    for line in reversed(lines):
        named |= {i for i, label in enumerate(labels) if _names(line, label)}
        ruled = {i for i, label in enumerate(labels) if _rules(line, label)}
        if ruled and (len(named) > 1 or _DOUBT.search(line)):
            return None
        if ruled:
            return ruled.pop()
    return None


def normal(text: str) -> str:
    """A label without what may stand around it: space, quotes, brackets, Markdown, full width."""
    return unicodedata.normalize("NFKC", text.translate(_HIDDEN)).strip(_AROUND).casefold()


def _walk(
    positions: Sequence[Position], labels: list[str], before: str
) -> tuple[float, ...] | None:
    found = [0.0] * len(labels)
    if not positions:
        return tuple(found)
    here = positions[0]
    whole = {normal(before + token) for token in here.probabilities}
    for token, probability in here.probabilities.items():
        so_far = before + token
        reached = normal(so_far)
        ended = normal(before) if before and _ends(token) else ""
        if ended in labels:
            found[labels.index(ended)] += probability
            continue
        # Where `10` is one token, `1` and `0` in a row is not how this model writes it.
        longer = {n for n in labels if n != reached and n.startswith(reached)} - whole
        if reached and reached in labels and (not longer or _closed(so_far)):
            found[labels.index(reached)] += probability
        elif not reached or longer:
            behind = _behind(positions, labels, token, so_far)
            if behind is not None:
                found = [f + probability * b for f, b in zip(found, behind, strict=True)]
            elif reached and probability >= AMBIGUOUS:
                return None
    return tuple(found)


def _behind(
    positions: Sequence[Position], labels: list[str], token: str, so_far: str
) -> tuple[float, ...] | None:
    """What the rest says of the labels after this token; known only for the one that was drawn."""
    if token != positions[0].sampled or len(positions) < 2:
        return None
    return _walk(positions[1:], labels, so_far)


def _ends(token: str) -> bool:
    return not token or not token[0].isalnum()


def _closed(text: str) -> bool:
    return bool(text) and not text[-1].isalnum()


def _positions(logprobs: Any) -> tuple[Position, ...]:
    if not isinstance(logprobs, dict):
        return ()
    if isinstance(logprobs.get("content"), list):
        entries = [entry for entry in logprobs["content"] if isinstance(entry, dict)]
        return tuple(
            Position(str(entry.get("token", "")), _listed(entry.get("top_logprobs")))
            for entry in entries
        )
    tokens, tops = logprobs.get("tokens"), logprobs.get("top_logprobs")
    if not (isinstance(tokens, list) and isinstance(tops, list)):
        return ()
    return tuple(Position(str(t), _listed(top)) for t, top in zip(tokens, tops, strict=False))


def _listed(top: Any) -> dict[str, float]:
    """Token to probability from either shape; what is null, NaN or -inf has probability 0."""
    if isinstance(top, dict):
        pairs = list(top.items())
    elif isinstance(top, list):
        pairs = [(e.get("token"), e.get("logprob")) for e in top if isinstance(e, dict)]
    else:
        return {}
    numbers = [p for p in pairs if isinstance(p[0], str) and isinstance(p[1], (int, float))]
    if not any(math.isfinite(logprob) for _, logprob in numbers):
        return {}
    probabilities: dict[str, float] = {}
    for token, logprob in numbers:
        known = not math.isnan(logprob)
        more = math.exp(min(logprob, 0.0)) if known else 0.0
        probabilities[token] = probabilities.get(token, 0.0) + more
    return probabilities


def _plain(content: Any) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _alone(label: str) -> str:
    """A pattern for the label as a word of its own: not in 10, 1.5, -1 or a word."""
    # One letter must match its case: `a` is an article.
    case = "" if len(label) == 1 else "i"
    pattern = rf"(?<![\w-])(?<!\d[.,]){re.escape(label)}(?!\w|[.,]\d|-\w)"
    return f"(?i:{pattern})" if case else pattern


def _names(line: str, label: str) -> bool:
    return re.search(_alone(label), line) is not None


def _rules(line: str, label: str) -> bool:
    around = r"[\s\"'`*_~#()\[\]{}<>.|“”‘’「」【】。!]*"
    noun = r"(?:response|answer|option|summary|assistant|candidate|choice|rating|grade|score)"
    lead = rf"(?:[:=]|\b(?i:is|be|choose|prefer|pick|select|give)\b)(?:\s*(?i:{noun}))?"
    best = r"(?:\w+\s+){0,2}(?:better|best|preferred|preferable|superior)\b"
    one = _alone(label)
    forms = (
        rf"^{around}(?:(?i:{noun})\s*)?{around}{one}{around}$",
        rf"{lead}{around}{one}{around}$",
        rf"\b(?i:{noun}){around}{one}{around}(?i:is\s+{best})",
    )
    return any(re.search(form, line) for form in forms)
