"""Do tokens, texts and rewards of a step belong together?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch

from hrlaif.errors import DataError, TooManyAbstentions
from hrlaif.llm import Local
from hrlaif.policy.actor import Actor
from hrlaif.policy.rollouts import Asked, Batch, Draw, Rollout, Scorer, respond, rewarded
from hrlaif.policy.settings import Sampling
from hrlaif.protocols import LanguageModel
from hrlaif.records import Chat, Completion, Prompt, Response, Score
from hrlaif.settings import Compute, Settings, using
from hrlaif.transformer import forward, generate
from hrlaif.transformer.load import load_causal


class Fixed(Settings):
    """These values, in order."""

    values: tuple[float | None, ...]
    ids: tuple[str, ...] = ()

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        ids = self.ids or tuple(r.key for r in responses)
        return [Score(id=i, value=v, scorer="fixed") for i, v in zip(ids, self.values, strict=True)]


def rollout(prompt: Prompt, tokens: list[int], sample: int = 0) -> Rollout:
    ended = tokens[-1] == 25
    response = Response(
        prompt=prompt, text="", sample=sample, finish_reason="stop" if ended else "length"
    )
    logprobs = [-float(token) for token in tokens]
    return Rollout(response, sample, forward.Sequence([26, 0, *tokens], 2), logprobs)


def test_responses_lie_side_by_side_with_their_prompt_and_end_token(
    prompts: list[Prompt], start: Path
) -> None:
    actor = Actor(load_causal(start, train=True), None, value="none", seed=0)
    asked = [Asked(prompts[0], [26, 1]), Asked(prompts[1], [26, 2, 3])]
    found = respond(actor, asked, Draw(0.9, 12, samples=4, seed=5, model="policy@7"))
    assert [(r.group, r.response.sample) for r in found] == [
        (g, k) for g in (0, 1) for k in range(4)
    ]
    for r in found:
        written = r.sequence.tokens[r.sequence.start :]
        assert r.sequence.tokens[: r.sequence.start] == asked[r.group].tokens
        assert len(written) == len(r.logprobs) == r.response.tokens
        assert r.ended == (written[-1] == 25)
        words = written[:-1] if r.ended else written
        names = [{24: "<unk>", 26: "<s>"}.get(word, f"w{word}") for word in words]
        assert r.response.text.split() == names
    assert found[0].response.key == "p0/policy@7/0"
    assert {r.ended for r in found} == {True, False}


@pytest.mark.parametrize(
    ("tokens", "reason", "text"),
    [([1, 26, 24, 2, 25], "stop", "w1 <s> <unk> w2"), ([26, 3], "length", "<s> w3")],
)
def test_what_the_reward_reads_is_what_the_same_model_says_elsewhere_special_tokens_included(
    tokens: list[int],
    reason: Literal["stop", "length"],
    text: str,
    prompts: list[Prompt],
    start: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = [generate.Sampled(tokens, reason, [0.0] * len(tokens))]
    monkeypatch.setattr(generate, "generate", lambda *given, **how: written)
    actor = Actor(load_causal(start, train=True), None, value="none", seed=0)
    found = respond(actor, [Asked(prompts[0], [26, 1])], Draw(0.0, 12))[0].response
    chats = [Chat(messages=prompts[0].messages)]
    (said,) = Local(path=str(start)).generate(chats, temperature=0, max_tokens=12)
    assert isinstance(said, Completion)
    assert found.text == said.text == text
    assert found.finish_reason == said.finish_reason == reason


def test_a_fixed_reward_for_cut_responses_replaces_theirs_and_no_other(
    prompts: list[Prompt],
) -> None:
    rollouts = [rollout(prompts[0], t, k) for k, t in enumerate(([1, 25], [1, 2], [3, 4]))]
    scorer = Scorer(Fixed(values=(1.0, 2.0, None)))
    plain = rewarded(rollouts, scorer, Sampling(max_unscored=0.5))
    assert [value for _, value in plain] == [1.0, 2.0, None]
    # Also without a score: a check has none for what is cut, and a policy that never ends would pay
    # nothing. What has its value is not missing either.
    fixed = rewarded(rollouts, scorer, Sampling(max_unscored=0, truncated_reward=-1.5))
    assert [value for _, value in fixed] == [1.0, -1.5, -1.5]
    all_cut = rewarded(rollouts[2:], Scorer(Fixed(values=(None,))), Sampling(truncated_reward=-1.5))
    assert [value for _, value in all_cut] == [-1.5]


def test_a_response_that_the_model_failed_to_give_has_no_fixed_reward(
    prompts: list[Prompt],
) -> None:
    cut, failed = (rollout(prompts[0], [1, 2], k) for k in range(2))
    failed = failed._replace(response=failed.response.model_copy(update={"finish_reason": "error"}))
    scorer = Scorer(Fixed(values=(0.5, None)))
    found = rewarded([cut, failed], scorer, Sampling(max_unscored=0.5, truncated_reward=-1.5))
    assert [value for _, value in found] == [-1.5, None]


def test_a_reward_that_is_not_a_number_is_no_score(prompts: list[Prompt]) -> None:
    rollouts = [rollout(prompts[0], [1, 25], k) for k in range(2)]
    found = rewarded(
        rollouts, Scorer(Fixed(values=(float("nan"), 1.0))), Sampling(max_unscored=0.5)
    )
    assert [value for _, value in found] == [None, 1.0]


def test_a_step_without_any_score_stops_whatever_share_is_allowed(prompts: list[Prompt]) -> None:
    with pytest.raises(TooManyAbstentions, match="1 of 1 responses"):
        rewarded(
            [rollout(prompts[0], [25])], Scorer(Fixed(values=(None,))), Sampling(max_unscored=1)
        )


def test_scores_of_other_responses_are_refused(prompts: list[Prompt]) -> None:
    with pytest.raises(DataError, match="in order"):
        Scorer(Fixed(values=(1.0,), ids=("other",))).score([rollout(prompts[0], [25]).response])


@pytest.mark.parametrize("budget", [4096, 7, 1])
def test_the_flat_batch_is_in_the_order_of_the_rollouts_whatever_the_micro_batches(
    budget: int, prompts: list[Prompt]
) -> None:
    rollouts = [rollout(prompts[0], t, k) for k, t in enumerate(([1, 25], [2, 3, 4, 25], [5]))]
    with using(Compute(batch_tokens=budget)):
        batch = Batch.of([(r, float(r.group)) for r in rollouts], torch.device("cpu"))
        said = batch.each(
            lambda part: torch.tensor([-float(t) for s in part for t in s.tokens[s.start :]])
        )
    assert batch.old is not None
    assert batch.rows.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert batch.old.tolist() == [-1, -25, -2, -3, -4, -25, -5]
    assert torch.equal(said, batch.old)


@pytest.mark.parametrize("budget", [4096, 7, 1])
def test_the_responses_to_a_prompt_stay_in_one_micro_batch_side_by_side(
    budget: int, prompts: list[Prompt]
) -> None:
    rollouts = [rollout(prompts[0], [1 + n, 25], k) for k in range(3) for n in range(2)]
    with using(Compute(batch_tokens=budget)):
        batch = Batch.of([(r, 0.0) for r in rollouts], torch.device("cpu"))
        parts = [part.responses for part in batch.parts()]
        some = [part.responses for part in batch.parts([0, 1, 4, 5])]
    pairs = {tuple(part[n : n + 2]) for part in parts for n in range(0, len(part), 2)}
    assert pairs == {(0, 1), (2, 3), (4, 5)}
    assert sorted(i for part in some for i in part) == [0, 1, 4, 5]


def test_minibatches_are_whole_prompts_each_once_and_the_same_for_a_seed(
    prompts: list[Prompt],
) -> None:
    rollouts = [rollout(prompts[0], [1, 25], k) for k in range(5) for _ in range(2)]
    batch = Batch.of([(r, 0.0) for r in rollouts], torch.device("cpu"))
    found = batch.minibatches(2, seed=3)
    assert found == batch.minibatches(2, seed=3)
    assert found != batch.minibatches(2, seed=4)
    assert sorted(map(len, found)) == [4, 6]
    assert sorted(i for part in found for i in part) == list(range(10))
    assert all({i ^ 1 for i in part} == set(part) for part in found)
    assert len(batch.minibatches(9, seed=0)) == 5  # no empty ones
