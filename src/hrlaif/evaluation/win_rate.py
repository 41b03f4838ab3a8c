"""How often is the policy's answer better than the baseline's?

a is the baseline, b the policy. A win is the labeler's probability that b is better, after both
orders were asked (RLAIF arXiv 2309.00267, evaluation). What the labeler did not answer is left
out and counted by reason; only two responses of identical text count as a tie unasked. Such ties
are no verdicts: where there is nothing else, nothing is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import final

from hrlaif.errors import DataError
from hrlaif.evaluation.difficulty import Difficulty, estimated
from hrlaif.messages import spoken
from hrlaif.progress import say
from hrlaif.protocols import Labeler, LanguageModel, pairs_at_once
from hrlaif.reasons import counted
from hrlaif.records import Abstention, Candidate, Comparison, Preference, Prompt, Response, Row
from hrlaif.run import map_rows
from hrlaif.statistics import (
    NOTHING,
    Contest,
    Figure,
    LengthControlled,
    Measured,
    clusters,
    lc_minimal,
    lc_ratio,
    mean,
)

Answer = Preference | Abstention
NO_CATEGORY = "none"
PARTIAL = "comparisons.jsonl.partial"
Names = tuple[str, str, str]
"""What a statement calls b, a, and the case in which neither is better."""
OF_A_RUN: Names = ("The policy", "the baseline", "no change")


@final
class WinRate(Measured):
    """Wins of the policy (b) over the baseline (a)."""

    overall: Figure
    """Mean probability that the policy's response is better."""
    hard: Figure
    """Share of comparisons won; a probability of exactly 0.5 is half a win."""
    by_category: dict[str, Figure]
    """NOTHING where no verdict is: identical texts alone."""
    length_controlled: LengthControlled
    length_ratio: LengthControlled
    length_difficulty: LengthControlled | None = None
    """Where the difficulty of the prompts is given."""
    length_alpaca_v1: LengthControlled | None = None
    """Where the gamed rows of AlpacaEval are given, too."""
    same_position: Figure
    """Share in which the two orders name different winners: the judge followed the position."""
    characters: dict[str, Figure]
    """Mean length of the baseline's and the policy's responses."""
    tokens: dict[str, Figure]
    identical: int
    """Comparisons of two identical texts, counted as ties without a verdict."""
    abstentions: dict[str, int]
    """Comparisons without a verdict by reason; they are in no figure above."""
    abstained_share: float = 0.0
    """Of the comparisons of different texts, the share without a verdict."""
    asked: int
    unmatched: int = 0
    """Responses with no partner in the other list."""
    truncated: int = 0
    """Comparisons with a verdict in which a prompt or response was cut for the judge."""
    labeler: str = ""
    statement: str = ""


def pair(baseline: Sequence[Response], policy: Sequence[Response]) -> list[Comparison]:
    """Comparisons a = baseline, b = policy: same prompt id, the nth sample with the nth.

    Of ids that are in one list alone, prompts of the same turns are the same; their id is then the
    baseline's. Raises DataError when no prompt is in both, or when one id stands for two prompts.
    """
    comparisons = _paired(baseline, policy, lambda r: r.prompt.id)
    both = {r.prompt.id for r in baseline} & {r.prompt.id for r in policy}
    rest = [[r for r in side if r.prompt.id not in both] for side in (baseline, policy)]
    by_text = _paired(rest[0], rest[1], lambda r: r.prompt.messages)
    if not comparisons and not by_text:
        raise DataError(
            "no prompt is in both lists, by its id or its text: answer the same prompts with both "
            "models"
        )
    if by_text:
        which = "some prompt ids are in one list alone" if both else "no prompt id is in both lists"
        say(f"{which}: prompts of the same text are taken for the same")
    return comparisons + by_text


def _paired(
    baseline: Sequence[Response], policy: Sequence[Response], key: Callable[[Response], Hashable]
) -> list[Comparison]:
    theirs = _grouped(policy, key)
    comparisons = []
    for same, ours in _grouped(baseline, key).items():
        name = ours[0].prompt.id
        for number, (a, b) in enumerate(zip(ours, theirs.get(same, []), strict=False)):
            if a.prompt.messages != b.prompt.messages:
                raise DataError(
                    f"id {name!r} is a different prompt in the two lists: "
                    "answer the same prompts with both models"
                )
            comparisons.append(
                Comparison(
                    id=f"{name}/{number}" if number else name,
                    prompt=_one_prompt(a.prompt, b.prompt, name),
                    a=Candidate.of(a),
                    b=Candidate.of(b),
                )
            )
    return comparisons


def _one_prompt(one: Prompt, other: Prompt, name: str) -> Prompt:
    """The same prompt in two files, with what either knows of it."""
    known = {k: v for k, v in other.model_dump().items() if getattr(one, k) is None}
    return one.model_copy(update={**known, "id": name})


def _grouped(
    responses: Sequence[Response], key: Callable[[Response], Hashable]
) -> dict[Hashable, list[Response]]:
    groups: dict[Hashable, list[Response]] = defaultdict(list)
    for response in sorted(responses, key=lambda r: r.sample):
        groups[key(response)].append(response)
    return groups


def ask(
    comparisons: Sequence[Comparison],
    labeler: Labeler,
    judge: LanguageModel,
    partial: Path | None = None,
) -> list[Answer]:
    """One answer a comparison; with `partial`, each chunk is saved and a killed run goes on."""
    if partial is None:
        return labeler.label(comparisons, judge)
    rows = map_rows(
        partial,
        comparisons,
        lambda group: labeler.label(group, judge),
        chunk=pairs_at_once(judge, labeler),
        key=lambda comparison: comparison.id,
        what="compare",
        unit="pairs",
    )
    return [answer_from(row) for row in rows]


def answer_from(row: Row) -> Answer:
    """A row of comparisons.jsonl: an abstention is a row without `prob_a`."""
    return Preference.from_row(row) if "prob_a" in row else Abstention.from_row(row)


def win_rate(
    baseline: Sequence[Response],
    policy: Sequence[Response],
    labeler: Labeler,
    judge: LanguageModel,
    *,
    seed: int = 0,
) -> tuple[WinRate, list[Answer]]:
    """Pairs, asks and summarises; the answers are the rows of comparisons.jsonl."""
    answers = ask(pair(baseline, policy), labeler, judge)
    unmatched = len(baseline) + len(policy) - 2 * len(answers)
    return summarise(answers, unmatched=unmatched, seed=seed), answers


def summarise(
    answers: Sequence[Answer],
    *,
    unmatched: int = 0,
    known: Difficulty | None = None,
    names: Names = OF_A_RUN,
    seed: int = 0,
) -> WinRate:
    """The figures of already given answers; intervals are clustered by prompt."""
    wins = [(answer, win) for answer in answers if (win := won(answer)) is not None]
    soft = [win for _, win in wins]
    prompts = clusters([answer.comparison.prompt for answer, _ in wins])
    hard = [1.0 if win > 0.5 else 0.5 if win == 0.5 else 0.0 for win in soft]
    length_b = [float(len(spoken(answer.comparison.b.text))) for answer, _ in wins]
    length_a = [float(len(spoken(answer.comparison.a.text))) for answer, _ in wins]
    silent = [a for a in answers if isinstance(a, Abstention) and won(a) is None]
    identical = sum(isinstance(answer, Abstention) for answer, _ in wins)
    told = len(wins) - identical
    overall = mean(soft, clusters=prompts, share=True, seed=seed)
    return WinRate(
        overall=overall,
        hard=mean(hard, clusters=prompts, share=True, seed=seed),
        by_category=_by_category(wins, prompts, seed),
        length_controlled=lc_minimal(soft, length_b, length_a, clusters=prompts, seed=seed),
        length_ratio=lc_ratio(soft, length_b, length_a, clusters=prompts, seed=seed),
        **estimated(Contest(soft, length_b, length_a, prompts), known, seed=seed),
        same_position=same_position(answers, seed=seed),
        characters={
            "baseline": mean(length_a, clusters=prompts, seed=seed),
            "policy": mean(length_b, clusters=prompts, seed=seed),
        },
        tokens={
            "baseline": _tokens([answer.comparison.a for answer, _ in wins], prompts, seed),
            "policy": _tokens([answer.comparison.b for answer, _ in wins], prompts, seed),
        },
        identical=identical,
        abstentions=counted(answer.reason for answer in silent),
        abstained_share=len(silent) / max(len(answers) - identical, 1),
        asked=len(answers),
        unmatched=unmatched,
        truncated=cut(answers),
        labeler=answers[0].labeler if answers else "",
        statement=statement(overall if told else NOTHING, names),
    )


def won(answer: Answer) -> float | None:
    """Probability that b is better; None where nobody said so."""
    if isinstance(answer, Preference):
        return 1.0 - answer.prob_a
    return 0.5 if answer.comparison.identical else None


def cut(answers: Sequence[Answer]) -> int:
    """How many verdicts are on texts that were longer than the judge is shown."""
    said = (answer.evidence for answer in answers if isinstance(answer, Preference))
    return sum(evidence is not None and evidence.truncated for evidence in said)


def statement(overall: Figure, names: Names = OF_A_RUN) -> str:
    """The win rate in words, or that it says nothing."""
    this, other, neither = names
    if overall.value is None or overall.low is None or overall.high is None:
        return "Too few verdicts to say anything."
    value, low, high = (100 * x for x in (overall.value, overall.low, overall.high))
    shown = f"{value:.1f} % (95 % interval {low:.1f} to {high:.1f})"
    if not overall.excludes(0.5):
        return f"{this}'s win rate is {shown}: not distinguishable from {neither}."
    better = "better" if overall.value > 0.5 else "worse"
    return f"{this}'s win rate is {shown}: {better} than {other} in this judge's eyes."


def same_position(answers: Sequence[Answer], *, seed: int = 0) -> Figure:
    """Share of flipped verdicts among those asked in both orders."""
    both = [
        (a.comparison.prompt, float(a.evidence.flipped))
        for a in answers
        if isinstance(a, Preference) and a.evidence and a.evidence.flipped is not None
    ]
    flips = [flipped for _, flipped in both]
    return mean(flips, clusters=clusters([prompt for prompt, _ in both]), share=True, seed=seed)


def _by_category(
    wins: Sequence[tuple[Answer, float]], prompts: Sequence[str], seed: int
) -> dict[str, Figure]:
    groups: Mapping[str, list[tuple[str, float]]] = defaultdict(list)
    judged = set()
    for (answer, win), prompt in zip(wins, prompts, strict=True):
        name = answer.comparison.prompt.category or NO_CATEGORY
        groups[name].append((prompt, win))
        if isinstance(answer, Preference):
            judged.add(name)
    return {
        name: mean([w for _, w in rows], clusters=[p for p, _ in rows], share=True, seed=seed)
        if name in judged
        else NOTHING
        for name, rows in sorted(groups.items())
    }


def _tokens(sides: Sequence[Candidate], prompts: Sequence[str], seed: int) -> Figure:
    known = [(s.tokens, p) for s, p in zip(sides, prompts, strict=True) if s.tokens is not None]
    names = [prompt for _, prompt in known]
    return mean([float(tokens) for tokens, _ in known], clusters=names, seed=seed)
