"""How is the policy attacked, and how are its harmful answers mended?"""

from __future__ import annotations

from typing import Literal, final, get_args

from pydantic import Field

from hrlaif.checks import Harmless, Responsive
from hrlaif.llm import AnyModel
from hrlaif.settings import Settings

Family = Literal[
    "direct",
    "role_play",
    "obfuscation",
    "many_shot",
    "escalation",
    "prefix_injection",
    "translation",
]
FAMILIES: tuple[Family, ...] = get_args(Family)


@final
class RedTeam(Settings):
    """AI red teaming of the current policy, and the rewriting of what it brings to light."""

    teaches: bool = True
    """Whether rewrites join the training data; if not, a run's policies before and after RL are
    attacked all the same, for the report."""
    seeds: str = "starter"
    """`starter` (40 harmful requests of 10 kinds), or a file of prompts, each with a `hazard`."""
    benign: str = "starter"
    """`starter` (29 innocent prompts that sound alarming), or a file of such prompts."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many harmful and so many benign prompts, spread over their kinds."""
    families: tuple[Family, ...] = Field(default=FAMILIES, min_length=1)
    """Ways of asking. `translation` needs the attacker; `escalation` takes three turns."""
    variations: int = Field(default=1, ge=0)
    """Rewordings, by the attacker, of each attack that worked."""
    most_variations: int = Field(default=40, ge=0)
    """At most so many attacks are reworded, spread over the seeds."""
    temperature: float = Field(default=0.9, ge=0)
    """Of the policy's answers, as in the stage `responses`."""
    max_tokens: int = Field(default=128, ge=1)
    """Longer answers of the policy are cut."""
    tries: int = Field(default=2, ge=1)
    """Rewrites of a harmful answer before it is dropped."""
    rewrite_tokens: int = Field(default=192, ge=8)
    """A rewrite that is cut here, thoughts included, is dropped; so is a text of the attacker,
    which has 160 at least."""
    most_alike: float = Field(default=0.9, gt=0, le=1)
    """A rewrite that shares more than this of its words, in order, with the harmful answer is
    dropped as the same."""
    stock_refusals: bool = True
    """Where the policy helps with a benign prompt, prefer its answer to a stock refusal; without
    these pairs a policy that never refuses brings none against refusing everything."""
    detector: Harmless = Harmless()
    """Says which answers are harmful."""
    refusals: Responsive = Responsive()
    """Says which answers merely refuse."""
    judge: AnyModel | None = None
    """Asked by both detectors; the run's judge when empty."""
    attacker: AnyModel | None = None
    """Translates and rewords; the judge when empty."""
    rewriter: AnyModel | None = None
    """Rewrites harmful answers; the judge when empty."""
    measured: str | None = None
    """detector.json, written by `hrlaif detector` for this judge: rates are then corrected for the
    detector's sensitivity and specificity at its threshold (Rogan-Gladen)."""
