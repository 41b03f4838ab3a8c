"""One RL step of every algorithm: samples a second, and peak memory beside RLOO's.

    python benchmarks/algorithms.py [--prompt 256 --response 64 --samples 4]

Same weights, prompts, draws and response length as `rl_step.py`. In float32 all must sample the
same tokens in the first step. PPO passes over its responses twice, the others once.
"""

from __future__ import annotations

import argparse
from functools import partial

from hrlaif.policy import Grpo, OnlineDpo, Ppo, Reinforce, Rloo
from rl_step import BETA, stepped
from side_by_side import OURS, Benchmark, Result, main

KL = {"kl": {"beta": BETA}}
ALGORITHMS = {
    OURS: Rloo.parse(KL),  # the others are measured beside it
    "grpo": Grpo.parse(KL),
    "reinforce": Reinforce(beta=BETA),
    "ppo": Ppo.parse(KL),
    "online_dpo": OnlineDpo(),
}


def step(name: str, given: argparse.Namespace) -> Result:
    """Steps of one algorithm; the numbers are the tokens that its first step sampled."""
    own = stepped(given, ALGORITHMS[name])
    rate = given.prompts * given.samples / sum(own.phases().values())
    return Result(rate, [float(token) for row in own.written[0] for token in row], own.phases())


if __name__ == "__main__":
    sizes = {"steps": 2, "prompts": 4, "samples": 4, "prompt": 256, "response": 64, "qwen": 0}
    exact = {"steps": 1, "prompts": 2, "samples": 2, "prompt": 32, "response": 8}
    arms = {name: partial(step, name) for name in ALGORITHMS}
    main(
        Benchmark("RL step of every algorithm (ours: RLOO)", "samples", arms, sizes, exact, 0.0),
        __file__,
    )
