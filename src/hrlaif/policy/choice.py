"""Which checkpoint becomes the policy? The one that a judge prefers to the SFT policy most often.

RLAIF: several checkpoints with a high validation reward are compared with the SFT policy by an
off-the-shelf judge, because a policy can gain reward without getting better. The responses were
stored when each checkpoint was evaluated, so no policy is in memory while the judge is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hrlaif.errors import DataError, ModelError
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Candidate, Comparison, Preference, Response
from hrlaif.statistics import figures
from hrlaif.statistics.figures import Figure, Measured


class CandidateResult(Measured):
    """One checkpoint against the SFT policy."""

    step: int
    win_rate: Figure
    """Mean probability that the judge prefers it, over both orders; equal texts count 0.5."""
    identical: int
    """Prompts that it answers in exactly the words of the SFT policy: the judge is not asked."""
    abstained: int
    """Comparisons without a verdict; they are in no mean."""


class Choice(Measured):
    """The chosen checkpoint, and what it was chosen from."""

    chosen: int
    judge: str
    candidates: tuple[CandidateResult, ...]

    @property
    def abstained_share(self) -> float:
        """Of all comparisons that the judge was asked about; 0 where it was asked about none."""
        silent = sum(found.abstained for found in self.candidates)
        told = sum(found.win_rate.n - found.identical for found in self.candidates)
        return silent / max(silent + told, 1)


def choose(
    candidates: Mapping[int, Sequence[Response]],
    baseline: Sequence[Response],
    labeler: Labeler,
    judge: LanguageModel,
) -> Choice:
    """The step with the highest win rate, of equal ones the earliest: it moved the policy least.

    `candidates` are responses to the prompts of `baseline`, in order. All comparisons are asked at
    once. A step of which the judge was asked and said nothing is not chosen: equal texts are no
    verdicts. Raises DataError when prompts differ and ModelError when no verdict came back at all.
    """
    asked: list[Comparison] = []
    steps: list[int] = []
    identical = dict.fromkeys(candidates, 0)
    for step, responses in candidates.items():
        _same_prompts(step, responses, baseline)
        for ours, theirs in zip(responses, baseline, strict=True):
            comparison = _comparison(step, theirs, ours)
            if comparison.identical:
                identical[step] += 1
            else:
                asked.append(comparison)
                steps.append(step)
    wins: dict[int, list[float]] = {step: [0.5] * n for step, n in identical.items()}
    abstained = dict.fromkeys(candidates, 0)
    answers = labeler.label(asked, judge) if asked else []
    if asked and not any(isinstance(answer, Preference) for answer in answers):
        raise _silence()
    for step, answer in zip(steps, answers, strict=True):
        if isinstance(answer, Preference):
            wins[step].append(1.0 - answer.prob_a)  # a is the SFT policy's response
        else:
            abstained[step] += 1
    results = tuple(
        CandidateResult(
            step=step,
            win_rate=figures.mean(wins[step], share=True),
            identical=identical[step],
            abstained=abstained[step],
        )
        for step in sorted(candidates)
    )
    return Choice(chosen=_best(results), judge=judge.name, candidates=results)


def _best(results: Sequence[CandidateResult]) -> int:
    known = [
        (r.win_rate.value, -r.step)
        for r in results
        if r.win_rate.value is not None and not _untold(r)
    ]
    if not known:
        raise _silence()
    return -max(known)[1]


def _untold(result: CandidateResult) -> bool:
    return result.abstained > 0 and result.win_rate.n == result.identical


def _silence() -> ModelError:
    return ModelError(
        "the judge gave no verdict on any candidate checkpoint: look at its answers in the "
        "ledger (`hrlaif calls`), or name another judge"
    )


def _same_prompts(step: int, responses: Sequence[Response], baseline: Sequence[Response]) -> None:
    if [r.prompt.id for r in responses] != [r.prompt.id for r in baseline]:
        raise DataError(
            f"the responses of step {step} answer other prompts than those of the SFT policy: "
            "the validation prompts changed; redo the policy stage"
        )


def _comparison(step: int, theirs: Response, ours: Response) -> Comparison:
    return Comparison(
        id=f"{theirs.prompt.id}/step_{step:06d}",
        prompt=theirs.prompt,
        a=Candidate.of(theirs),
        b=Candidate.of(ours),
    )
