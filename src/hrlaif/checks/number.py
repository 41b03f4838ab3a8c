"""Is the final number of a response the right one?

A currency and a unit are no part of a number: "$42" and "42 km" are 42. What a percent sign means
is declared in `percent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, final

from pydantic import Field

from hrlaif.checks.final import SYMBOLIC, final_number
from hrlaif.checks.numbers import Percent, numbers_in
from hrlaif.checks.spelled import spelled
from hrlaif.checks.symbolic import Symbolic
from hrlaif.checks.text import normal
from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Verdict
from hrlaif.settings import Settings


@final
class Number(Settings):
    """Reads the final number (last \\boxed, `####`, "the answer is", else the last number)."""

    tolerance: float = Field(default=1e-6, ge=0)
    """Relative; numbers nearer than this are equal."""
    percent: Percent = "unit"
    """`unit`: "42%" is 42, in responses and references; `hundredths`: it is 0.42."""
    symbolic: Symbolic | None = None
    """Set (`{}` is enough), math-verify compares what is no plain number, such as "2\\sqrt{3}":
    `pip install 'hrlaif[math]'`. Left out, such answers have no verdict."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; the judge is not asked."""
        verdicts = [self._verdict(response) for response in responses]
        if self.symbolic is None:
            return verdicts
        return self.symbolic.settle(verdicts, [final_number(r.text).span for r in responses])

    def _verdict(self, response: Response) -> Verdict:
        reference = response.prompt.reference_answer
        passed, answer = None, None
        evidence: dict[str, Any] = {}
        if response.finish_reason == "error":
            reason = "the response is missing: its model gave none"
        elif reference is None:
            reason = "no reference answer"
        else:
            evidence = {"reference": reference}
            wanted = self._wanted(reference)
            given = final_number(response.text, self.percent)
            reason = given.reason
            if wanted is None:
                reason = f"the reference {reference!r} is not one number"
            elif given.value is not None:
                passed = self._equal(given.value, wanted)
                reason, answer = "equal" if passed else "different", shown(given.value)
        return Verdict(
            id=response.key,
            check="number",
            passed=passed,
            answer=answer,
            reason=reason,
            evidence=evidence,
        )

    def _wanted(self, reference: str) -> Fraction | None:
        if SYMBOLIC.search(normal(reference)):
            return None
        found = numbers_in(reference, self.percent) or numbers_in(spelled(reference), self.percent)
        return found[0] if len(found) == 1 else _after_equals(reference, self.percent)

    def _equal(self, given: Fraction, wanted: Fraction) -> bool:
        return abs(given - wanted) <= Fraction(self.tolerance) * max(Fraction(1), abs(wanted))


def _after_equals(reference: str, percent: Percent) -> Fraction | None:
    """x = 5 and 2 + 3 = 5 are 5; a set or an interval is no number."""
    _, equals, result = reference.rpartition("=")
    found = numbers_in(result, percent) if equals else []
    return found[0] if len(found) == 1 else None


def shown(value: Fraction) -> str:
    """As a person would write it: 72, 0.375, 1e+300."""
    if value.denominator == 1:
        return str(value.numerator)
    try:
        return f"{float(value):g}"
    except OverflowError:
        return str(value)
