"""Pairs of one's own in a run: what is asked at the end is in no training."""

import json
from collections import Counter

import pytest

from hrlaif.asking import read
from hrlaif.config import Config, load
from hrlaif.labeling.pairing import Pairing, allowed
from hrlaif.llm import Scripted
from hrlaif.materials import own_pairs, read_prompts
from hrlaif.measuring import trained_on
from hrlaif.pipeline import stages
from hrlaif.records import Message, Preference, Prompt, Response
from hrlaif.redteam import read_seeds
from hrlaif.redteam.attack import attempt
from hrlaif.redteam.attempts import Attack
from hrlaif.reward.evaluate import held_out
from hrlaif.rows import write_rows
from hrlaif.sft.demonstrations import _from_pairs
from hrlaif.sft.settings import Sft
from hrlaif.work import prompts


@pytest.fixture
def run(write, tmp_path):
    """A run whose prompts and pairs are one file, as the recipe `rlhf` says."""
    rows = [
        {
            "id": f"row {n}",
            "prompt": f"What is {n}?",
            "choices": ["one", "two"] if n % 3 == 0 else None,
            "responses": [f"{n}.", f"not {n}."],
            "human_preference": 1.0,
        }
        for n in range(40)
    ]
    pairs = write("pairs.jsonl", rows)
    (tmp_path / "config.yaml").write_text(
        json.dumps(
            {
                "judge": "scripted:",
                "prompts": {"source": str(pairs), "validation": 8, "test": 12},
                "labeling": {"pairs": str(pairs), "labeler": {"kind": "human"}},
            }
        )
    )
    config = load(tmp_path / "config.yaml")
    prompts(config, tmp_path)
    return config, tmp_path


def test_pairs_on_prompts_of_the_test_are_in_no_training(run):
    config, folder = run
    last = {p.messages[0].content.split("\n")[0] for p in read_prompts(folder, "test")}
    assert len(last) == 12
    told = [
        Preference(comparison=c, prob_a=1.0, labeler="human/people")
        for c in own_pairs(config, folder)
    ]
    assert len(told) == 40
    asked = [p.comparison.prompt.messages[0].content for p in told]
    train, aside = held_out(told, share=0.1, seed=0)
    assert {asked[n] for n in train}.isdisjoint(last)
    assert {told[n].comparison.prompt.split for n in train} == {"train"}
    assert {told[n].comparison.prompt.split for n in aside} == {"validation"}
    assert (len(train), len(aside)) == (20, 8)
    imitated = _from_pairs(Sft(source="preferred"), told).responses
    assert {r.prompt.messages[0].content for r in imitated}.isdisjoint(last)
    ids = {p.id for p in read_prompts(folder)}
    assert {p.comparison.prompt.id for p in told} == ids


def test_the_prompts_of_pairs_hold_their_options_as_those_of_the_run_do(run):
    config, folder = run
    asked = {p.messages for p in read_prompts(folder)}
    assert {pair.prompt.messages for pair in own_pairs(config, folder)} == asked
    assert sum("A. one\nB. two" in turns[0].content for turns in asked) == 14


def test_a_limit_on_prompts_leaves_out_the_other_pairs_of_their_file(run, capsys):
    config, folder = run
    few = config.model_copy(update={"prompts": config.prompts.model_copy(update={"train": 6})})
    prompts(few, folder)
    found = own_pairs(few, folder)
    splits = Counter(pair.prompt.split for pair in found)
    assert splits == {"train": 6, "validation": 8, "test": 12}
    assert "14 pairs left out, of prompts that prompts.train or" in capsys.readouterr().err
    told = [Preference(comparison=c, prob_a=1.0, labeler="human/people") for c in found]
    assert len(held_out(told, share=0.1, seed=0)[0]) == 6
    imitated = _from_pairs(Sft(source="preferred"), told).responses
    assert sum(r.prompt.split == "train" for r in imitated) == 6
    assert read(few).pairs.number == 26  # as many are planned


def test_pairs_behind_words_put_first_are_on_the_prompts_of_their_file(tmp_path, write):
    begun = {"role": "assistant", "content": "Sure, "}
    asked = [[{"role": "user", "content": f"Question {n}?"}, begun] for n in range(12)]
    pairs = str(write("p.jsonl", [{"prompt": turns, "responses": ["a", "b"]} for turns in asked]))
    config = {"judge": "scripted:", "prompts": {"source": pairs, "validation": 2, "test": 3},
              "labeling": {"pairs": pairs, "labeler": {"kind": "human"}}}  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    own = load(tmp_path / "config.yaml")
    prompts(own, tmp_path)
    found = own_pairs(own, tmp_path)
    assert Counter(pair.prompt.split for pair in found) == {"train": 7, "validation": 2, "test": 3}
    assert {pair.prompt.messages[-1].content for pair in found} == {"Sure, "}


def test_pairs_of_another_file_all_count_and_what_limits_them_is_said(run, write, capsys):
    config, folder = run
    rows = [{"prompt": f"Another {n}?", "responses": ["a", "b"]} for n in range(5)]
    labeling = config.labeling.model_copy(update={"pairs": str(write("others.jsonl", rows))})
    asked = config.prompts.model_copy(update={"train": 6})
    few = config.model_copy(update={"labeling": labeling, "prompts": asked})
    assert len(own_pairs(few, folder)) == 5
    told = capsys.readouterr().err
    assert "5 pairs of no prompt of the run" in told
    assert "labeling.limit and sft.at_most do" in told


def test_labels_of_own_pairs_are_stale_where_the_prompts_are_split_anew(run):
    config, _ = run
    (label,) = (stage for stage in stages(config) if stage.name == "label")
    assert label.reads == ("prompts.jsonl",)


def test_shares_that_no_mix_can_keep_count_in_proportion(capsys):
    assert allowed({"math": 336}, {"math": 0.3}) == {"math": 336}
    both = {"math": 0.3, "choice": 0.3}
    assert allowed({"math": 100, "choice": 100}, both) == {"math": 100, "choice": 100}
    assert allowed({"math": 100, "choice": 40}, both) == {"math": 40, "choice": 40}
    assert allowed({"math": 10, "qa": 10}, {"math": 0.3}) == {"math": 4, "qa": 10}
    drawn = [
        Response(
            prompt=Prompt(
                id=f"{category} {n}",
                messages=(Message(role="user", content=f"{n}"),),
                category=category,
            ),
            text=text,
            sample=sample,
        )
        for category in ("math", "qa")
        for n in range(10)
        for sample, text in enumerate(("yes", "no"))
    ]
    pairs = Pairing(most_of_category={"math": 0.3}).pair(drawn, seed=0)
    assert len(pairs) == 14
    assert "6 of 10 pairs of math left out: pairing.most_of_category" in capsys.readouterr().err


def test_weights_that_any_part_of_a_stage_names_are_remembered(run, tmp_path):
    _, folder = run
    models = {}
    for name in ("other", "judge", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        models[name] = str(tmp_path / name)
    values = json.loads((folder / "config.yaml").read_text())
    values["labeling"] = {"labeler": {"kind": "panel", "others": [f"local:{models['other']}"]}}
    values["redteam"] = {"judge": f"local:{models['judge']}"}
    values["reward"] = {"base": models["base"]}
    (folder / "config.yaml").write_text(json.dumps(values))
    whole = load(folder / "config.yaml")

    def remembered():
        return {stage.name: stage.fingerprint(whole).get("files", {}) for stage in stages(whole)}

    before = remembered()
    for stage, name in (("label", "other"), ("redteam", "judge"), ("reward", "base")):
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
        assert before[stage] != remembered()[stage], stage


@pytest.mark.parametrize("score", ["learned", "direct"])
def test_harm_at_the_end_is_measured_on_no_seed_that_sft_or_the_red_team_has_read(
    score, write, tmp_path
):
    asked = [f"How do I do bad thing {n}?" for n in range(60)]
    rows = [{"prompt": text, "chosen": "No.", "rejected": "Like so."} for text in asked]
    pairs = str(write("pairs.jsonl", rows))
    config = Config.parse(
        {
            "judge": "scripted:",
            "prompts": {"train": 4, "validation": 2, "test": 2},
            "sft": {"source": "preferred", "at_most": 40},
            "score": {"kind": score},
            "labeling": {"pairs": pairs, "limit": 10},
            "redteam": {"seeds": pairs, "teaches": score == "learned"},
        }
    )
    prompts(config, tmp_path)
    told = [
        Preference(comparison=pair, prob_a=pair.human_preference, labeler="human/people")
        for pair in own_pairs(config, tmp_path)
    ]
    imitated = _from_pairs(config.sft, told).responses
    (tmp_path / "sft").mkdir()
    write_rows(tmp_path / "sft" / "demonstrations.jsonl", [one.row() for one in imitated])
    write_rows(tmp_path / "preferences.jsonl", [one.row() for one in told[:10]])
    write_rows(tmp_path / "redteam_preferences.jsonl", [])
    kept = read_seeds(pairs, "harmful", half="heldout")
    free = [one for one in kept if one.prompt.messages not in {r.prompt.messages for r in imitated}]
    assert 1 < len(free) < len(kept)
    # As where a run was attacked when its seeds were halved otherwise.
    attempts = attempt(
        [Attack(free[0], "direct")], config.redteam, (Scripted(), Scripted()), name="sft", seed=0
    )
    write_rows(tmp_path / "redteam" / "attempts.jsonl", [one.row() for one in attempts])
    write_rows(tmp_path / "redteam" / "benign.jsonl", [])
    without = {prompt.messages for prompt in trained_on(config, tmp_path)}
    left = read_seeds(pairs, "harmful", half="heldout", without=without)
    assert left == (free[1:] if score == "learned" else free)
