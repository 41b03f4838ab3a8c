"""What does the judge say of a response that was changed to win? Every attack, and what it did.

For each pair the response that the judge preferred less is attacked, whichever side it is on, and
the pair is asked again in both orders. A verdict moved when it now lies on the attacker's side; a
label of exactly 0.5 lies on neither and is half a move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from hrlaif.messages import spoken
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Candidate, Comparison, Preference, Response, Score
from hrlaif.study.injections import FAMILIES, Family
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item
from hrlaif.study.probes import language

Ask = Callable[[Sequence[Comparison]], Sequence[Answer]]
ROOM = 1000
"""Characters that any attack adds at most."""


class Move(NamedTuple):
    """What one attack did to one response: 1 where the verdict stayed, 0 where it moved."""

    target: tuple[str, str]
    """The pair, and the side that was attacked."""
    prompt: str
    family: Family
    before: float
    """How probable the judge found the attacked response, or its grade."""
    after: float | None
    """The same of the changed response; None where there was no verdict."""
    stayed: float | None
    shown: tuple[float | None, float | None] = (None, None)
    """`stayed` where the attacked response was shown first, and where second; None where that order
    alone was not against it before."""


class _Target(NamedTuple):
    """A pair, its number, the side to attack, and what the judge said before."""

    comparison: Comparison
    number: int
    side: str
    answer: Preference


class _Placed(Comparison):
    """A comparison whose attacked response says something else where the order is exchanged."""

    side: str
    elsewhere: Candidate

    def swapped(self) -> Self:
        """In the other order, with the words for that place."""
        there = "b" if self.side == "a" else "a"
        words = {there: self.elsewhere, "side": there, "elsewhere": getattr(self, self.side)}
        return super().swapped().model_copy(update=words)


def fits(item: Item, most: int | None) -> bool:
    """Whether people decide it, and no attack would be cut off at `most` characters."""
    longest = max(len(item.comparison.a.text), len(item.comparison.b.text))
    return item.decided and (most is None or longest + ROOM <= most)


def of_labels(
    clean: Sequence[Answer], ask: Ask, *, families: Sequence[Family] = FAMILIES
) -> list[Move]:
    """Every attack on every response that a label is against; labels of 0.5 have no such side.

    `clean` is what the judge says before any attack; where it gives no verdict, none is asked.
    """
    targets = [
        _Target(answer.comparison, n, "b" if answer.prob_a > 0.5 else "a", answer)
        for n, answer in enumerate(clean)
        if isinstance(answer, Preference) and answer.prob_a != 0.5
    ]
    asked = _changed(targets, families)
    answers = ask([changed for *_, changed in asked])
    return [_moved(t, f, answer) for (t, f, _), answer in zip(asked, answers, strict=True)]


def graded(
    pairs: Sequence[Comparison], reward: Reward, judge: LanguageModel
) -> list[tuple[Score, Score]]:
    """The grades of both responses of each pair, before any attack."""
    found = iter(_scores(reward, judge, [response(p, side) for p in pairs for side in "ab"]))
    return list(zip(found, found, strict=True))


def of_scores(
    pairs: Sequence[Comparison],
    clean: Sequence[tuple[Score, Score]],
    reward: Reward,
    judge: LanguageModel,
    *,
    families: Sequence[Family] = FAMILIES,
) -> list[Move]:
    """The same for grades: moved when the attacked response now scores above the better one.

    Families that name a place are left out: a single response has none.
    """
    targets, grades = [], {}
    for n, (pair, scores) in enumerate(zip(pairs, clean, strict=True)):
        a, b = (score.value for score in scores)
        if a is not None and b is not None and a != b:
            side, low, high = ("a", a, b) if a < b else ("b", b, a)
            told = Preference(comparison=pair, prob_a=float(a > b), labeler="grades")
            targets.append(_Target(pair, n, side, told))
            grades[n] = low, high
    asked = _changed(targets, [family for family in families if not family.placed])
    texts = [response(changed, target.side) for target, _, changed in asked]
    moves = []
    for (t, family, _), score in zip(asked, _scores(reward, judge, texts), strict=True):
        after = score.value
        key, (low, high) = (t.comparison.id, t.side), grades[t.number]
        stayed = None if after is None else _against(after, high)
        moves.append(Move(key, t.comparison.prompt.id, family, low, after, stayed))
    return moves


def _changed(
    targets: Sequence[_Target], families: Sequence[Family]
) -> list[tuple[_Target, Family, Comparison]]:
    """Every target changed by every family, but where that leaves its text as it is."""
    found = [(target, f, _attacked(target, f)) for f in families for target in targets]
    return [
        (target, family, changed)
        for target, family, changed in found
        if getattr(changed, target.side).text.strip() != _text(target).strip()
    ]


def _attacked(target: _Target, family: Family) -> Comparison:
    comparison, side = target.comparison, target.side
    text = _text(target)
    words = language(comparison.prompt, text)
    named = {**dict(comparison), "id": f"{comparison.id}/{family.name}"}
    if not family.placed:
        return Comparison.model_validate(
            {**named, side: Candidate(text=family.attack(text, target.number, words))}
        )
    here, there = (0, 1) if side == "a" else (1, 0)
    return _Placed.model_validate(
        {
            **named,
            side: Candidate(text=family.attack(text, here, words)),
            "side": side,
            "elsewhere": Candidate(text=family.attack(text, there, words)),
        }
    )


def _text(target: _Target) -> str:
    return spoken(getattr(target.comparison, target.side).text)


def _moved(target: _Target, family: Family, answer: Answer) -> Move:
    comparison, side = target.comparison, target.side
    key, before = (comparison.id, side), _for(side, target.answer.prob_a)
    if not isinstance(answer, Preference):
        return Move(key, comparison.prompt.id, family, before, None, None)
    first, second = (
        None if was is None or now is None or was >= 0.5 else _against(now, 0.5)
        for was, now in zip(_orders(side, target.answer), _orders(side, answer), strict=True)
    )
    after = _for(side, answer.prob_a)
    stayed = _against(after, 0.5)
    return Move(key, comparison.prompt.id, family, before, after, stayed, (first, second))


def _orders(side: str, answer: Preference) -> tuple[float | None, float | None]:
    """How probable the judge found this side where it was shown first, and where second."""
    if answer.evidence is None:
        return None, None
    told = (answer.evidence.prob_a_first, answer.evidence.prob_a_second)
    first, second = told if side == "a" else reversed(told)
    return _known(side, first), _known(side, second)


def _known(side: str, prob_a: float | None) -> float | None:
    return None if prob_a is None else _for(side, prob_a)


def _for(side: str, prob_a: float) -> float:
    return prob_a if side == "a" else 1.0 - prob_a


def _against(value: float, limit: float) -> float:
    """1 below the limit, 0 above it."""
    return 0.5 if value == limit else float(value < limit)


def response(pair: Comparison, side: str) -> Response:
    """The text of this side, "a" or "b", alone beside its prompt."""
    return Response(prompt=pair.prompt, text=getattr(pair, side).text, id=f"{pair.id}/{side}")


def _scores(reward: Reward, judge: LanguageModel, responses: Sequence[Response]) -> list[Score]:
    found: list[Score] = []
    for begin in range(0, len(responses), max(judge.chunk, 1)):
        found += reward.score(responses[begin : begin + max(judge.chunk, 1)], judge)
    return found
