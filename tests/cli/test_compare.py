import json

import pytest


@pytest.fixture
def sides(write):
    def side(name, ends):
        rows = [
            {
                "id": f"p{n}",
                "prompt": f"Tell me about {n}.",
                "response": f"{n} is {ends * (n % 6)}{n % 3}.",
            }
            for n in range(30)
        ]
        return write(f"{name}.jsonl", rows)

    return side("a", "odd "), side("b", "most certainly ")


def test_the_win_rate_is_raw_and_length_controlled(hrlaif, sides, tmp_path):
    judge = "scripted:length_bias=0.45"
    done = hrlaif("compare", *sides, "-o", tmp_path / "out", "--judge", judge, "--json")
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "out" / "compare.json").read_text())
    won = found["win_rate"]
    assert won["asked"] == 30
    assert won["overall"]["low"] <= won["overall"]["value"] <= won["overall"]["high"]
    # The judge likes the longer side, B; at equal length less of that is left.
    controlled = won["length_controlled"]["win_rate"]["value"]
    assert controlled < won["overall"]["value"]
    rows = (tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()
    assert len(rows) == 30
    again = hrlaif("compare", *sides, "-o", tmp_path / "out", "--judge", judge)
    assert won["statement"] in again.stdout


def test_files_of_other_prompts_are_refused(hrlaif, sides, write, tmp_path):
    other = write("c.jsonl", [{"id": "x", "prompt": "?", "response": "!"}])
    out = tmp_path / "out"
    told = hrlaif("compare", sides[0], other, "-o", out, "--judge", "scripted:", code=1)
    assert "no prompt id is in both lists" in told.stderr
