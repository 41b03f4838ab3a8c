"""What becomes of texts that are longer than a judge is shown."""

import json

import pytest

from hrlaif.errors import UsageError
from hrlaif.labeling import Pairwise

JUDGE = ("--judge", "scripted:accuracy=0.8")
CUT = ("--rationale-tokens", 6)


@pytest.fixture
def pairs(write):
    """Of twelve pairs three have a text of more than 200 characters: a prompt, an a and a b."""
    rows = [
        {"id": f"q{n}", "prompt": f"Why {n}?", "responses": [f"So {n}.", "Since."],
         "human_preference": 1.0 - n % 2}
        for n in range(12)
    ]  # fmt: skip
    rows[3]["prompt"] += "." * 200
    rows[5]["responses"][0] += "." * 200
    rows[7]["responses"][1] += "." * 200
    return write("pairs.jsonl", rows)


def test_labels_of_cut_texts_are_counted(hrlaif, pairs, tmp_path):
    command = ("label", pairs, "-o", tmp_path / "o.jsonl", *JUDGE)
    done = hrlaif.here(*command, "--max-chars", 200)
    assert "  3 of 12 pairs were cut to 200 characters" in done.stdout
    done = hrlaif.here(*command, "--json")
    assert json.loads(done.stdout)["truncated"] == 0
    assert "were cut" not in hrlaif.here(*command).stdout
    done = hrlaif.here(*command, "--max-chars", 200, "--json")
    assert json.loads(done.stdout)["truncated"] == 3


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_comparisons_of_cut_texts_are_counted_and_the_length_can_be_set(
    names, hrlaif, write, tmp_path
):
    def side(name):
        rows = [{"id": f"p{n}", "prompt": "?", "response": f"{name} {n}"} for n in range(8)]
        rows[3]["response"] += "." * (9000 if name == "b" else 0)
        return write(f"{name}.jsonl", rows)

    def compared(*more):
        done = hrlaif.here("compare", *map(side, names), "-o", tmp_path / "out", *JUDGE, *more)
        found = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
        text = done.stdout.partition("compare.json")[0]
        return found, text, (tmp_path / "out" / "compare.html").read_text("utf-8")

    found, text, page = compared()
    cut, count = (1, 8) if names == "ab" else (2, 24)  # b meets a and c
    assert found.get("win_rate", found)["truncated"] == cut
    assert [p["win_rate"]["truncated"] for p in found.get("pairs", ())] in ([], [1, 0, 1])
    assert f"  {cut} of {count} pairs were cut to 8,000 characters (--max-chars)" in text
    assert f"In {cut} of the comparisons a text was longer than the judge is shown" in page
    found, text, page = compared("--max-chars", 10000)
    assert found.get("win_rate", found)["truncated"] == 0
    assert "were cut" not in text
    assert "longer than the judge is shown" not in page


def test_the_length_is_part_of_what_a_job_was_begun_with(hrlaif, pairs, tmp_path):
    out = tmp_path / "o.jsonl"
    settings = {}
    for most in (200, 300):
        note = tmp_path / "o.jsonl.partial.json"
        # Nothing answers there, so the job is left as it was begun.
        judge = "{kind: remote, model: m, base_url: 'http://127.0.0.1:9/v1', max_retries: 0}"
        command = ("label", pairs, "-o", out, "--judge", judge, "--max-chars", most)
        hrlaif.here(*command, code=1)
        settings[most] = json.loads(note.read_text())["settings"]["labeler"]["max_chars"]
    assert settings == {200: 200, 300: 300}


def test_a_study_counts_cut_pairs_for_each_judge(hrlaif, pairs, tmp_path):
    more = ("--max-chars", 200, "--probes", 0, "--variants", "base")
    done = hrlaif.here("study", pairs, "-o", tmp_path / "s", *JUDGE, *more)
    found = json.loads((tmp_path / "s" / "study.json").read_text())
    assert [one["truncated"] for one in found["judges"].values()] == [3]
    assert found["about"]["variants"]["base"]["max_chars"] == 200
    assert "3 of 12 pairs were cut to 200 characters" in done.stdout
    page = (tmp_path / "s" / "study.html").read_text()
    assert "3 of 12 pairs were cut to 200 characters" in page


def test_rationales_are_cut_where_labels_and_a_study_are_told(hrlaif, pairs, tmp_path):
    hrlaif.here("label", pairs, "-o", tmp_path / "o.jsonl", *JUDGE, "--rationale", *CUT)
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    written = {text for row in rows for text in row["evidence"]["rationales"]}
    assert {len(text.split()) for text in written} == {6}
    more = (*CUT, "--probes", 0, "--variants", "base,base-rationale")
    hrlaif.here("study", pairs, "-o", tmp_path / "s", *JUDGE, *more)
    ways = json.loads((tmp_path / "s" / "study.json").read_text())["about"]["variants"]
    assert {way["rationale_tokens"] for way in ways.values()} == {6}


@pytest.mark.parametrize("command", ["label", "study"])
def test_a_rationale_of_no_tokens_is_refused_before_any_work(command, hrlaif, pairs, tmp_path):
    asked = (command, pairs, "-o", tmp_path / "o.jsonl", *JUDGE, "--rationale-tokens", 0)
    assert "--rationale-tokens" in hrlaif.here(*asked, code=2).stderr
    assert not (tmp_path / "o.jsonl").exists()
    with pytest.raises(UsageError, match="rationale_tokens"):
        Pairwise.parse({"rationale_tokens": 0}, where="labeling")
