"""What did the policy answer, and what was it worth?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from hrlaif.errors import DataError, TooManyAbstentions
from hrlaif.policy.actor import Actor
from hrlaif.policy.settings import Sampling
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Prompt, Response, Score
from hrlaif.transformer import forward, generate
from hrlaif.transformer.tree import micro_batches

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
    """The responses to each prompt, those to one prompt side by side."""
    wanted = [(group, k) for group in range(len(asked)) for k in range(draw.samples)]
    written = actor.sample(
        [asked[group].tokens for group, _ in wanted],
        generate.Sampling(draw.temperature, draw.max_tokens, draw.seed),
        samples=[k for _, k in wanted],
    )
    tokenizer: Any = actor.loaded.tokenizer
    texts = tokenizer.batch_decode([s.tokens for s in written], skip_special_tokens=True)
    found = []
    for (group, k), sampled, text in zip(wanted, written, texts, strict=True):
        prompt, tokens = asked[group]
        response = Response(
            prompt=prompt,
            text=text.strip(),
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

    Raises TooManyAbstentions above the set share, with the first reason that the reward gave.
    """
    scores = scorer.score([r.response for r in rollouts])
    silent = [s for s in scores if not _known(s)]
    if len(silent) > settings.max_unscored * len(scores) or len(silent) == len(scores):
        raise TooManyAbstentions(
            f"{len(silent)} of {len(scores)} responses of this step have no reward (the first: "
            f"{silent[0].reason or 'no reason given'}); mend the reward and run the same command, "
            f"or raise policy.sampling.max_unscored ({settings.max_unscored}) and --redo policy"
        )
    cut = settings.truncated_reward
    return [
        (r, _value(s, cut if not r.ended else None)) for r, s in zip(rollouts, scores, strict=True)
    ]


def _known(score: Score) -> bool:
    return score.value is not None and math.isfinite(score.value)


def _value(score: Score, fixed: float | None) -> float | None:
    if not _known(score):
        return None
    return score.value if fixed is None else fixed


@final
class Batch:
    """The scored rollouts of a step, flat: token n of the batch is of response `rows[n]`."""

    def __init__(self, scored: Sequence[tuple[Rollout, float]], device: torch.device) -> None:
        self.sequences = [r.sequence for r, _ in scored]
        lengths = torch.tensor([len(r.logprobs) for r, _ in scored])
        self.rows = torch.arange(len(scored)).repeat_interleave(lengths).to(device)
        self.groups = torch.tensor([r.group for r, _ in scored], device=device)
        self.rewards = torch.tensor([v for _, v in scored], dtype=torch.float32, device=device)
        old = [p for r, _ in scored for p in r.logprobs]
        self.old = torch.tensor(old, dtype=torch.float32, device=device)
        self.states: list[Tensor | None] = []  # the reference's, a micro-batch each, where needed
        places = torch.split(torch.arange(len(old)), lengths.tolist())
        self._parts = [
            (
                [self.sequences[i] for i in indices],
                torch.cat([places[i] for i in indices]).to(device),
            )
            for indices in micro_batches([s.tokens for s in self.sequences])
        ]

    def parts(self) -> list[tuple[list[forward.Sequence], Tensor]]:
        """Micro-batches: sequences, and where their tokens [M] stand in the flat batch."""
        return self._parts

    def each(self, run: Callable[[Sequence[forward.Sequence]], Tensor]) -> Tensor:
        """[N] what `run` says of all tokens, a micro-batch at a time."""
        found = torch.empty_like(self.old)
        for sequences, tokens in self._parts:
            found[tokens] = run(sequences)
        return found
