"""Is the final answer right? Option letters where the prompt has choices, numbers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from hrlaif.checks.choice import ChoiceLetter
from hrlaif.checks.number import Number
from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Verdict
from hrlaif.settings import Settings


@final
class Answer(Settings):
    """Against each prompt's reference answer, by the check that fits the prompt."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; the judge is not asked."""
        by_choice, by_number = ChoiceLetter(), Number()
        return [
            (by_choice if r.prompt.choices else by_number).check([r], judge)[0] for r in responses
        ]
