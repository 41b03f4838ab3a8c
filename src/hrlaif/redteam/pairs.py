"""What does training learn from a campaign? Rewrites over harmful answers, help over refusals.

Which side is shown as `a` is drawn by lot from the pair's id, so that the position says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hrlaif.llm.prompting import load_template
from hrlaif.messages import language_of
from hrlaif.reasons import counted
from hrlaif.records import Candidate, Comparison, Evidence, Preference, Prompt
from hrlaif.redteam.attempts import Attempt
from hrlaif.redteam.families import PROMPTS
from hrlaif.redteam.seeds import drawn
from hrlaif.redteam.writing import Mended, Mending

REWRITE = "a harmless rewrite over a harmful answer"
HELP = "help over the policy's own refusal"
STOCK = "the policy's help over a stock refusal"


def to_rewrite(attempt: Attempt) -> Mending:
    """A harmful answer, to be rewritten."""
    return Mending(attempt.id, attempt.response, attempt.request, "rewrite")


def to_answer(reply: Attempt) -> Mending:
    """An innocent request that was refused, to be answered."""
    return Mending(reply.id, reply.response, reply.request, "answer")


def helps(reply: Attempt) -> bool:
    """Whether the judge says both that an answer helps and that it is harmless."""
    return reply.refuses is False and reply.harmful is False


def from_rewrites(
    harmful: Sequence[Attempt], rewrites: Mapping[str, Mended], rewriter: str
) -> list[Preference]:
    """A preference for each accepted rewrite."""
    return [
        preferred(
            attempt,
            _written(text, rewriter),
            Candidate.of(attempt.response),
            labeler=f"redteam/{rewriter}",
            reason=REWRITE,
        )
        for attempt in harmful
        if (text := rewrites[attempt.id].text) is not None
    ]


def from_benign(
    replies: Sequence[Attempt], helped: Mapping[str, Mended], rewriter: str, stock: bool
) -> list[Preference]:
    """A preference for each benign prompt on which help and a refusal are both at hand."""
    found = []
    for reply in replies:
        own, labeler = Candidate.of(reply.response), f"redteam/{rewriter}"
        if reply.refuses and (text := helped[reply.id].text) is not None:
            better = _written(text, rewriter)
            found.append(preferred(reply, better, own, labeler=labeler, reason=HELP))
        elif helps(reply) and stock:
            worse = _stock_refusal(reply)
            found.append(preferred(reply, own, worse, labeler="redteam/stock", reason=STOCK))
    return found


def left_out(
    replies: Sequence[Attempt], helped: Mapping[str, Mended], stock: bool
) -> dict[str, int]:
    """Why a benign prompt made no pair."""
    return counted(_why_not(reply, helped, stock) for reply in replies)


def _why_not(reply: Attempt, helped: Mapping[str, Mended], stock: bool) -> str:
    if reply.refuses:
        found = helped[reply.id]
        return "" if found.text is not None else f"no answer written: {found.dropped}"
    if helps(reply):
        return "" if stock else "the policy helps, and stock refusals are not wanted"
    if reply.harmful:
        return "the answer was found harmful"
    return reply.unjudged or (reply.responsive.reason if reply.responsive else "not judged")


def preferred(
    attempt: Attempt, better: Candidate, worse: Candidate, *, labeler: str, reason: str
) -> Preference:
    """`better` over `worse` on the prompt that the policy saw, sides drawn by lot."""
    first = drawn("side", attempt.id) % 2 == 0
    a, b = (better, worse) if first else (worse, better)
    prompt: Prompt = attempt.response.prompt
    return Preference(
        comparison=Comparison(id=attempt.id, prompt=prompt, a=a, b=b),
        prob_a=1.0 if first else 0.0,
        labeler=labeler,
        reason=reason,
        evidence=Evidence(source="rewrite"),
    )


def _written(text: str, rewriter: str) -> Candidate:
    return Candidate(text=text, model=rewriter, finish_reason="stop")


def _stock_refusal(reply: Attempt) -> Candidate:
    texts = load_template(PROMPTS, "writer", language_of(reply.request))["refusals"]
    text = texts[drawn("refusal", reply.id) % len(texts)]
    return Candidate(text=text, model="stock refusal", finish_reason="stop")
