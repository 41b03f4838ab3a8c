"""How many sampled answers are right, and of how many prompts all, some or none?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hrlaif.labeling.hybrid import Hybrid
from hrlaif.labeling.verified import NO_REFERENCE, Verified
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.reasons import counted
from hrlaif.records import Response, Verdict

_WORDS = {True: "right", False: "wrong", None: "unverifiable"}


def verified_of(
    labeler: Labeler, responses: Sequence[Response], judge: LanguageModel
) -> list[Verdict]:
    """Verdicts on the responses that this labeler verifies; those without a reference are left out.

    So pairs can be made of right over wrong before anything is labelled.
    """
    if not isinstance(labeler, (Hybrid, Verified)):
        return []
    known = [r for r in responses if r.prompt.reference_answer is not None]
    return [v for v in labeler.verdicts(known, judge) if v.reason != NO_REFERENCE]


def tally(
    responses: Sequence[Response], verdicts: Sequence[Verdict]
) -> Mapping[str, Mapping[str, int]]:
    """Responses by verdict, prompts by what their responses are, and why some cannot be told."""
    if not verdicts:
        return {}
    prompt_of = {response.key: response.prompt.id for response in responses}
    by_prompt: dict[str, set[bool | None]] = {}
    for verdict in verdicts:
        by_prompt.setdefault(prompt_of[verdict.id], set()).add(verdict.passed)
    return {
        "answers": Counter(_WORDS[verdict.passed] for verdict in verdicts),
        "prompts": Counter(map(_of_prompt, by_prompt.values())),
        "why unverifiable": counted(v.reason for v in verdicts if v.passed is None),
    }


def _of_prompt(found: set[bool | None]) -> str:
    if {True, False} <= found:
        return "right and wrong"
    if True in found:
        return "all right" if found == {True} else "right and unverifiable"
    return "all wrong" if found == {False} else "none right, some unverifiable"
