"""How does a label of two fresh responses become a reward? As half its log-odds for each side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, final

from hrlaif.policy import candidates
from hrlaif.policy.staleness import compared
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Abstention, Comparison, Preference, Response, Score

_SURE = 1e-6  # log-odds of a certain label are infinite, which is no score


class _Pair(NamedTuple):
    comparison: Comparison
    shares: tuple[tuple[Response, float], ...]
    """The sides that get a score, and how much of the label's log-odds."""


@final
class Judged(NamedTuple):
    """A reward that compares: of two responses to a prompt, side by side, r_a - r_b = logit(p).

    A response alone is compared with the SFT policy's answer to the same prompt, its reward is the
    log-odds of being better. A pair on which the labeler abstains has no score on either side.
    Equal texts are a tie that the judge is not asked about: no failure, and nothing to learn.
    """

    labeler: Labeler
    folder: Path
    """The policy's, where the SFT policy's answers to the validation prompts lie."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response, in order."""
        if judge is None:
            raise ValueError("labels need a judge")
        found: dict[str, Score] = {}
        pairs: list[_Pair] = []
        for _, group in groupby(responses, key=lambda response: response.prompt.id):
            several = list(group)
            for a, b in zip(several[0::2], several[1::2], strict=False):
                pairs.append(_Pair(compared(a, b), ((a, 0.5), (b, -0.5))))
            for last in several[len(several) // 2 * 2 :]:
                before = self._before(last)
                if before is None:
                    found[last.key] = _score(last, None, "no response to compare with")
                else:
                    pairs.append(_Pair(compared(last, before), ((last, 1.0),)))
        asked = [pair.comparison for pair in pairs if not pair.comparison.identical]
        answers = self.labeler.label(asked, judge) if asked else []
        told = dict(zip((comparison.id for comparison in asked), answers, strict=True))
        for comparison, shares in pairs:
            for response, share in shares:
                found[response.key] = _of(response, told.get(comparison.id), share)
        return [found[response.key] for response in responses]

    def _before(self, response: Response) -> Response | None:
        """The SFT policy's answer: itself before the first step, None to a training prompt."""
        if not candidates.stored(self.folder, 0):
            return response
        known = {r.prompt.id: r for r in candidates.load(self.folder, 0)}
        return known.get(response.prompt.id)


def _of(response: Response, answer: Preference | Abstention | None, share: float) -> Score:
    if answer is None:
        return _score(response, 0.0)
    if isinstance(answer, Abstention):
        return _score(response, None, answer.reason)
    prob = min(max(answer.prob_a, _SURE), 1 - _SURE)
    return _score(response, share * (math.log(prob) - math.log1p(-prob)))


def _score(response: Response, value: float | None, reason: str = "") -> Score:
    return Score(id=response.key, value=value, scorer="judged", reason=reason)
