"""Has the policy left its reward behind? A few fresh responses are judged again while RL runs.

A reward model learned on the SFT policy's responses; the policy moves on, and its word about what
it has never seen grows stale, which is the argument of d-RLAIF (Lee et al., arXiv 2309.00267,
section 3). Here that is measured: how often the reward and the judge prefer the same one of two
fresh responses. Where they part too far, the run says so, or has the reward learn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hrlaif.errors import TooManyAbstentions
from hrlaif.policy.actor import Actor
from hrlaif.policy.rollouts import MODEL, Asked, Draw, respond
from hrlaif.policy.settings import Policy, Staleness
from hrlaif.progress import say
from hrlaif.protocols import Labeler, LanguageModel, Reward, pairs_at_once
from hrlaif.records import (
    Abstention,
    Candidate,
    Comparison,
    Preference,
    Response,
    Row,
    Score,
    digest,
)
from hrlaif.rows.files import read_rows, write_rows
from hrlaif.run import map_rows
from hrlaif.statistics import mean, right
from hrlaif.training import metrics

LOG = "staleness.jsonl"
_LEAST = 5  # verdicts; fewer say nothing

Pair = tuple[Response, Response]


@dataclass(frozen=True)
class Renewal:
    """How the reward learns anew."""

    train: Callable[[Sequence[Preference], Path], None]
    """Trains it on the run's labels and these, into a folder; goes on where it stopped."""
    at: Callable[[Path], Reward]
    """The reward that `train` left in a folder."""


@dataclass(frozen=True)
class Seen:
    """What the watch sees of the run."""

    actor: Actor
    settings: Policy
    watched: Sequence[Asked]
    """Validation prompts; the training prompts where there are none."""
    trained: Sequence[Asked]

    def pairs(self, asked: Sequence[Asked], count: int, seed: int, step: int) -> list[Pair]:
        """So many pairs of fresh responses, drawn as in training, as many to each prompt."""
        how, asked = self.settings.sampling, asked[:count]
        each = 2 * -(-count // len(asked))
        draw = Draw(how.temperature, how.max_tokens, each, seed, f"{MODEL}@{step}")
        found = [rollout.response for rollout in respond(self.actor, asked, draw)]
        return list(zip(found[0::2], found[1::2], strict=True))


@final
class Watch:
    """The reward in force, compared with the judge now and then. It is a reward itself."""

    def __init__(
        self,
        reward: Reward,
        labeler: Labeler,
        judge: LanguageModel,
        folder: Path,
        *,
        seed: int = 0,
        renewal: Renewal | None = None,
        grader: LanguageModel | None = None,
        max_abstentions: float = 1.0,
    ) -> None:
        """`folder` is the policy's. Without a `renewal` a stale reward is only told.

        The `judge` labels; a reward that asks for grades asks the `grader`, where that is another.
        Above `max_abstentions` of the pairs that are labelled for a refresh, `look` raises
        TooManyAbstentions.
        """
        self.reward, self.labeler, self.judge = reward, labeler, judge
        self.grader, self.max_abstentions = grader or judge, max_abstentions
        self.folder, self.seed, self.renewal = folder, seed, renewal

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """By the reward in force."""
        return self.reward.score(responses, judge)

    def resume(self, done: int) -> None:
        """Puts the reward in force that was so after `done` steps."""
        metrics.cut(self.folder / LOG, after=done)
        made = [n for row in metrics.read(self.folder / LOG) if (n := row["refreshed"])]
        if made and self.renewal:
            self.reward = self.renewal.at(self._place(made[-1]))

    def look(self, seen: Seen, done: int) -> bool:
        """After `done` steps, if it is time: a row of staleness.jsonl, and a fresh reward if need
        be. Whether it was time."""
        how, last = seen.settings.staleness, done == seen.settings.steps
        if how is None or not (done % how.every == 0 or last):
            return False
        before = metrics.read(self.folder / LOG)
        if any(row["step"] == done for row in before):
            return False
        seed = int(digest([self.seed, "staleness", done], length=8), 16)
        pairs = seen.pairs(seen.watched or seen.trained, how.pairs, seed, done)
        row = agreement(pairs, self.reward, self.labeler, self.judge, grader=self.grader)
        row = {"step": done, **row, "stale": is_stale(row, how), "refreshed": None}
        if row["stale"]:
            say(
                f"  after {done} steps the reward and the judge agree on "
                f"{row['agreement']['value']:.0%} of {row['judged']} fresh pairs, less than "
                f"{how.threshold:.0%}: the reward is stale"
            )
            made = sum(bool(earlier["refreshed"]) for earlier in before)
            if self.renewal and done > 0 and not last and made < how.at_most:
                row |= self._refresh(self.renewal, seen, how, done)
        metrics.append(self.folder / LOG, row)
        return True

    def _refresh(self, renewal: Renewal, seen: Seen, how: Staleness, done: int) -> dict[str, Any]:
        """New labels of what the policy writes now, and a reward that has learned from them too.

        Without any label the reward stays, and that is no refresh.
        """
        out = self._place(done)
        path = out / "preferences.jsonl"
        if not path.exists():
            partial = path.with_name("preferences.jsonl.partial")
            labels = self._labels(seen, how, done, partial)
            if labels:
                write_rows(path, labels)
            partial.unlink()
            if not labels:
                say(f"  after {done} steps no fresh pair has a label: the reward stays as it is")
                return {}
        told = [Preference.from_row(row.values) for row in read_rows(path)]
        renewal.train(told, out)
        self.reward = renewal.at(out)
        say(f"  the reward has learned from {len(told)} fresh labels; RL goes on with it")
        return {"refreshed": done, "fresh_labels": len(told)}

    def _labels(self, seen: Seen, how: Staleness, done: int, partial: Path) -> list[Row]:
        """The labeler's word on fresh pairs, saved a chunk at a time; equal texts are not asked.

        Where too many have none, all are asked anew the next time.
        """
        seed = int(digest([self.seed, "refresh", done], length=8), 16)
        pairs = seen.pairs(seen.trained, how.refresh_pairs, seed, done)
        rows = map_rows(
            partial,
            [asked for a, b in pairs if not (asked := compared(a, b)).identical],
            lambda group: self.labeler.label(group, self.judge),
            chunk=pairs_at_once(self.judge, self.labeler),
            key=lambda comparison: comparison.id,
            what="label anew",
            unit="pairs",
        )
        silent = [row for row in rows if "prob_a" not in row]
        if len(silent) > self.max_abstentions * len(rows):
            partial.unlink()
            raise TooManyAbstentions(
                f"after {done} steps {len(silent)} of {len(rows)} fresh pairs have no label (the "
                f"first: {silent[0]['reason']}), more than the {self.max_abstentions:.0%} allowed: "
                "mend the judge and run the same command, or raise max_abstentions"
            )
        return [row for row in rows if "prob_a" in row]

    def _place(self, step: int) -> Path:
        return self.folder / f"refresh_{step:06d}"


def is_stale(row: dict[str, Any], how: Staleness) -> bool:
    """Whether the reward and the judge agree too seldom, on verdicts enough to say so."""
    found = row["agreement"]["value"]
    return found is not None and row["judged"] >= _LEAST and found < how.threshold


def agreement(
    pairs: Sequence[Pair],
    reward: Reward,
    labeler: Labeler,
    judge: LanguageModel,
    *,
    grader: LanguageModel | None = None,
) -> dict[str, Any]:
    """How often the reward and the judge prefer the same one, with n and a 95 % interval.

    Equal rewards agree by half. Left out, and counted: pairs of one text, pairs without a score on
    both sides, abstentions, and labels of exactly 0.5. `expected` is the judge's mean probability
    of the response that the reward prefers, which also says how faint its labels are.
    """
    differing = [(a, b) for a, b in pairs if a.text.strip() != b.text.strip()]
    asked_for = [response for pair in differing for response in pair]
    scores = reward.score(asked_for, grader or judge) if differing else []
    values = [score.value for score in scores]
    gaps = [
        None if x is None or y is None else x - y
        for x, y in zip(values[0::2], values[1::2], strict=True)
    ]
    known = [(pair, gap) for pair, gap in zip(differing, gaps, strict=True) if gap is not None]
    asked = [compared(a, b) for (a, b), _ in known]
    answers = labeler.label(asked, judge) if asked else []
    told = [
        (answer, gap)
        for answer, (_, gap) in zip(answers, known, strict=True)
        if isinstance(answer, Preference)
    ]
    decided = [(p, gap) for p, gap in told if p.prob_a != 0.5]
    hard = [right(_side(gap), p.prob_a) for p, gap in decided]
    soft = [_side(gap) * p.prob_a + (1 - _side(gap)) * (1 - p.prob_a) for p, gap in told]
    prompts = [p.comparison.prompt.id for p, _ in told]
    of_hard = [p.comparison.prompt.id for p, _ in decided]
    return {
        "agreement": mean(hard, clusters=of_hard, share=True).row(),
        "expected": mean(soft, clusters=prompts, share=True).row(),
        "judged": len(hard),
        "identical": len(pairs) - len(differing),
        "unscored": len(differing) - len(known),
        "abstained": sum(isinstance(answer, Abstention) for answer in answers),
        "ties": len(told) - len(decided),
    }


def _side(gap: float) -> float:
    """1 where the reward prefers a, 0 where b, 0.5 where neither."""
    return 0.5 if gap == 0 else float(gap > 0)


def compared(a: Response, b: Response) -> Comparison:
    """Two fresh responses to one prompt, as a labeler is asked of them."""
    return Comparison(
        id=f"{a.key} vs {b.key}", prompt=a.prompt, a=Candidate.of(a), b=Candidate.of(b)
    )
