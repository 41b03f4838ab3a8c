"""What did the policy answer, and what was it worth?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from hrlaif.errors import DataError, TooManyAbstentions
from hrlaif.policy.actor import Actor
from hrlaif.policy.settings import Sampling
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Prompt, Response, Score
from hrlaif.transformer import forward, generate
from hrlaif.transformer.batches import of_trees
from hrlaif.transformer.tree import size

MODEL = "policy"


@final
class Asked(NamedTuple):
    """A prompt in words and in tokens."""

    prompt: Prompt
    tokens: list[int]


@final
class Rollout(NamedTuple):
    """One response in words and in tokens, with what the sampler thought of each token."""

    response: Response
    group: int
    """Which of the step's prompts it answers."""
    sequence: forward.Sequence
    """The prompt's tokens, then the response's, the end token included when there is one."""
    logprobs: list[float]

    @property
    def ended(self) -> bool:
        """Whether the policy ended its turn itself."""
        return self.response.finish_reason == "stop"


@final
class Scorer(NamedTuple):
    """A reward, and the judge that it asks, if it asks one."""

    reward: Reward
    judge: LanguageModel | None = None

    def score(self, responses: Sequence[Response]) -> list[Score]:
        """One score a response; raises DataError when the reward answers for others."""
        scores = self.reward.score(responses, self.judge)
        if [s.id for s in scores] != [r.key for r in responses]:
            raise DataError(
                f"{type(self.reward).__name__}.score must give one score a response, in order, "
                "with the response's key as id"
            )
        return scores


class Draw(NamedTuple):
    """How to answer a batch of prompts."""

    temperature: float
    max_tokens: int
    samples: int = 1
    seed: int = 0
    model: str = MODEL
    """Stands in the rows, such as `policy@20` for the policy after 20 steps."""


def respond(actor: Actor, asked: Sequence[Asked], draw: Draw) -> list[Rollout]:
    """The responses to each prompt, those to one prompt side by side; texts as `Local` has them."""
    wanted = [(group, k) for group in range(len(asked)) for k in range(draw.samples)]
    written = actor.sample(
        [asked[group].tokens for group, _ in wanted],
        generate.Sampling(draw.temperature, draw.max_tokens, draw.seed),
        samples=[k for _, k in wanted],
    )
    found = []
    for (group, k), sampled in zip(wanted, written, strict=True):
        prompt, tokens = asked[group]
        response = Response(
            prompt=prompt,
            text=sampled.text(actor.loaded.tokenizer),
            model=draw.model,
            sample=k,
            finish_reason=sampled.finish_reason,
            tokens=len(sampled.tokens),
        )
        sequence = forward.Sequence(tokens + sampled.tokens, len(tokens))
        found.append(Rollout(response, group, sequence, sampled.logprobs))
    return found


def rewarded(
    rollouts: Sequence[Rollout], scorer: Scorer, settings: Sampling
) -> list[tuple[Rollout, float | None]]:
    """Each rollout with its reward; None where there is no score, never a made-up number.

    A response that was cut is worth `truncated_reward`, where that is set, with a score or without:
    a policy that never ends would otherwise pay nothing to a reward that knows finished ones alone.
    Raises TooManyAbstentions above the set share, with the first reason that the reward gave.
    """
    scores = scorer.score([r.response for r in rollouts])
    cut = settings.truncated_reward
    found = [
        cut if cut is not None and r.response.finish_reason == "length" else _value(s)
        for r, s in zip(rollouts, scores, strict=True)
    ]
    silent = [s for s, value in zip(scores, found, strict=True) if value is None]
    if len(silent) > settings.max_unscored * len(scores) or len(silent) == len(scores):
        raise TooManyAbstentions(
            f"{len(silent)} of {len(scores)} responses of this step have no reward (the first: "
            f"{silent[0].reason or 'no reason given'}); mend the reward and run the same command, "
            f"or raise policy.sampling.max_unscored ({settings.max_unscored}) and --redo policy"
        )
    return list(zip(rollouts, found, strict=True))


def _value(score: Score) -> float | None:
    return score.value if score.value is not None and math.isfinite(score.value) else None


@final
class Batch:
    """The scored responses of a step, flat: token n of the batch is of response `rows[n]`."""

    def __init__(
        self,
        sequences: Sequence[forward.Sequence],
        groups: Sequence[int],
        rewards: Sequence[float],
        old: Sequence[float] | None,
        device: torch.device,
    ) -> None:
        """Responses to one prompt lie side by side. `old` is None where no sampler is known."""
        self.sequences, self.device = list(sequences), device
        lengths = torch.tensor([len(s.tokens) - s.start for s in sequences])
        self.rows = torch.arange(len(lengths)).repeat_interleave(lengths).to(device)
        self.groups = torch.tensor(groups, device=device)
        self.rewards = torch.tensor(rewards, dtype=torch.float32, device=device)
        self.old = None if old is None else torch.tensor(old, dtype=torch.float32, device=device)
        self.states: Tensor | None = None  # [N, H] the reference's, for a frozen value trunk
        self._places = torch.split(torch.arange(len(self.rows)), lengths.tolist())
        numbered = groupby(range(len(groups)), key=lambda i: groups[i])
        self._prompts = [list(members) for _, members in numbered]

    @classmethod
    def of(cls, scored: Sequence[tuple[Rollout, float]], device: torch.device) -> Batch:
        """Sampled responses and their rewards."""
        return cls(
            [r.sequence for r, _ in scored],
            [r.group for r, _ in scored],
            [value for _, value in scored],
            [p for r, _ in scored for p in r.logprobs],
            device,
        )

    def parts(self, responses: Sequence[int] | None = None) -> list[Part]:
        """Micro-batches of these responses (all when empty); those to one prompt stay together."""
        among = set(range(len(self.sequences)) if responses is None else responses)
        prompts = [part for p in self._prompts if (part := [i for i in p if i in among])]
        sizes = [size([self.sequences[i].tokens for i in prompt]) for prompt in prompts]
        return [self._part([i for p in part for i in prompts[p]]) for part in of_trees(sizes)]

    def _part(self, members: list[int]) -> Part:
        places = torch.cat([self._places[i] for i in members]).to(self.device)
        return Part([self.sequences[i] for i in members], places, members)

    def minibatches(self, count: int, seed: int) -> list[list[int]]:
        """The responses of each of `count` minibatches: whole prompts, shuffled; at least one."""
        count = min(count, len(self._prompts))
        order = np.random.default_rng(seed).permutation(len(self._prompts))
        chunks = np.array_split(order, count) if count > 1 else [np.sort(order)]
        return [[i for p in chunk for i in self._prompts[p]] for chunk in chunks]

    def each(self, run: Callable[[Sequence[forward.Sequence]], Tensor]) -> Tensor:
        """[N] what `run` says of all tokens, a micro-batch at a time."""
        found = torch.empty(len(self.rows), device=self.device)
        for part in self.parts():
            found[part.tokens] = run(part.sequences)
        return found


class Part(NamedTuple):
    """A micro-batch."""

    sequences: list[forward.Sequence]
    tokens: Tensor  # [M] where its tokens stand in the flat batch
    responses: list[int]
