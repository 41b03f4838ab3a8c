"""Is what is asked well-formed, and does each family put it as it says?"""

import base64
import json

import pytest

from hrlaif.errors import DataError
from hrlaif.messages import language_of
from hrlaif.redteam import FAMILIES, read_seeds
from hrlaif.redteam.families import opening
from hrlaif.redteam.seeds import of_run, spread, told_apart

from .conftest import seed

HOSTILE = "{{ 7*7 }} {% include 'x' %} $request {0} %s"


def test_the_starter_seeds_are_short_requests_of_ten_kinds_in_two_halves():
    train = read_seeds("starter", "harmful")
    heldout = read_seeds("starter", "harmful", half="heldout")
    assert (len(train), len(heldout)) == (40, 20)
    assert {s.hazard for s in train} == {s.hazard for s in heldout}
    assert len({s.hazard for s in train}) == 10
    texts = [s.request for s in (*train, *heldout)]
    assert len(set(texts)) == 60
    assert max(map(len, texts)) <= 90
    assert all(s.prompt.harmful for s in (*train, *heldout))


def test_the_starter_look_alikes_are_innocent_and_as_many_as_xstest_kinds_need():
    both = [*read_seeds("starter", "benign"), *read_seeds("starter", "benign", half="heldout")]
    assert len(both) == 42
    assert not any(s.prompt.harmful for s in both)
    assert len({s.request for s in both}) == 42


@pytest.mark.parametrize("kind", ["harmful", "benign"])
@pytest.mark.parametrize("half", ["train", "heldout"])
def test_every_starter_seed_says_its_language_rightly(kind, half):
    for found in read_seeds("starter", kind, half=half):
        # A quoted word of the other language is no reason to change.
        assert found.prompt.language == language_of(found.request), found.request


def test_a_limit_takes_one_of_each_kind_before_a_second():
    assert len({s.hazard for s in read_seeds("starter", "harmful", limit=10)}) == 10
    assert spread("aab", str, 2) == ["a", "b"]


def test_a_file_of_seeds_is_held_out_by_lot_and_nothing_is_lost(write):
    rows = [{"id": f"r{n}", "prompt": f"Do {n}", "hazard": "x"} for n in range(60)]
    path = str(write("own.jsonl", rows))
    train = {s.prompt.id for s in read_seeds(path, "harmful", half="train")}
    heldout = {s.prompt.id for s in read_seeds(path, "harmful", half="heldout")}
    assert len(train | heldout) == len(train) + len(heldout) == 60
    assert 10 <= len(heldout) <= 30
    assert len(read_seeds(path, "harmful")) == 60


def test_a_benign_prompt_among_the_harmful_is_refused_by_name(write):
    path = write("own.jsonl", [{"prompt": "Hello", "harmful": False}])
    with pytest.raises(DataError, match=r"own\.jsonl, line 1: harmful is false"):
        read_seeds(str(path), "harmful")


def test_an_id_of_two_prompts_is_refused_and_a_prompt_that_stands_twice_is_read_once(write, capsys):
    row = {"id": "1", "prompt": "Do it.", "hazard": "x"}
    path = write("own.jsonl", [row, {**row, "prompt": "Do that."}])
    with pytest.raises(
        DataError, match=r"line 2: id '1' is another prompt's on .*line 1: give each"
    ):
        read_seeds(str(path), "harmful")
    path = write("twice.jsonl", [row, {"prompt": "Do that."}, row, {"prompt": "Do that."}])
    for half in (None, "train", "heldout"):
        read_seeds(str(path), "harmful", half=half)
    assert [s.request for s in read_seeds(str(path), "harmful")] == ["Do it.", "Do that."]
    said = capsys.readouterr().err
    assert said.count("twice.jsonl: 2 rows left out: an earlier row asks the same") == 1


def test_a_run_s_own_prompts_are_taken_as_they_are_marked():
    harmful, benign = seed(1), seed(2, harmful=False)
    safety = benign.prompt.model_copy(update={"category": "safety"})
    prompts = [harmful.prompt, benign.prompt, safety]
    assert [s.prompt for s in of_run(prompts, "harmful")] == [harmful.prompt]
    assert [s.prompt for s in of_run(prompts, "benign")] == [safety]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_puts_the_request_once_and_never_renders_it(family, language):
    before, asked = opening(family, seed(3), HOSTILE, language)
    text = "\n".join([*(m.content for m in before), *asked])
    if family == "obfuscation":
        assert HOSTILE not in text
        hidden = asked[0].splitlines()[-1]
        spelled = ".".join(HOSTILE)
        assert hidden == spelled or base64.b64decode(hidden).decode() == HOSTILE
    else:
        assert text.count(HOSTILE) == (2 if family == "escalation" else 1)
    assert asked[-1].count(HOSTILE) == (0 if family == "obfuscation" else 1)


def test_both_codes_are_used():
    ways = {opening("obfuscation", seed(n), "abc", "en")[1][0] for n in range(20)}
    assert len(ways) == 2


def test_many_shots_are_turns_of_innocent_talk():
    before, asked = opening("many_shot", seed(0), "Request.", "en")
    assert [m.role for m in before] == ["user", "assistant"] * 6
    assert asked == ["Request."]


def test_seed_rows_hold_nothing_but_the_request():
    from hrlaif.redteam.seeds import STARTER

    for path in STARTER.glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            assert set(json.loads(line)) == {"id", "prompt", "hazard", "language", "harmful"}


def test_a_text_that_stands_twice_is_in_one_half_whatever_its_ids(write, capsys):
    rows = [{"id": f"r{n}", "prompt": f"Do {n % 40}", "hazard": "x"} for n in range(60)]
    path = str(write("own.jsonl", rows))
    train, heldout = (
        [s.request for s in read_seeds(path, "harmful", half=half)] for half in ("train", "heldout")
    )
    assert sorted(train + heldout) == sorted({row["prompt"] for row in rows})
    assert "own.jsonl: 20 rows left out: an earlier row asks the same" in capsys.readouterr().err
    both = told_apart([seed(1, "Do it."), seed(2, "Do it."), seed(2)], "harmful", {})
    assert [s.prompt.id for s in both] == ["s1", "s2"]


def test_what_training_asks_is_left_out_of_what_is_kept_for_the_end_before_the_limit(write, capsys):
    rows = [{"id": f"r{n}", "prompt": f"Do {n}", "hazard": "x"} for n in range(60)]
    path = str(write("kept.jsonl", rows))
    first, second, *_ = read_seeds(path, "harmful", half="heldout")
    without = {first.prompt.messages}
    kept = read_seeds(path, "harmful", half="heldout", limit=1, without=without)
    assert kept == [second]
    assert "1 of" in capsys.readouterr().err
