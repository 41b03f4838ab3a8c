"""The flow: which stages there are, what each reads, and what each writes.

    prompts ─► sft ─► responses ─► label ─► reward ─► policy ─► evaluate ─► report

A stage is given only the files and the settings that its line in `stages` declares; both are
fingerprinted in its receipt, so that line is all that decides whether its work is still good.
What a stage does stands in `work.py`, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrlaif import work
from hrlaif.config import Config
from hrlaif.run import sha256


@dataclass(frozen=True)
class Stage:
    """One line of the flow."""

    name: str
    reads: tuple[str, ...]
    """Files and folders of the run."""
    writes: tuple[str, ...]
    settings: tuple[str, ...]
    """The parts of the configuration that can change what it writes."""
    work: Callable[[Config, Path], Mapping[str, Any]]
    """Does the work in a run folder; what it returns stands in the receipt."""

    def fingerprint(self, config: Config) -> dict[str, Any]:
        """Its settings as plain JSON, and hashes of the files outside the run that they name."""
        values = config.model_dump(mode="json")
        outside: dict[str, tuple[str | None, ...]] = {
            "prompts": (config.prompts.source, config.prompts.test_source),
            "labeling": (config.labeling.pairs, *config.labeling.calibrations),
        }
        part = config.evaluation
        outside["evaluation"] = (
            part.satisfaction.ratings if part.satisfaction else None,
            part.toxicity.source if part.toxicity else None,
        )
        named = [name for part in self.settings for name in outside.get(part, ()) if name]
        hashes = {name: sha256(Path(name)) for name in named if Path(name).is_file()}
        found = {"seed": config.seed, **{part: values[part] for part in self.settings}}
        return found | ({"files": hashes} if hashes else {})


def stages(config: Config) -> list[Stage]:
    """The stages of this configuration, in order."""
    sft = ("sft",) if config.sft else ()
    drawn = () if config.labeling.pairs else ("responses.jsonl",)
    verdicts = ("verdicts.jsonl",) if work.verifies(config) else ()
    labels = ("preferences.jsonl", "abstentions.jsonl", *verdicts)
    page = ("report.html",)
    taught = ("model", "sft", "teacher", "judge", "labeling")
    judged = ("model", "evaluation", "judge")
    prompts, responses = ("prompts.jsonl",), ("responses.jsonl",)
    learnt = ("preferences.jsonl", *responses, *sft)
    raised = (*prompts, "reward_model", *sft)
    told = (*prompts, "preferences.jsonl", "policy", *sft)
    table = [
        # name, reads, writes, settings, work
        Stage("prompts", (), prompts, ("prompts", "judge"), work.prompts),
        Stage("sft", prompts, ("sft",), taught, work.sft),
        Stage("responses", (*prompts, *sft), responses, ("model", "sampling"), work.responses),
        Stage("label", drawn, labels, ("labeling", "judge"), work.label),
        Stage("reward", learnt, ("reward_model",), ("model", "reward"), work.reward),
        Stage("policy", raised, ("policy",), (*judged, "policy"), work.policy),
        Stage("evaluate", told, ("evaluation",), judged, work.evaluate),
        Stage("report", ("evaluation",), page, (), work.report),
    ]
    return [stage for stage in table if stage.name != "sft" or config.sft]
