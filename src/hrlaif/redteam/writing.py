"""What should the policy have said? Harmful answers rewritten, refused questions answered.

A rewrite is accepted only if it is whole, another text, in the same language and form, harmless to
the detector, and more than a refusal. What is not accepted is dropped, and counted by its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from hrlaif.llm.prompting import fence_mark, load_template, render
from hrlaif.llm.remote_verdict import after_thoughts
from hrlaif.messages import language_of
from hrlaif.protocols import LanguageModel
from hrlaif.records import Chat, Completion, Message, Record, Response, Row, Unanswered, Verdict
from hrlaif.redteam.attempts import Watch
from hrlaif.redteam.families import PROMPTS
from hrlaif.redteam.settings import RedTeam

_TEMPERATURE = 0.7
_MOST_WORDS = 2000


class Mending(NamedTuple):
    """One answer to be written anew."""

    id: str
    original: Response
    """What the policy said."""
    request: str
    """What it was asked, plainly put."""
    what: Literal["rewrite", "answer"]
    """`rewrite` a harmful answer, or `answer` an innocent request that was refused."""


class Mended(Record):
    """What came of it."""

    id: str
    text: str | None = None
    """The accepted text; None where all tries were dropped."""
    dropped: str = ""
    """Why the last try was dropped."""
    tries: int = 0
    harmless: Verdict | None = None
    responsive: Verdict | None = None

    def row(self) -> Row:
        """All fields, `text: null` included."""
        return self.model_dump(mode="json")


class Menders(NamedTuple):
    """Who writes, and who accepts."""

    writer: LanguageModel
    judge: LanguageModel
    watch: Watch


def mended(items: Sequence[Mending], settings: RedTeam, who: Menders, *, seed: int) -> list[Mended]:
    """One result an item. Raises ModelError when the detector has gone silent."""
    found: dict[str, Mended] = {}
    left = list(items)
    for attempt in range(settings.tries):
        texts = _written(left, settings, who.writer, attempt, seed)
        for item, result in zip(left, _tried(left, texts, settings, who), strict=True):
            found[item.id] = result.model_copy(update={"tries": attempt + 1})
        left = [item for item in left if found[item.id].text is None]
        if not left:
            break
    return [found[item.id] for item in items]


def _written(
    items: Sequence[Mending], settings: RedTeam, writer: LanguageModel, sample: int, seed: int
) -> list[Completion | Unanswered]:
    chats = []
    for item in items:
        language = language_of(item.original.text if item.what == "rewrite" else item.request)
        texts = load_template(PROMPTS, "writer", language)
        asked = render(
            texts[item.what],
            request=item.request,
            answer=item.original.text,
            words=settings.rewrite_tokens // 2,
            mark=_mark(item),
        )
        chats.append(Chat.user(asked, sample=sample))
    told = writer.generate(
        chats, temperature=_TEMPERATURE, max_tokens=settings.rewrite_tokens, seed=seed
    )
    return [
        text
        if isinstance(text, Unanswered)
        else text.model_copy(update={"text": after_thoughts(text.text).strip()})
        for text in told
    ]


def _tried(
    items: Sequence[Mending],
    texts: Sequence[Completion | Unanswered],
    settings: RedTeam,
    who: Menders,
) -> list[Mended]:
    """The cheap tests first; the judge reads what is left."""
    why = [_unfit(item, text, settings) for item, text in zip(items, texts, strict=True)]
    fit = [n for n, reason in enumerate(why) if not reason]
    shown = [_shown(items[n], texts[n]) for n in fit]
    harmless = settings.detector.check(shown, who.judge) if shown else []
    who.watch.saw(harmless, shown)
    responsive = settings.refusals.check(shown, who.judge) if shown else []
    verdicts = dict(zip(fit, zip(harmless, responsive, strict=True), strict=True))
    found = []
    for n, (item, text) in enumerate(zip(items, texts, strict=True)):
        if why[n]:
            found.append(Mended(id=item.id, dropped=why[n]))
            continue
        assert isinstance(text, Completion)
        safe, helps = verdicts[n]
        dropped = _refused(safe, helps)
        kept = None if dropped else text.text
        found.append(
            Mended(id=item.id, text=kept, dropped=dropped, harmless=safe, responsive=helps)
        )
    return found


def _unfit(item: Mending, text: Completion | Unanswered, settings: RedTeam) -> str:
    if isinstance(text, Unanswered):
        return f"not written: {text.reason}"
    new, old = text.text, item.original.text.strip()
    if text.finish_reason == "length":
        return "cut at the token limit"
    if not new:
        return "empty"
    if _mark(item) in new:
        return "repeats the markers of the question"
    if alike(new, old) > settings.most_alike:
        return "the same as the original"
    wanted = language_of(old if item.what == "rewrite" else item.request)
    if language_of(new) != wanted:
        return "in another language"
    if item.what == "rewrite" and form_of(new) != form_of(old):
        return "in another form"
    return ""


def _mark(item: Mending) -> str:
    return fence_mark(item.request, item.original.text)


def _refused(safe: Verdict, helps: Verdict) -> str:
    """Why the judge's verdicts do not accept a text; silence accepts nothing."""
    if safe.passed is None:
        return "the harm detector did not say"
    if not safe.passed:
        return "still harmful"
    if helps.passed is None:
        return "the refusal detector did not say"
    return "" if helps.passed else "merely refuses"


def _shown(item: Mending, text: Completion | Unanswered) -> Response:
    assert isinstance(text, Completion)
    prompt = item.original.prompt.model_copy(
        update={"messages": (Message(role="user", content=item.request),)}
    )
    return item.original.model_copy(
        update={"prompt": prompt, "text": text.text, "finish_reason": text.finish_reason}
    )


def alike(a: str, b: str) -> float:
    """Share of words (of characters in Chinese) that two texts have in common, in order, 0 to 1."""
    one, two = ([*re.findall(r"[a-z0-9]+|[^\W\d_a-z]", t.lower())][:_MOST_WORDS] for t in (a, b))
    return SequenceMatcher(None, one, two, autojunk=False).ratio() if one or two else 1.0


def form_of(text: str) -> str:
    """`json`, `table`, `list` or `prose`. Code is prose: harmful code has no harmless twin."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return "json"
    if sum(line.count("|") >= 2 for line in lines) >= 2:
        return "table"
    items = sum(bool(re.match(r"(?:[-*•]|\(?\d{1,2}[.)、])\s*\S", line)) for line in lines)
    return "list" if items >= 2 else "prose"
