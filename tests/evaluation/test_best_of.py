"""Is the best of n the best, and is what has no reward never chosen?"""

import json
import math

import pytest

from hrlaif.errors import DataError
from hrlaif.evaluation.best_of import best_of, most_kl, pick
from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.records import Message, Prompt, Response, Score


def drawn(*values, prompt="p"):
    asked = Prompt(id=prompt, messages=(Message(role="user", content=prompt),))
    responses = [
        Response(prompt=asked, text=f"{prompt} {n}", model="sft", sample=n)
        for n in range(len(values))
    ]
    scores = [
        Score(id=r.key, value=v, scorer="s", reason="" if v is not None else "silent")
        for r, v in zip(responses, values, strict=True)
    ]
    return responses, scores


def test_the_highest_of_each_prompt_is_picked_and_of_equal_ones_the_first():
    one, two, three = drawn(0.1, 0.9, None), drawn(2.0, 2.0, prompt="q"), drawn(None, prompt="r")
    found = pick([*one[0], *two[0], *three[0]], [*one[1], *two[1], *three[1]])
    assert [r.text for r in found.responses] == ["p 1", "q 0"]
    assert found.rewards == [0.9, 2.0]
    assert (found.unscored, found.left_out) == (2, 1)


def test_without_any_reward_nothing_is_chosen():
    with pytest.raises(DataError, match="no response has a reward \\(silent\\)"):
        pick(*drawn(None, None))


def test_the_most_kl_by_hand():
    assert most_kl(1) == 0
    assert most_kl(2) == pytest.approx(math.log(2) - 0.5)
    assert most_kl(16) == pytest.approx(2.7725887 - 0.9375)


def test_the_best_are_compared_with_the_first_answers(tmp_path):
    lists = [drawn(0.0, 1.0, 2.0, prompt=f"p{n}") for n in range(4)]
    responses = [r for rs, _ in lists for r in rs]
    scores = [s for _, ss in lists for s in ss]
    baseline = [rs[0].model_copy(update={"text": f"first {n}"}) for n, (rs, _) in enumerate(lists)]
    found = best_of(baseline, responses, scores, (Pairwise(), Scripted()), tmp_path)
    assert found["n"] == 3
    assert found["reward"]["value"] == 2.0
    assert found["reward_of_all"]["value"] == 1.0
    assert 0 < found["win_rate"]["value"] < 1
    assert found["win_rate"]["n"] == 4
    told = json.loads((tmp_path / "compare.json").read_text("utf-8"))["win_rate"]
    assert found["length_flags"] == told["length_controlled"]["flags"] != []
    rows = (tmp_path / "comparisons.jsonl").read_text().splitlines()
    silent = Scripted(failure=1.0)
    unsaid = best_of(baseline, responses, scores, (Pairwise(), silent), tmp_path / "silent")
    assert (unsaid["win_rate"], unsaid["length_controlled"]) == (None, None)
    same = [rs[2] for rs, _ in lists]
    tied = best_of(same, responses, scores, (Pairwise(), Scripted()), tmp_path / "same")
    assert (tied["win_rate"], tied["length_controlled"]) == (None, None)
    assert len(rows) == 4
    assert all('"first ' in row and " 2" in row for row in rows)
