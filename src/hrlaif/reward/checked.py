"""Is the response right? A check's verdict as a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from hrlaif.checks import Answer, AnyCheck
from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Score, Verdict
from hrlaif.settings import Settings, kind_of


@final
class Checked(Settings):
    """One value for responses that pass, another for those that fail, none where no one knows."""

    check: AnyCheck = Answer()
    """Says what is right; `answer` reads numbers and option letters."""
    right: float = 1.0
    """Reward of a response that passes."""
    wrong: float = -1.0
    """Reward of one that fails."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; no value, with the check's reason, where it could not tell."""
        verdicts = self.check.check(responses, judge)
        name = f"checked/{kind_of(self.check)}"
        return [self._score(v, r.key, name) for v, r in zip(verdicts, responses, strict=True)]

    def _score(self, verdict: Verdict, key: str, scorer: str) -> Score:
        if verdict.passed is None:
            reason = verdict.reason or "the check gave no verdict"
            return Score(id=key, value=None, scorer=scorer, reason=reason)
        value = self.right if verdict.passed else self.wrong
        return Score(id=key, value=value, scorer=scorer, reason=verdict.reason)
