"""A check of your own: a right answer to "which year?" may be off by a little.

    PYTHONPATH=examples hrlaif check examples/years.jsonl -o verdicts.jsonl --check own_check:Year

In a configuration, as what verifies the answers of a category:

    labeling:
      labeler:
        kind: hybrid
        by_category:
          history: {kind: verified, check: {kind: "own_check:Year", years: 2}}
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hrlaif import Response, Settings, Verdict
from hrlaif.protocols import LanguageModel


class Year(Settings):
    """Reads the only year that a response names."""

    years: int = 0
    """So many years off is still right."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; what names no year, or several, has none."""
        return [self._verdict(response) for response in responses]

    def _verdict(self, response: Response) -> Verdict:
        named = set(re.findall(r"\b[12]\d{3}\b", response.text))
        wanted = response.prompt.reference_answer
        passed, answer, reason = None, None, "not one year"
        if wanted is None:
            reason = "no reference answer"
        elif len(named) == 1:
            (answer,) = named
            passed = abs(int(answer) - int(wanted)) <= self.years
            reason = "equal" if passed else "different"
        return Verdict(id=response.key, check="year", passed=passed, answer=answer, reason=reason)
