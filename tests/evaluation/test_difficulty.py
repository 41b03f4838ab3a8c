"""The files behind lc_difficulty and lc_alpaca_v1, as AlpacaEval writes them."""

import json

import pytest

from hrlaif.errors import DataError
from hrlaif.evaluation.difficulty import read_difficulty
from hrlaif.rows import read_rows


def test_alpaca_evals_own_files_are_read_as_they_are(tmp_path):
    (tmp_path / "instruction_difficulty.csv").write_text(",instruction_difficulty\n0,0.5\n1,-1\n")
    header = "index,preference,std_delta_len,instruction_difficulty,not_gamed_baseline\n"
    (tmp_path / "df_gamed.csv").write_text(f"{header}0,0.75,-1.5,0.5,False\n1,0.1,0.4,-1,False\n")
    found = read_difficulty(
        read_rows(tmp_path / "instruction_difficulty.csv"), read_rows(tmp_path / "df_gamed.csv")
    )
    assert found.gamma == {"0": 0.5, "1": -1.0}
    assert found.gamed == ((0.75, 0.1), (-1.5, 0.4), (0.5, -1.0), ("0", "1"))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"instruction_difficulty": 1}, "no id"),
        ({"id": "a"}, "no instruction_difficulty"),
        ({"id": "a", "difficulty": "much"}, "difficulty 'much' is no number"),
        ({"id": "a", "difficulty": "NaN"}, "difficulty 'NaN' is no number"),
        ({"id": "a", "difficulty": "-inf"}, "difficulty '-inf' is no number"),
    ],
)
def test_a_row_that_lacks_something_is_named(write, row, what):
    with pytest.raises(DataError, match=rf"d\.jsonl, line 1: .*{what}"):
        read_difficulty(read_rows(write("d.jsonl", [row])))


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ({"preference": 1.4}, "preference 1.4 is no probability .*are 1 to 2, so subtract 1"),
        ({"preference": -0.1}, "preference -0.1 is no probability"),
        ({"preference": "nan"}, "preference 'nan' is no number"),
        ({"std_delta_len": "inf"}, "std_delta_len 'inf' is no number"),
    ],
)
def test_a_gamed_row_out_of_range_is_named(write, column, what):
    hard = {"id": "a", "difficulty": 1.0}
    rows = [{**hard, "preference": p, "std_delta_len": 0.5} for p in (0.0, 1.0)]
    rows.append({**rows[0], **column})
    given = [read_rows(write("d.jsonl", [hard])), read_rows(write("g.jsonl", rows))]
    with pytest.raises(DataError, match=rf"g\.jsonl, line 3: {what}"):
        read_difficulty(*given)
    assert read_difficulty(given[0], given[1][:2]).gamed.wins == (0.0, 1.0)


def test_compare_adds_the_estimators_that_the_files_allow(hrlaif, write, tmp_path):
    def side(name, words):
        return write(
            f"{name}.jsonl",
            [
                {"id": str(n), "prompt": f"Say {n}.", "response": f"{n} {words * (n % 5 + 1)}."}
                for n in range(40)
            ],
        )

    pair = side("a", "yes "), side("b", "certainly yes ")
    hard = write("d.jsonl", [{"id": n, "instruction_difficulty": n / 20 - 1} for n in range(40)])
    gamed = write(
        "g.jsonl",
        [
            {"id": n, "preference": 0.3 + n % 3 / 5, "std_delta_len": s, "difficulty": n / 20 - 1}
            for n in range(40)
            for s in (-1.0, 1.0)
        ],
    )
    given = (*pair, "-o", tmp_path / "out", "--judge", "scripted:length_bias=0.4")
    told = hrlaif.here("compare", *given, "--gamed", gamed, code=2)
    assert "--gamed goes with --difficulty" in told.stderr
    done = hrlaif("compare", *given, "--difficulty", hard, "--gamed", gamed, "--json")
    won = json.loads(done.stdout)["win_rate"]
    names = [won[k]["estimator"] for k in won if k.startswith("length_") and won[k]]
    assert names == ["lc_minimal", "lc_ratio", "lc_difficulty", "lc_alpaca_v1"]
    assert won["length_alpaca_v1"]["win_rate"]["n"] == 40
    short = write("short.jsonl", [{"id": "0", "instruction_difficulty": 1.0}])
    told = hrlaif.here("compare", *given, "--difficulty", short, code=1)
    assert "prompt '1' has no difficulty (39 of 40 lack one)" in told.stderr
    assert "Traceback" not in told.stderr
