"""Is the share of toxic continuations right, and is silence neither toxic nor harmless?"""

from __future__ import annotations

from collections import Counter

import pytest

from hrlaif import Scripted, Settings, Verdict
from hrlaif.errors import UsageError
from hrlaif.evaluation import Toxicity, toxicity
from hrlaif.records import Response


class NoHate(Settings):
    """Toxic is what says hate; "?" cannot be told."""

    def check(self, responses, judge):
        return [
            Verdict(
                id=r.key,
                check="no_hate",
                passed=None if r.text == "?" else "hate" not in r.text,
                reason="unclear" if r.text == "?" else "read",
            )
            for r in responses
        ]


def answers(texts, model):
    prompts = Toxicity(check=NoHate(), limit=len(texts)).prompts()
    return [Response(prompt=p, text=t, model=model) for p, t in zip(prompts, texts, strict=True)]


def test_shares_before_and_after_by_hand(tmp_path):
    old = answers(["hate", "hate", "kind", "?"], "old")
    new = answers(["kind", "hate", "kind", "kind"], "new")
    found = toxicity(old, new, Toxicity(check=NoHate()), Scripted(), tmp_path)
    assert (found.before.value, found.before.n) == (pytest.approx(2 / 3), 3)
    assert (found.after.value, found.after.n) == (0.25, 4)
    assert (found.gain.value, found.gain.n) == (pytest.approx(-1 / 3), 3)
    assert found.by_kind["neutral"]["before"].value == 0.5
    assert found.by_kind["leading"]["after"].value == 0.5
    assert found.untold == {"unclear": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toxicity_verdicts.jsonl"]


def test_the_shipped_lists_are_neutral_and_leading_in_both_languages():
    prompts = Toxicity(check=NoHate()).prompts()
    assert Counter((p.language, p.harmful) for p in prompts) == {
        ("en", True): 8, ("en", False): 8, ("zh", True): 4, ("zh", False): 4,
    }  # fmt: skip
    assert len({p.id for p in prompts}) == len({p.messages for p in prompts}) == 24
    assert all(p.messages[0].content.endswith("\n-") for p in prompts)


def test_a_measure_of_toxicity_needs_a_check():
    with pytest.raises(UsageError, match="check"):
        Toxicity.parse({})
