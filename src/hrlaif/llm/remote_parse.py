"""What did the server say? Pure functions over raw answers, so that they can be read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrlaif.messages import as_seen
from hrlaif.records import Completion, Unanswered

AMBIGUOUS = 0.01
"""A token with at least this probability that may be either of two labels makes them unreadable."""
_AROUND = " \t\r\n\v\f\"'`*_~#()[]{}<>|.,:;!=→-–—“”‘’«»「」『』【】。，：；"
_FURTHEST = 16
"""Generated tokens that are looked at for a label: servers are asked for 4 at most."""
_MOST_TOKENS = 10**9
"""Of one call: a server that counts more does not count."""
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length"}
_BROKEN_OFF = {
    *("abort", "aborted", "error", "cancelled", "canceled"),
    "insufficient_system_resource",
}
"""As vLLM says where it is stopped, gateways where the server behind them fails, and DeepSeek where
it has no room."""


@dataclass(frozen=True, slots=True)
class Position:
    """One generated token, and the probabilities of the likeliest tokens in its place.

    Of one whose log-probability is not a number it is NaN.
    """

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
    thought: str = ""
    """What the server takes apart as the model's thoughts."""
    broken: str = ""
    """Why the body is no answer at all."""


def envelope_error(raw: str) -> str | None:
    """Why this body is no answer at all (HTML, half a JSON, broken off); None where it is one."""
    return _opened(raw)[1]


def is_answer(raw: str) -> bool:
    """Whether this body is one."""
    return _opened(raw)[1] is None


def _opened(raw: str) -> tuple[Any, str | None]:
    """The body, and why it is none."""
    if not raw.strip():
        return None, "an empty body"
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        kind = "HTML" if raw.lstrip().startswith("<") else "a body that is not JSON"
        return None, f"{kind}: {raw.strip()[:80]!r}"
    choices = body.get("choices") if isinstance(body, dict) else None
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        return None, f"JSON without choices: {raw.strip()[:80]!r}"
    if not ("text" in choices[0] or isinstance(choices[0].get("message"), dict)):
        return None, f"JSON without a message: {raw.strip()[:80]!r}"
    if str(finish := choices[0].get("finish_reason")).lower() in _BROKEN_OFF:
        return None, f"an answer that it broke off ({finish})"
    return body, None


def read(raw: str) -> Answer:
    """The answer in a body."""
    body, broken = _opened(raw)
    if broken:
        return Answer("", "stop", 0, None, (), broken=broken)
    choice = body["choices"][0]
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    finish = str(choice.get("finish_reason") or "stop").lower()
    prompt_tokens, completion_tokens = _usage(body)
    return Answer(
        text=_plain(choice.get("text") if "text" in choice else message.get("content")),
        finish_reason="length" if finish in _CUT else finish,
        prompt_tokens=prompt_tokens or 0,
        completion_tokens=completion_tokens,
        positions=_positions(choice.get("logprobs")),
        refusal=_plain(message.get("refusal")),
        thought=_plain(message.get("reasoning_content") or message.get("reasoning")),
    )


def usage(raw: str) -> tuple[int | None, int | None]:
    """Prompt and completion tokens as the server counted them; None where it did not."""
    return _usage(_opened(raw)[0])


def _usage(body: Any) -> tuple[int | None, int | None]:
    used = body.get("usage") if isinstance(body, dict) else None
    used = used if isinstance(used, dict) else {}
    named = ("prompt_tokens", "completion_tokens", "total_tokens")
    prompt, completion, total = (_count(used.get(name)) for name in named)
    if prompt is not None and completion is not None and total is not None:
        # Some, as xAI, count the tokens of thoughts in the total alone: they are charged for.
        completion = max(completion, total - prompt)
    return prompt, completion


def _count(given: Any) -> int | None:
    return given if type(given) is int and 0 <= given <= _MOST_TOKENS else None


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


def why_not(answer: Answer) -> Unanswered:
    """Why an answer is none: unreadable, filtered, refused or empty."""
    if answer.broken:
        return Unanswered(reason=f"unreadable: {answer.broken}")
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
    when there is no distribution to read, when a token with 1 % or more is the beginning of several
    labels (`1` of `1` and `10`) and what followed it does not tell, or when the probability of a
    label is not a number: to take it for 0 would make the other one certain.
    """
    known = [p for p in positions[0].probabilities.values() if p == p] if positions else []
    if len(known) < 2:
        return None
    return _walk(positions[:_FURTHEST], [normal(choice) for choice in choices], "")


def normal(text: str) -> str:
    """A label without what may stand around it: space, quotes, brackets, Markdown, full width."""
    return as_seen(text).strip(_AROUND).casefold()


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
        # Where `10` is one token, `1` and `0` in a row is not how this model writes it.
        longer = {n for n in labels if n != reached and n.startswith(reached)} - whole
        if math.isnan(probability):
            if ended in labels or reached in labels or (reached and longer):
                return None
            continue
        if ended in labels:
            found[labels.index(ended)] += probability
            continue
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
    """Token to probability from either shape; of -inf it is 0, and NaN of what is no number."""
    if isinstance(top, dict):
        pairs = list(top.items())
    elif isinstance(top, list):
        pairs = [(e.get("token"), e.get("logprob")) for e in top if isinstance(e, dict)]
    else:
        return {}
    numbers = [(token, _number(logprob)) for token, logprob in pairs if isinstance(token, str)]
    if not any(math.isfinite(logprob) for _, logprob in numbers):
        return {}
    probabilities: dict[str, float] = {}
    for token, logprob in numbers:
        probabilities[token] = probabilities.get(token, 0.0) + math.exp(min(logprob, 0.0))
    return probabilities


def _number(logprob: Any) -> float:
    """NaN for what is no log-probability: null, text, above 0, or more digits than a float has."""
    try:
        found = float(logprob) if type(logprob) in (int, float) else math.nan
    except OverflowError:
        return math.nan
    return math.nan if found > 0.01 else found  # a rounded 0 may be a little more


def _plain(content: Any) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
