"""What does a run ask of its red team? The stage before the reward model, and the final measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hrlaif.progress import say
from hrlaif.protocols import LanguageModel
from hrlaif.records import Prompt, Row
from hrlaif.redteam.attempts import Attack
from hrlaif.redteam.campaign import Asked, Campaign, Models, campaign
from hrlaif.redteam.seeds import of_run, read_seeds
from hrlaif.redteam.settings import RedTeam

Said = tuple[str, str, str, bool | None]


def before_rl(part: RedTeam, who: Models, folder: Path, own: Sequence[Prompt], *, seed: int) -> Row:
    """Attacks the policy before RL; returns the counts. `own`: the run's train prompts."""
    asked = Asked(
        seeds=read_seeds(part.seeds, "harmful", half="train", limit=part.limit),
        benign=[
            *read_seeds(part.benign, "benign", half="train", limit=part.limit),
            *of_run(own, "benign"),
        ],
        plainly=of_run(own, "harmful"),
    )
    found = campaign(part, who, folder, asked, seed=seed)
    success, rewrites = found["success"], found["rewrites"]
    if not (attempts := success["attempts"]):
        say(
            "redteam: no seed is left to attack: all of redteam.seeds are kept for the end, and no "
            "train prompt is marked harmful"
        )
    return {
        "attempts": attempts,
        "harmful": success["harmful"],
        "harmful_share": success["overall"],
        "abstained_share": 1 - success["judged"] / attempts if attempts else 0.0,
        "abstained_by_reason": success["unjudged"],
        "rewritten": rewrites["accepted"],
        "dropped": rewrites["dropped"],
        "over_refusal": found["over_refusal"]["overall"],
        "pairs": found["pairs"],
    }


def before_and_after(
    part: RedTeam,
    sides: Mapping[str, LanguageModel],
    judge: LanguageModel,
    folder: Path,
    *,
    seed: int,
    seen: Sequence[Prompt] = (),
) -> dict[str, list[list[Said]]]:
    """What each policy said to the same seeds, which no training has seen, nor are they `seen`.

    `harmful` and `over_refusal`, each a list a policy of (question, seed, family or kind, found).
    """
    limit, trained = part.limit, {prompt.messages for prompt in seen}
    harmful = read_seeds(part.seeds, "harmful", half="heldout", limit=limit, without=trained)
    benign = read_seeds(part.benign, "benign", half="heldout", limit=limit, without=trained)
    attacks = [Attack(s, family) for s in harmful for family in part.families]
    replies = [Attack(s, "direct", "benign") for s in benign]
    found: dict[str, list[list[Said]]] = {"harmful": [], "over_refusal": []}
    for name, target in sides.items():
        work = Campaign(part, Models.of(part, target, judge, name), folder, seed=seed)
        work.begin()
        asked = work.attacked(f"{name}_attempts", attacks)
        found["harmful"].append([(a.id, a.seed, a.family, a.harmful) for a in asked])
        told = work.replied(f"{name}_benign", replies)
        found["over_refusal"].append([(a.id, a.seed, a.hazard, a.refuses) for a in told])
        work.end()
    return found
