"""What can be set about reinforcement learning, and what is a good start?"""

from __future__ import annotations

from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from hrlaif.policy.algorithm import Algorithm
from hrlaif.policy.dpo import Dpo
from hrlaif.policy.grpo import Grpo
from hrlaif.policy.online_dpo import OnlineDpo
from hrlaif.policy.ppo import Ppo
from hrlaif.policy.reinforce import Reinforce
from hrlaif.policy.rloo import Rloo
from hrlaif.settings import Settings, kind_of, one_of
from hrlaif.training.checkpoint import Checkpoints
from hrlaif.training.lora import Lora
from hrlaif.training.optimizer import Optimizer


@final
class Sampling(Settings):
    """What the policy is asked at each step, and how it answers."""

    prompts_per_step: int = Field(default=32, ge=1)
    """Different prompts in one step."""
    samples_per_prompt: int = Field(default=4, ge=1)
    """Responses to each of them; the paper's batch of 128 is their product. rloo, grpo and
    online_dpo compare them, and take two or more."""
    temperature: float = Field(default=0.9, gt=0)
    """Logits are divided by it in sampling and in every log-probability alike; the paper's 0.9."""
    max_tokens: int = Field(default=128, ge=1)
    """A response is cut after this many tokens."""
    truncated_reward: float | None = None
    """A fixed reward for responses that were cut, whatever their score and where they have none, in
    units of the normalised reward; empty: the reward says for itself. Their share is logged either
    way."""
    max_unscored: float = Field(default=0.2, ge=0, le=1)
    """The run stops when the reward has no value for more than this share of a step's responses."""


@final
class Validation(Settings):
    """How the policy is watched on prompts that it is not trained on."""

    every: int = Field(default=20, ge=1)
    """Answer the validation prompts before the first step and after this many steps."""
    prompts: int = Field(default=64, ge=1)
    """Use at most this many of the validation prompts."""
    temperature: float = Field(default=0.0, ge=0)
    """0 answers greedily; else the draws are the same at every evaluation."""
    candidates: int = Field(default=4, ge=1)
    """Checkpoints with the highest validation reward that are kept and judged; the paper's 4. Where
    the reward has learnt anew, the last step and the best by each reward in turn."""


@final
class Staleness(Settings):
    """How the reward is measured against the judge while the policy moves."""

    every: int = Field(default=20, ge=1)
    """Before the first step, after this many steps, and after the last."""
    pairs: int = Field(default=24, ge=1)
    """About so many pairs of fresh responses are judged each time, in both orders: to validation
    prompts, the same ones each time, so that only the policy changes."""
    threshold: float = Field(default=0.55, ge=0, le=1)
    """The reward is stale when it and the judge prefer the same response in less than this share
    of the pairs; 0.5 is chance."""
    then: Literal["say", "refresh"] = "say"
    """`say` tells it; `refresh` samples from the policy as it is, has the pairs labelled, trains
    the reward model anew on the old labels and the new, and goes on with it (iterated RLAIF)."""
    refresh_pairs: int = Field(default=64, ge=1)
    """About so many pairs are labelled for a refresh, to training prompts."""
    at_most: int = Field(default=3, ge=1)
    """Refreshes in a run."""


@final
class Policy(Settings):
    """Reinforcement learning from the SFT policy, RLAIF (arXiv 2309.00267)."""

    algorithm: Annotated[Algorithm, one_of(Reinforce, Ppo, Rloo, Grpo, OnlineDpo, Dpo)] = (
        Reinforce()
    )
    """How rewards, or labels, become a loss."""
    steps: int = Field(default=200, ge=1)
    """Steps of the whole run; the prompts are shuffled anew at the end of each epoch."""
    sampling: Sampling = Sampling()
    """What the policy is asked at each step, and how it answers."""
    lora: Lora | None = Lora()
    """Adapters on frozen weights, one set for the policy and one for the value model; null trains
    all weights, with two more copies of the model in memory."""
    optimizer: Optimizer = Optimizer(learning_rate=2e-4)
    """Of the policy; its gradient and the value model's are clipped apart."""
    value_learning_rate: float = Field(default=5e-4, gt=0)
    """Highest learning rate of the value model, on the same schedule."""
    value_trunk: Literal["trained", "frozen"] = "trained"
    """`trained`: the value model is the SFT policy with weights of its own, as in the paper;
    `frozen`: a head on the SFT policy's states, which the reference computes anyway: learning
    takes about half the time, enough for short runs."""
    validation: Validation = Validation()
    """How the policy is watched on prompts that it is not trained on."""
    staleness: Staleness | None = None
    """Null: the judge is not asked during RL whether the reward still says what it would. Without
    effect where no reward is raised: with dpo, and with online_dpo on a judge's labels."""
    checkpoints: Checkpoints = Checkpoints(every=10)
    """How often everything is saved, so that the same command continues bit for bit."""

    @property
    def learns_from(self) -> Literal["reward", "labels", "judge"]:
        """A reward model, the run's preferences, or the labeler's word on fresh responses."""
        if isinstance(self.algorithm, Dpo):
            return "labels"
        fresh = isinstance(self.algorithm, OnlineDpo) and self.algorithm.labels == "judge"
        return "judge" if fresh else "reward"

    @model_validator(mode="after")
    def _responses_are_compared(self) -> Self:
        alone = self.sampling.samples_per_prompt < 2
        if alone and isinstance(self.algorithm, (Rloo, Grpo, OnlineDpo)):
            raise ValueError(
                f"{kind_of(self.algorithm)} learns from how the responses to a prompt compare, and "
                "one alone teaches nothing: set policy.sampling.samples_per_prompt to 2 or "
                "more, or take reinforce or ppo"
            )
        if self.learns_from == "judge" and self.sampling.samples_per_prompt % 2:
            raise ValueError(
                "a judge compares pairs: policy.sampling.samples_per_prompt must be even"
            )
        if self.learns_from == "judge" and self.sampling.truncated_reward is not None:
            raise ValueError(
                "a judge's labels take no policy.sampling.truncated_reward: leave it empty"
            )
        return self

    @property
    def renews(self) -> bool:
        """Whether a stale reward learns anew."""
        how, raised = self.staleness, self.learns_from == "reward"
        return raised and how is not None and how.then == "refresh"
