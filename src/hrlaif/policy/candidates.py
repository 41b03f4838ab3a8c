"""Which checkpoints are worth judging, what did they answer, and how does one become the policy?

policy/validation.jsonl                a row an evaluation: step, reward, KL, length
policy/staleness.jsonl                 after which steps the reward has learnt anew
policy/responses/step_000020.jsonl     what the policy answered then; step 0 is the SFT policy
policy/step_000020/                    the checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hrlaif.errors import DataError
from hrlaif.policy.choice import Choice, choose
from hrlaif.policy.staleness import LOG
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Response
from hrlaif.rows.files import read_rows, write_rows
from hrlaif.training import checkpoint, metrics

if TYPE_CHECKING:
    from hrlaif.policy.settings import Policy


def store(folder: Path, step: int, responses: Sequence[Response]) -> None:
    """Keeps the validation responses of a step, to be judged when no policy is in memory."""
    path = _responses(folder, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, [r.row() for r in responses])


def stored(folder: Path, step: int) -> bool:
    """Whether the validation responses of a step are there."""
    return _responses(folder, step).exists()


def load(folder: Path, step: int) -> list[Response]:
    """The validation responses of a step."""
    return [Response.from_row(row.values) for row in read_rows(_responses(folder, step))]


def best(folder: Path, count: int) -> list[int]:
    """The steps after the first with the highest validation reward, at most `count`, ascending.

    Without a reward (offline DPO) those with the lowest loss on labels that were held out. Where
    the reward has learnt anew, its values are on several scales: the last step is one, the others
    are the best by each reward in turn, the newest first. A step that this leaves out once is never
    one again, so its checkpoint may go.
    """
    rows = [r for r in metrics.read(folder / "validation.jsonl") if r["step"] > 0]
    ranked = sorted((worse, r["step"]) for r in rows if (worse := _worse(r)) is not None)
    steps = [step for _, step in ranked]  # of equal ones the earlier first
    made = [n for row in metrics.read(folder / LOG) if (n := row["refreshed"])]
    reward = {step: sum(n <= step for n in made) for step in steps}  # which one it was scored by
    if len(set(reward.values())) < 2:
        return sorted(steps[:count])
    last = max(steps)
    others = [step for step in steps if step != last]
    place = {s: [t for t in others if reward[t] == reward[s]].index(s) for s in others}
    others.sort(key=lambda step: (place[step], -reward[step]))
    return sorted([last, *others[: count - 1]])


def _worse(row: dict[str, float | None]) -> float | None:
    reward = row["reward_mean"]
    return row.get("heldout_loss") if reward is None else -reward


def decide(settings: Policy, folder: Path, labeler: Labeler, judge: LanguageModel) -> Choice:
    """Judges the candidates against the SFT policy, and writes `choice.json`."""
    steps = best(folder, settings.validation.candidates)
    if not steps:
        raise DataError(f"{folder} has no evaluated checkpoint: train with validation prompts")
    found = choose({s: load(folder, s) for s in steps}, load(folder, 0), labeler, judge)
    write_rows(folder / "choice.json", [found.row()])
    return found


def save_chosen(settings: Policy, start: str | Path, folder: Path, step: int) -> None:
    """Makes `folder` a model that transformers loads: the policy as it was after `step` steps."""
    import torch
    from safetensors.torch import load_file

    from hrlaif.policy.actor import Actor
    from hrlaif.training.lora import merge_and_save
    from hrlaif.transformer.load import load_causal

    path = checkpoint.path_of(folder, step) / "weights.safetensors"
    if not path.exists():
        raise DataError(
            f"{path} is not there: only the candidates {checkpoint.steps_in(folder)} are"
        )
    actor = Actor(load_causal(start, train=True), settings.lora, value="none", seed=0)
    weights = load_file(path)
    with torch.no_grad():
        for name, parameter in actor.modules()["policy"].named_parameters():
            parameter.copy_(weights[f"policy/{name}"])
    merge_and_save(actor.model, actor.loaded.tokenizer, folder)


def _responses(folder: Path, step: int) -> Path:
    return folder / "responses" / f"step_{step:06d}.jsonl"
