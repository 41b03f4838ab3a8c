"""Is the final answer right? Option letters where the prompt has options, numbers elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import final

from hrlaif.checks.choice import ChoiceLetter
from hrlaif.checks.number import Number
from hrlaif.checks.options import IN_PROMPT
from hrlaif.protocols import LanguageModel
from hrlaif.records import Prompt, Response, Verdict
from hrlaif.settings import Settings

_LETTER = re.compile(r"[\s(\[]*([A-Ja-j])[)\].:\s]*")


@final
class Answer(Settings):
    """Against each prompt's reference answer, by the check that fits the prompt."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; the judge is not asked."""
        by_choice, by_number = ChoiceLetter(), Number()
        return [
            (by_choice if _has_options(r.prompt) else by_number).check([r], judge)[0]
            for r in responses
        ]


def _has_options(prompt: Prompt) -> bool:
    """Whether options are in a column, or the reference is the letter of one in the text."""
    letter = _LETTER.fullmatch(prompt.reference_answer or "")
    if prompt.choices or letter is None:
        return bool(prompt.choices)
    listed = {found for m in prompt.messages for found in IN_PROMPT.findall(m.content)}
    return prompt.category == "multiple_choice" or {"A", "B", letter[1].upper()} <= listed
