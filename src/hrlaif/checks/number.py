"""Is the final number of a response the right one?

A currency and a unit are no part of a number: "$42" and "42 km" are 42. What a percent sign means
is declared in `percent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, final

from pydantic import Field

from hrlaif.checks.clauses import UNCLEAR
from hrlaif.checks.final import Final, final_number
from hrlaif.checks.numbers import Percent, numbers_in
from hrlaif.checks.plain import read
from hrlaif.checks.spelled import is_a_number_alone, spelled
from hrlaif.checks.symbolic import Symbolic
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Response, Verdict
from hrlaif.settings import Settings


@final
class Number(Settings):
    """Reads the final number (last \\boxed, `####`, "the answer is", else the last number)."""

    tolerance: float = Field(default=1e-6, ge=0)
    """Relative to the reference; numbers nearer than this are equal. Zero is exact."""
    percent: Percent = "unit"
    """`unit`: "42%" is 42, in responses and references; `hundredths`: it is 0.42."""
    symbolic: Symbolic | None = None
    """Set (`{}` is enough), math-verify compares what is no plain number, such as "2\\sqrt{3}":
    `pip install -e '.[math]'` in the clone. Left out, such answers have no verdict."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; the judge is not asked."""
        verdicts = [self._verdict(response) for response in responses]
        if self.symbolic is None:
            return verdicts
        return self.symbolic.settle(verdicts, [self._final(r).span for r in responses])

    def _verdict(self, response: Response) -> Verdict:
        reference = response.prompt.reference_answer
        passed, answer = None, None
        evidence: dict[str, Any] = {}
        if response.finish_reason == "error":
            reason = MISSING
        elif reference is None:
            reason = "no reference answer"
        else:
            evidence = {"reference": reference}
            wanted = self._wanted(reference)
            given = self._final(response)
            reason = given.reason
            if wanted is None:
                reason = f"the reference {reference!r} is not one number"
            elif given.value is not None:
                passed, reason, answer = self._compared(given, wanted)
        return Verdict(
            id=response.key,
            check="number",
            passed=passed,
            answer=answer,
            reason=reason,
            evidence=evidence,
        )

    def _final(self, response: Response) -> Final:
        return final_number(response.text, self.percent, cut=response.finish_reason == "length")

    def _wanted(self, reference: str) -> Fraction | None:
        """The one number that a reference says; x = 5 and 2 + 3 = 5 say 5, a set says none."""
        if not numbers_in(reference):
            worded = spelled(reference)
            reference = worded if is_a_number_alone(worded) else ""
        head, result = "", reference
        if len(numbers_in(reference)) > 1:
            head, equals, result = reference.rpartition("=")
            head += equals
        if len(numbers_in(result)) != 1:
            return None
        return read(result, head, self.percent, first=True, full=True).value

    def _compared(self, given: Final, wanted: Fraction) -> tuple[bool | None, str, str | None]:
        """A number that the response also rounds is right where either is: "1/6, about 0.167"."""
        assert given.value is not None
        if self._equal(given.value, wanted):
            return True, "equal", shown(given.value)
        if given.nearly is None or not self._equal(given.nearly, wanted):
            return False, "different", shown(given.value)
        # "2.5 ≈ 3" may say either.
        fine = given.twin == "fine"
        return (True, "equal", shown(given.nearly)) if fine else (None, UNCLEAR, None)

    def _equal(self, given: Fraction, wanted: Fraction) -> bool:
        return abs(given - wanted) <= Fraction(self.tolerance) * abs(wanted)


def shown(value: Fraction) -> str:
    """As a person would write it: 72, 0.375, 1e+300."""
    if value.denominator == 1:
        return str(value.numerator)
    try:
        return f"{float(value):g}"
    except OverflowError:
        return str(value)
