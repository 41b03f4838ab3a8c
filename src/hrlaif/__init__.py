"""Reinforcement learning from AI feedback: labels, rewards, policies, and what they are worth.

Read first: `pipeline.py` (the flow), `records.py` (the nouns), `protocols.py` (the verbs).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrlaif.checks import ChoiceLetter, Harmless, Number, Responsive, SameAnswer
    from hrlaif.config import Config
    from hrlaif.errors import HrlaifError
    from hrlaif.labeling import Human, Hybrid, Pairing, Pairwise, Panel, Verified
    from hrlaif.llm import Local, Packaged, Remote, Scripted, Vllm, open_model
    from hrlaif.llm.ledger import Ledger
    from hrlaif.records import (
        Abstention,
        Candidate,
        Chat,
        Comparison,
        Message,
        Preference,
        Prompt,
        Rating,
        Response,
        Score,
        Verdict,
    )
    from hrlaif.redteam import RedTeam
    from hrlaif.reward import Checked, Direct, Ensemble, Learned, Length, Scaled, Weighted
    from hrlaif.settings import Compute, Settings, using

_HOMES = {
    "hrlaif.checks": ("ChoiceLetter", "Harmless", "Number", "Responsive", "SameAnswer"),
    "hrlaif.config": ("Config",),
    "hrlaif.errors": ("HrlaifError",),
    "hrlaif.labeling": ("Human", "Hybrid", "Pairing", "Pairwise", "Panel", "Verified"),
    "hrlaif.llm": ("Local", "Packaged", "Remote", "Scripted", "Vllm", "open_model"),
    "hrlaif.llm.ledger": ("Ledger",),
    "hrlaif.records": (
        "Abstention", "Candidate", "Chat", "Comparison", "Message", "Preference", "Prompt",
        "Rating", "Response", "Score", "Verdict",
    ),
    "hrlaif.redteam": ("RedTeam",),
    "hrlaif.reward": (
        "Checked", "Direct", "Ensemble", "Learned", "Length", "Scaled", "Weighted",
    ),
    "hrlaif.settings": ("Compute", "Settings", "using"),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Abstention",
    "Candidate",
    "Chat",
    "Checked",
    "ChoiceLetter",
    "Comparison",
    "Compute",
    "Config",
    "Direct",
    "Ensemble",
    "Harmless",
    "HrlaifError",
    "Human",
    "Hybrid",
    "Learned",
    "Ledger",
    "Length",
    "Local",
    "Message",
    "Number",
    "Packaged",
    "Pairing",
    "Pairwise",
    "Panel",
    "Preference",
    "Prompt",
    "Rating",
    "RedTeam",
    "Remote",
    "Response",
    "Responsive",
    "SameAnswer",
    "Scaled",
    "Score",
    "Scripted",
    "Settings",
    "Verdict",
    "Verified",
    "Vllm",
    "Weighted",
    "open_model",
    "using",
]


def __getattr__(name: str) -> Any:
    # PEP 562: a name is loaded when it is first used, so `import hrlaif` stays light.
    if name not in _HOME:
        raise AttributeError(f"module 'hrlaif' has no attribute {name!r}; it has {__all__}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
