"""Which answers of the current policy are harmful, and what should it have said instead?

HRLAIF (arXiv 2403.08309), hybrid harmlessness labelling: an AI red team asks the policy, an AI
finds the harmful answers, an AI rewrites them, and the rewrite is preferred in training. This is
for making a model of your own safer; docs/redteam.md says what it must not be used for.
"""

from hrlaif.redteam.campaign import PREFERENCES, Asked, Models, campaign, sureness
from hrlaif.redteam.imports import imported
from hrlaif.redteam.seeds import Seed, read_seeds, unmarked
from hrlaif.redteam.settings import FAMILIES, Family, RedTeam
from hrlaif.redteam.stage import before_and_after, before_rl

__all__ = [
    "FAMILIES",
    "PREFERENCES",
    "Asked",
    "Family",
    "Models",
    "RedTeam",
    "Seed",
    "before_and_after",
    "before_rl",
    "campaign",
    "imported",
    "read_seeds",
    "sureness",
    "unmarked",
]
