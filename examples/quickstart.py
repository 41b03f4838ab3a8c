"""RLAIF in plain Python: `python examples/quickstart.py MODEL_FOLDER OUT_FOLDER [JUDGE]`.

MODEL_FOLDER holds a small model: that which `hrlaif models fetch gemma-3-270m` prints, for one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hrlaif import Learned, Ledger, Local, Pairing, Pairwise, Preference, open_model
from hrlaif.evaluation import compare
from hrlaif.policy import Policy, candidates, loop
from hrlaif.policy.rollouts import Scorer
from hrlaif.prompts import Prompts, collect
from hrlaif.reward import RewardTraining
from hrlaif.reward.train import train as train_reward
from hrlaif.sampling import Sampling
from hrlaif.sft import Sft
from hrlaif.sft.train import train as imitate


def main(model: str, out: Path, judge_name: str = "scripted:accuracy=0.9") -> None:
    """Prompts, imitation, responses, labels, a reward model, RL, and a win rate."""
    judge, labeler, sft = open_model(judge_name), Pairwise(), str(out / "sft")
    prompts = collect(Prompts(train=12, validation=6, test=6), seed=0)
    by_split = {name: [p for p in prompts if p.split == name] for name in ("train", "validation")}
    known, test = [*by_split["train"], *by_split["validation"]], [*prompts[18:]]
    with Ledger(out / "ledger.sqlite"):
        imitate(Sft(max_tokens=24), known, model, out / "sft", teacher=judge)
        how = Sampling(max_tokens=16)
        ask = how.sampler(Local(path=sft), name="sft", seed=0)
        responses = ask(how.questions(known))
        answers = labeler.label(Pairing().pair(responses, seed=0), judge)
        labels = [answer for answer in answers if isinstance(answer, Preference)]
        print(f"{len(labels)} labels, {len(answers) - len(labels)} abstentions")
        folder = out / "reward_model"
        train_reward(RewardTraining(), labels, sft, folder, reference_responses=responses)
        settings = Policy.parse(
            {
                "steps": 2,
                "sampling": {"prompts_per_step": 4, "max_tokens": 16},
                "validation": {"every": 1},
            }
        )
        scorer, policy = Scorer(Learned(path=str(folder))), out / "policy"
        watched = by_split["validation"]
        loop.train(
            settings, by_split["train"], scorer, start=sft, folder=policy, validation=watched
        )
        chosen = candidates.decide(settings, policy, labeler, judge)
        candidates.save_chosen(settings, sft, policy, chosen.chosen)
        once = Sampling(samples=1, max_tokens=16).questions(test)
        after = how.sampler(Local(path=str(policy)), name="policy", seed=0)(once)
        print(compare(ask(once), after, labeler, judge, out)["win_rate"]["statement"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:4])
