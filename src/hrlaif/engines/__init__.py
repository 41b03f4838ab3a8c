"""How do other trainers learn from our feedback? One server for all of them, or a Python callable.

`server.py` speaks what OpenRLHF, LLaMA-Factory, align-anything, verl and vLLM's clients send;
`trl.py` is a reward function of TRL, `verl.py` one of verl.
"""

from hrlaif.engines.trl import trl_reward

__all__ = ["trl_reward"]
