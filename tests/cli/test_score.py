import json
import re
from statistics import fmean

import pytest

from hrlaif.reward import head
from hrlaif.transformer.load import load_causal


@pytest.fixture
def responses(write):
    rows = [
        {"id": f"r{n}", "prompt": f"What is {n}?", "response": f"It is {'so ' * n}much."}
        for n in range(9)
    ]
    return write("responses.jsonl", rows)


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_judge_grades_from_1_to_10(hrlaif, responses, tmp_path):
    out = tmp_path / "scores.jsonl"
    done = hrlaif("score", responses, "-o", out, "--judge", "scripted:", "--json")
    rows = read(out)
    assert [row["id"] for row in rows] == [f"r{n}" for n in range(9)]
    for row in rows:
        expected = sum(int(grade) * p for grade, p in row["distribution"].items())
        assert row["value"] == pytest.approx(expected, abs=1e-5)
    summary = json.loads(done.stdout)
    assert summary["scored"] == 9
    assert summary["mean"] == pytest.approx(fmean(row["value"] for row in rows))


def test_a_reward_model_scores(hrlaif, responses, finished, tmp_path):
    out, folder = tmp_path / "scores.jsonl", finished.folder / "reward_model"
    done = hrlaif.here("score", responses, "-o", out, "--reward-model", folder)
    assert len({row["value"] for row in read(out)}) > 1
    assert done.stderr.count("\n") == 1  # nothing but the progress line: no bars of transformers
    first = out.read_bytes()
    hrlaif.here("score", responses, "-o", out, "--reward-model", folder)
    assert out.read_bytes() == first


def test_a_reward_model_of_others_without_a_scale_is_told_with_the_reward_that_works(
    hrlaif, responses, tiny_model, tmp_path
):
    theirs = head.with_head(load_causal(tiny_model, train=True))
    folder, out = tmp_path / "theirs", tmp_path / "scores.jsonl"
    theirs.model.save_pretrained(folder)
    theirs.tokenizer.save_pretrained(folder)
    told = hrlaif.here("score", responses, "-o", out, "--reward-model", folder, code=1).stderr
    [way_out] = re.findall(r'--reward "([^"]+)"', told)
    hrlaif.here("score", responses, "-o", out, "--reward", way_out)
    assert [row["scorer"] for row in read(out)] == [f"learned:{folder}"] * 9


def test_a_grade_that_is_not_given_is_aside_with_its_reason(hrlaif, responses, tmp_path):
    out = tmp_path / "scores.jsonl"
    hrlaif.here("score", responses, "-o", out, "--judge", "scripted:failure=1", code=3)
    assert out.read_bytes() == b""
    aside = read(tmp_path / "scores.abstentions.jsonl")
    assert [(row["id"], row["value"]) for row in aside] == [(f"r{n}", None) for n in range(9)]
    assert {row["reason"] for row in aside} == {"scripted failure"}


def test_any_reward_scores_and_says_what_its_parts_gave(hrlaif, write, tmp_path):
    asked = [{"prompt": "6 x 7?", "reference_answer": "42"}] * 3
    texts = ["It is 42.", "It is 41. " + "So there. " * 9, "Many."]
    pairs = zip(asked, texts, strict=True)
    given = write(
        "r.jsonl", [{"id": f"r{n}", **a, "response": t} for n, (a, t) in enumerate(pairs)]
    )
    out, short = tmp_path / "scores.jsonl", "{kind: length, unit: characters, free: 20, per: 80}"
    reward = tmp_path / "reward.yaml"
    reward.write_text(
        f"kind: weighted\nparts: [{{reward: checked}}, {{reward: {short}, weight: 2}}]"
    )
    hrlaif.here("score", given, "-o", out, "--reward", reward, "--max-abstentions", "0.5")
    # The second is wrong and has 100 characters: -1 - 2 x (100 - 20) / 80.
    assert [row["value"] for row in read(out)] == [1.0, -3.0]
    assert read(out)[1]["distribution"] == {"1 checked": -1.0, "2 length": -1.0}
    (silent,) = read(tmp_path / "scores.abstentions.jsonl")
    assert silent["reason"] == "part 1 checked has no score: no number in the response"


def test_a_length_in_tokens_that_no_row_knows_names_the_reward_that_works(
    hrlaif, responses, tmp_path
):
    out = tmp_path / "scores.jsonl"
    told = hrlaif.here("score", responses, "-o", out, "--reward", "length", code=3).stdout
    assert "9 without a verdict: its number of tokens is not known" in told
    [way_out] = re.findall(r'--reward "([^"]+)"', told)
    hrlaif.here("score", responses, "-o", out, "--reward", way_out)
    assert [row["scorer"] for row in read(out)] == ["length/characters"] * 9


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ([], 2, "give either --judge or --reward-model"),
        (["--reward", "cheked"], 2, "did you mean 'checked'?"),
        (["--reward", "{kind"], 2, "--reward is not YAML"),
        (["--reward", "direct"], 2, "direct grades need a judge: name one"),
        (["--reward", "scaled", "--judge", "scripted:"], 2, "elsewhere give both"),
        (["--reward", "checked", "--reward-model", "x"], 2, "--reward-model or --reward, not both"),
        (["--judge", "scripted:", "--reward-model", "x"], 2, "either --judge or --reward-model"),
        (["--reward-model", "/not/here"], 1, "/not/here holds no reward model, for there is no"),
        (
            ["--reward-model", "nodir"],
            1,
            "nodir holds no reward model, for there is no such folder",
        ),
        (
            ["--judge", "scripted:", "--max-abstentions", "5"],
            2,
            "'--max-abstentions': Input should be",
        ),
        (["--reward", "gone.yaml"], 2, "--reward gone.yaml: there is no such file"),
    ],
)
def test_what_cannot_score_is_told(more, code, says, hrlaif, responses, tmp_path):
    told = hrlaif.here("score", responses, "-o", tmp_path / "out.jsonl", *more, code=code)
    assert says in told.stderr
