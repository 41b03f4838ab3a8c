"""Is the reward's agreement with the judge what one counts by hand, and does a refresh resume?"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hrlaif import scoring
from hrlaif.config import Config
from hrlaif.errors import TooManyAbstentions
from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.policy import Policy, Staleness, candidates
from hrlaif.policy.loop import train
from hrlaif.policy.rollouts import Scorer
from hrlaif.policy.staleness import Renewal, Watch, agreement, is_stale
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import (
    Abstention,
    Comparison,
    Message,
    Preference,
    Prompt,
    Response,
    Score,
)
from hrlaif.settings import Settings
from hrlaif.training import metrics

PROMPT = Prompt(id="q", messages=(Message(role="user", content="Q"),))


class Count(Settings):
    """How often a word stands in a response, times `factor`; none for texts that say `unknown`."""

    word: str = "w7"
    factor: float = 1.0

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        return [Score(id=r.key, value=self.value(r.text), scorer="count") for r in responses]

    def value(self, text: str) -> float | None:
        return None if "unknown" in text else self.factor * text.split().count(self.word)


class Longer(Settings):
    """Prefers the longer text with 0.8; abstains where one says `silent`."""

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        return [self._one(c) for c in comparisons]

    def _one(self, c: Comparison) -> Preference | Abstention:
        if "silent" in c.a.text + c.b.text:
            return Abstention(comparison=c, labeler="longer", reason="silent")
        gap = len(c.a.text) - len(c.b.text)
        prob_a = 0.5 if gap == 0 else 0.8 if gap > 0 else 0.2
        return Preference(comparison=c, prob_a=prob_a, labeler="longer")


def pair(a: str, b: str, number: int = 0) -> tuple[Response, Response]:
    prompt = PROMPT.model_copy(update={"id": f"q{number}"})
    sides = [Response(prompt=prompt, text=t, sample=k) for k, t in enumerate((a, b))]
    return sides[0], sides[1]


def test_agreement_is_counted_by_hand_and_what_is_unknown_left_out() -> None:
    pairs = [
        pair("w7 w7 w7", "w7"),  # both prefer a
        pair("w7", "w7 w7 w7"),  # both prefer b
        pair("w7 w7", "w1 w1 w1 w1"),  # the reward a, the judge b
        pair("w1", "w2 w2"),  # equal rewards: half right
        pair("w7", "w1"),  # the judge has a tie
        pair("same", "same"),
        pair("unknown", "w7"),
        pair("silent", "w7"),
    ]
    pairs = [pair(a.text, b.text, n) for n, (a, b) in enumerate(pairs)]
    found = agreement(pairs, Count(), Longer(), Scripted())
    assert found["agreement"]["value"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found["agreement"]["n"] == found["judged"] == 4
    assert found["agreement"]["low"] < 0.625 < found["agreement"]["high"]
    assert found["expected"]["value"] == pytest.approx((0.8 + 0.8 + 0.2 + 0.5 + 0.5) / 5)
    counts = {k: found[k] for k in ("identical", "unscored", "abstained", "ties")}
    assert counts == {"identical": 1, "unscored": 1, "abstained": 1, "ties": 1}


def test_swapping_the_two_responses_of_each_pair_changes_nothing() -> None:
    texts = [("w7 w7 w1", "w1"), ("w1", "w7 w7"), ("w7", "w1 w1 w1"), ("w2 w7", "w2 w2 w2")]
    one = agreement([pair(a, b) for a, b in texts], Count(), Longer(), Scripted())
    other = agreement([pair(b, a) for a, b in texts], Count(), Longer(), Scripted())
    assert one["agreement"]["value"] == other["agreement"]["value"]
    assert one["expected"]["value"] == pytest.approx(other["expected"]["value"])


def test_an_inverted_reward_is_stale_and_few_verdicts_say_nothing() -> None:
    pairs = [pair("w7 " * (n + 2), "w7", n) for n in range(6)]
    how = Staleness(threshold=0.55)
    assert not is_stale(agreement(pairs, Count(), Longer(), Scripted()), how)
    upside_down = Count(factor=-1.0)
    assert is_stale(agreement(pairs, upside_down, Longer(), Scripted()), how)
    assert not is_stale(agreement(pairs[:4], upside_down, Longer(), Scripted()), how)
    nothing = agreement([], Count(), Longer(), Scripted())
    assert (nothing["agreement"]["value"], nothing["judged"]) == (None, 0)
    assert not is_stale(nothing, how)


def settings(**staleness: Any) -> Policy:
    return Policy.parse(
        {
            "steps": 4,
            "sampling": {"prompts_per_step": 4, "samples_per_prompt": 3, "max_tokens": 8},
            "lora": {"rank": 4, "alpha": 8},
            "optimizer": {"learning_rate": 1e-2, "schedule": "constant"},
            "validation": {"every": 4},
            "checkpoints": {"every": 2},
            "staleness": {"every": 2, "pairs": 8, "threshold": 0.95, **staleness},
        }
    )


class Killed(BaseException):
    """Stands for the end of the process."""


class Deadly(Count):
    """Ends the process when it is asked."""

    def score(self, responses: Any, judge: Any) -> Any:
        raise Killed


class Graded(Count):
    """Counts words, and keeps who was asked for it."""

    asked: list[str] = []  # noqa: RUF012

    def score(self, responses: Any, judge: Any) -> Any:
        self.asked.append(judge.name)
        return super().score(responses, judge)


def test_with_peoples_labels_the_runs_judge_grades_and_the_evaluations_judge_labels(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    config = Config.parse(
        {
            "judge": {"kind": "scripted", "seed": 1},
            "evaluation": {"judge": {"kind": "scripted", "seed": 2}},
            "labeling": {"labeler": "human", "pairs": "pairs.jsonl"},
            "policy": settings(every=4).model_dump(mode="json"),
        }
    )
    reward = Graded()
    watch = scoring.watch_of(config, tmp_path, reward, "base")
    assert watch is not None
    assert watch.judge == Scripted(seed=2)
    folder = tmp_path / "policy"
    more: dict[str, Any] = {"validation": prompts[6:], "watch": watch, "seed": 1}
    scorer = Scorer(watch, config.judge)
    train(settings(every=4), prompts[:6], scorer, start=start, folder=folder, **more)
    assert set(reward.asked) == {Scripted(seed=1).name}
    assert len(reward.asked) > 4  # both in training and by the watch


class Learner:
    """Trains nothing: its reward counts another word for each label that it was given."""

    def __init__(self, dies: str = "") -> None:
        self.dies = dies

    def train(self, told: Sequence[Preference], out: Path) -> None:
        if self.dies == "in the refresh":
            raise Killed
        out.mkdir(exist_ok=True)
        (out / "reward.json").write_text(json.dumps({"word": f"w{len(told)}"}))

    def at(self, out: Path) -> Count:
        if self.dies == "after the refresh":
            return Deadly()
        return Count.parse(json.loads((out / "reward.json").read_text()))


def run(
    how: Policy,
    prompts: list[Prompt],
    start: Path,
    folder: Path,
    *,
    learner: Learner | None,
    labeler: Labeler | None = None,
    max_abstentions: float = 1.0,
) -> list[dict[str, Any]]:
    renewal = Renewal(learner.train, learner.at) if learner else None
    judge, labeler = Scripted(seed=5), labeler or Pairwise()
    given: dict[str, Any] = {"renewal": renewal, "max_abstentions": max_abstentions}
    watch = Watch(Count(), labeler, judge, folder, seed=1, **given)
    more: dict[str, Any] = {"validation": prompts[6:], "watch": watch, "seed": 1}
    train(how, prompts[:6], Scorer(watch, judge), start=start, folder=folder, **more)
    return metrics.read(folder / "staleness.jsonl")


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def test_the_run_looks_before_the_first_step_every_so_often_and_after_the_last(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    rows = run(settings(every=3), prompts, start, tmp_path, learner=None)
    assert [row["step"] for row in rows] == [0, 3, 4]
    assert all(row["refreshed"] is None for row in rows)
    asked = ("judged", "identical", "unscored", "abstained", "ties")
    assert all(sum(row[k] for k in asked) == 8 for row in rows)  # two pairs to each of 4 prompts
    assert run(settings(every=3), prompts, start, tmp_path, learner=None) == rows


def test_a_stale_reward_learns_from_fresh_labels_and_the_run_goes_on_with_it(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(then="refresh", refresh_pairs=5)
    rows = run(how, prompts, start, tmp_path, learner=Learner())
    assert [row["refreshed"] for row in rows] == [None, 2, None]  # never at the start or the end
    text = (tmp_path / "refresh_000002" / "preferences.jsonl").read_text()
    fresh = [json.loads(line) for line in text.splitlines()]
    assert len(fresh) == rows[1]["fresh_labels"] == 5
    assert all(row["a"]["model"] == "policy@2" for row in fresh)
    scored = metrics.read(tmp_path / "samples.jsonl")
    for row in scored:
        word = "w7" if row["step"] <= 2 else "w5"  # five labels: the word of the new reward
        assert row["reward"] == row["response"].split().count(word)


class Silent(Longer):
    """Of training prompts, which a refresh is labelled on, it judges so many pairs and no more."""

    judged: int = 0
    taught: tuple[str, ...]

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        fresh = [c for c in comparisons if c.prompt.id in self.taught]
        silent = {c.id for c in fresh[self.judged :]}
        return [
            Abstention(comparison=c, labeler="longer", reason="out of words")
            if c.id in silent
            else self._one(c)
            for c in comparisons
        ]


def test_a_refresh_without_any_label_is_none_and_leaves_the_reward_as_it_was(
    prompts: list[Prompt], start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = settings(then="refresh", refresh_pairs=5, every=1, at_most=1)
    silent = Silent(taught=tuple(prompt.id for prompt in prompts[:6]))
    rows = run(how, prompts, start, tmp_path, learner=Learner(), labeler=silent)
    assert [(row["stale"], row["refreshed"]) for row in rows[1:4]] == [(True, None)] * 3
    assert not any("fresh_labels" in row for row in rows)
    assert not list(tmp_path.glob("refresh_*/*"))
    assert capsys.readouterr().err.count("no fresh pair has a label: the reward stays") == 3
    for row in metrics.read(tmp_path / "samples.jsonl"):
        assert row["reward"] == row["response"].split().count("w7")


def test_a_labeler_that_is_too_silent_stops_a_refresh_and_is_asked_anew(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how, taught = settings(then="refresh", refresh_pairs=5), tuple(p.id for p in prompts[:6])
    silent, told = Silent(taught=taught, judged=1), Silent(taught=taught, judged=9)
    more: dict[str, Any] = {"learner": Learner(), "max_abstentions": 0.5}
    with pytest.raises(TooManyAbstentions, match=r"4 of 5 fresh pairs .*out of words.* 50% allow"):
        run(how, prompts, start, tmp_path, labeler=silent, **more)
    assert not (tmp_path / "refresh_000002" / "preferences.jsonl").exists()
    rows = run(how, prompts, start, tmp_path, labeler=told, **more)
    assert [(row["refreshed"], row.get("fresh_labels")) for row in rows] == [
        (None, None),
        (2, 5),
        (None, None),
    ]


@pytest.mark.parametrize("moment", ["in the refresh", "after the refresh"])
def test_a_run_killed_around_a_refresh_is_the_run_that_was_not(
    moment: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how, (whole, cut) = settings(then="refresh", refresh_pairs=5), (tmp_path / "1", tmp_path / "2")
    rows = run(how, prompts, start, whole, learner=Learner())
    assert [row["refreshed"] for row in rows] == [None, 2, None]
    with pytest.raises(Killed):
        run(how, prompts, start, cut, learner=Learner(dies=moment))
    assert run(how, prompts, start, cut, learner=Learner()) == rows
    for name in ("metrics.jsonl", "samples.jsonl", "validation.jsonl"):
        assert untimed(metrics.read(cut / name)) == untimed(metrics.read(whole / name))
    one, other = (load_file(f / "step_000004" / "weights.safetensors") for f in (whole, cut))
    assert all(torch.equal(one[key], other[key]) for key in one)


def rated(folder: Path, rewards: dict[int, float], refreshed: Sequence[int] = ()) -> None:
    for name in ("validation.jsonl", "staleness.jsonl"):
        (folder / name).unlink(missing_ok=True)
    for step, value in rewards.items():
        metrics.append(folder / "validation.jsonl", {"step": step, "reward_mean": value})
    for step in refreshed:
        metrics.append(folder / "staleness.jsonl", {"step": step, "refreshed": step})


def test_checkpoints_are_ranked_within_each_reward_and_the_last_is_judged(tmp_path: Path) -> None:
    rewards = {0: 0.0, 10: 2.0, 20: 3.0, 30: 2.5, 40: 0.1, 50: 0.4, 60: 0.2}
    rated(tmp_path, rewards)
    assert candidates.best(tmp_path, 4) == [10, 20, 30, 50]  # one reward: the highest
    rated(tmp_path, rewards, refreshed=[40])  # the step of a refresh is scored by the new reward
    assert candidates.best(tmp_path, 4) == [20, 40, 50, 60]
    assert candidates.best(tmp_path, 3) == [20, 50, 60]
    assert candidates.best(tmp_path, 1) == [60]
    rated(tmp_path, rewards, refreshed=[20, 50])
    assert candidates.best(tmp_path, 4) == [10, 20, 50, 60]


def test_what_is_judged_at_the_end_was_kept_all_the_while(tmp_path: Path) -> None:
    stream = random.Random(0)
    for _ in range(200):
        steps = range(10, 10 * stream.randint(3, 10), 10)
        made = [n for n in range(5, 100, 5) if stream.random() < 0.2]
        rewards = {step: stream.random() for step in steps}
        count, kept = stream.randint(1, 4), set(steps)
        for done in steps:
            seen = {step: rewards[step] for step in steps if step <= done}
            rated(tmp_path, seen, refreshed=[n for n in made if n <= done])
            kept -= {*seen} - {done, *candidates.best(tmp_path, count)}
        judged = candidates.best(tmp_path, count)
        assert set(judged) <= kept
        assert len(judged) == min(count, len(rewards))
