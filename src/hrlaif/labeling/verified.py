"""HRLAIF: which of two responses to a problem with a known answer is better?

Li et al., arXiv 2403.08309: a judge rewards style over correctness, so the final answers are
verified first, right is preferred over wrong, and only between right ones is the judge asked, for
the better reasoning. What the paper's public text leaves open is a setting here.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal, final

from pydantic import Field

from hrlaif.checks import AnyCheck, Number
from hrlaif.labeling.maths import prob_right_is_better
from hrlaif.labeling.pairing import Found
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import (
    Abstention,
    Candidate,
    Comparison,
    Evidence,
    Preference,
    Prompt,
    Response,
    Verdict,
)
from hrlaif.settings import Settings, kind_of, one_of

Asked = Annotated[Labeler, one_of(Pairwise)]
Path = Literal["ask", "abstain"]
RIGHT_OVER_WRONG = "right over wrong"
BOTH_RIGHT = "both right: the better reasoning"
BOTH_WRONG = "both wrong"
UNVERIFIABLE = "an answer cannot be verified"
NO_REFERENCE = "no reference answer"


@final
class Verified(Settings):
    """Right over wrong by a check; between right ones a judge says whose reasoning is better."""

    check: AnyCheck = Number()
    """Says whether a response is right."""
    softened: bool = False
    """Right over wrong counts 1; softened, it counts as much as the verdicts are sure."""
    reliability: float = Field(default=0.99, gt=0.5, le=1)
    """How often a verdict is right, where `softened` and the check does not say itself how sure it
    is (`same_answer` does)."""
    between_right_ones: Asked = Pairwise(task="reasoning")
    """Asked when both are right."""
    both_wrong: Path = "abstain"
    """`abstain`: good reasoning to a wrong answer teaches nothing; `ask`: `otherwise` labels it."""
    unverifiable: Path = "abstain"
    """When an answer cannot be read: it may be right, so the check says nothing; `ask` as above."""
    without_reference: Path = "ask"
    """When the prompt has no reference answer."""
    otherwise: Asked = Pairwise()
    """Asked on the paths above that say `ask`."""

    @property
    def rationale(self) -> bool:
        """Whether one of the two has reasons written first."""
        return any(
            getattr(one, "rationale", False) for one in (self.between_right_ones, self.otherwise)
        )

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """One answer a comparison, whose reason begins with the path that it took."""
        verdicts = self._verdicts(comparisons, judge)
        paths = [_path(a, b) for a, b in verdicts]
        asked: dict[int, Preference | Abstention] = {}
        for labeler, wanted in ((self.between_right_ones, True), (self.otherwise, False)):
            chosen = [
                n
                for n, path in enumerate(paths)
                if self._is_asked(path) and (path == BOTH_RIGHT) is wanted
            ]
            answers = labeler.label([comparisons[n] for n in chosen], judge)
            asked |= dict(zip(chosen, answers, strict=True))
        return [
            self._labelled(comparison, paths[n], verdicts[n], asked.get(n))
            for n, comparison in enumerate(comparisons)
        ]

    def verdicts(self, responses: Sequence[Response], judge: LanguageModel) -> list[Verdict]:
        """What the check finds in each response."""
        return self.check.check(responses, judge)

    def asks(self, prompt: Prompt, found: Found) -> bool:
        """Whether a judge is asked about a pair of which a check found this."""
        if None in found:
            return self.unverifiable == "ask"
        return found == {True} or (found == {False} and self.both_wrong == "ask")

    @property
    def name(self) -> str:
        """`verified/number`: stands in every row that needed no judge."""
        return f"verified/{kind_of(self.check)}"

    def _verdicts(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[tuple[Verdict, Verdict]]:
        """Of a and of b; each different response of a prompt is checked once."""
        responses: dict[Hashable, Response] = {}
        for comparison in comparisons:
            for side in (comparison.a, comparison.b):
                responses.setdefault(_key(comparison, side), _response(comparison, side))
        found = dict(zip(responses, self.verdicts(list(responses.values()), judge), strict=True))
        return [(found[_key(c, c.a)], found[_key(c, c.b)]) for c in comparisons]

    def _is_asked(self, path: str) -> bool:
        choices = {
            BOTH_RIGHT: "ask",
            BOTH_WRONG: self.both_wrong,
            UNVERIFIABLE: self.unverifiable,
            NO_REFERENCE: self.without_reference,
        }
        return choices.get(path) == "ask"

    def _labelled(
        self,
        comparison: Comparison,
        path: str,
        verdicts: tuple[Verdict, Verdict],
        answer: Preference | Abstention | None,
    ) -> Preference | Abstention:
        found = {side: _short(v) for side, v in zip("ab", verdicts, strict=True)}
        if isinstance(answer, Abstention):
            reason = f"{path}; {answer.reason}"
            return answer.model_copy(update={"reason": reason, "labeler": self._with(answer)})
        if answer is not None:
            evidence = answer.evidence and answer.evidence.model_copy(update={"verdicts": found})
            changes = {"reason": path, "labeler": self._with(answer), "evidence": evidence}
            return answer.model_copy(update=changes)
        if path != RIGHT_OVER_WRONG:
            why = [v.reason for v in verdicts if v.passed is None]
            reason = f"{path}: {why[0]}" if path == UNVERIFIABLE else path
            return Abstention(comparison=comparison, labeler=self.name, reason=reason)
        right, wrong = sorted(verdicts, key=lambda v: not v.passed)
        sure = prob_right_is_better(self._sure(right), self._sure(wrong)) if self.softened else 1.0
        return Preference(
            comparison=comparison,
            prob_a=round(sure if verdicts[0].passed else 1.0 - sure, 7),
            labeler=self.name,
            reason=path,
            evidence=Evidence(source="verified", verdicts=found),
        )

    def _with(self, answer: Preference | Abstention) -> str:
        return f"{self.name}+{answer.labeler}"

    def _sure(self, verdict: Verdict) -> float:
        return float(verdict.evidence.get("confidence", self.reliability))


def _path(a: Verdict, b: Verdict) -> str:
    if NO_REFERENCE in (a.reason, b.reason):
        return NO_REFERENCE
    if a.passed is None or b.passed is None:
        return UNVERIFIABLE
    if a.passed != b.passed:
        return RIGHT_OVER_WRONG
    return BOTH_RIGHT if a.passed else BOTH_WRONG


def _key(comparison: Comparison, side: Candidate) -> Hashable:
    """All that a check sees: prompts of one id may differ in turns, reference or choices."""
    return comparison.prompt, side.finish_reason, side.text


def _response(comparison: Comparison, side: Candidate) -> Response:
    return Response(prompt=comparison.prompt, **side.model_dump())


def _short(verdict: Verdict) -> dict[str, Any]:
    return {"passed": verdict.passed, "answer": verdict.answer, "reason": verdict.reason}
