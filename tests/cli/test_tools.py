import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from hrlaif.llm.call import Call
from hrlaif.llm.ledger import Ledger


@pytest.fixture
def ledger(hrlaif, write, tmp_path):
    rows = [{"prompt": f"q{n}", "responses": ["yes", "no, not at all"]} for n in range(3)]
    out = tmp_path / "out.jsonl"
    hrlaif.here("label", write("pairs.jsonl", rows), "-o", out, "--judge", "scripted:")
    return tmp_path / "out.ledger.sqlite"


def test_calls_are_counted_listed_exported_and_pruned(hrlaif, ledger, tmp_path):
    (cost,) = json.loads(hrlaif("calls", ledger, "--json").stdout)
    assert cost["calls"] == 6
    assert len(json.loads(hrlaif.here("calls", ledger, "list", "--json").stdout)) == 6
    assert "scripted" in hrlaif("calls", ledger, "list").stdout
    out = tmp_path / "calls.jsonl"
    assert hrlaif.here("calls", ledger, "export", "-o", out).stdout.startswith("6 calls in")
    assert len(out.read_text().splitlines()) == 6
    assert (
        hrlaif.here("calls", ledger, "prune", "--model", "scripted").stdout == "6 answers deleted\n"
    )
    taken = hrlaif.here("calls", ledger, "import", "--from", out).stdout
    assert taken == f"6 new answers in {ledger}\n"
    hrlaif.here("calls", ledger, "prune", "--model", "scripted")
    assert json.loads(hrlaif.here("calls", ledger, "list", "--json").stdout) == []


def test_of_the_calls_those_of_one_stage_or_model_are_listed(hrlaif, tmp_path):
    path = tmp_path / "ledger.sqlite"
    for stage, model in (("label", "a"), ("label", "b"), ("evaluate", "a")):
        with Ledger(path, stage=stage) as book:
            said = json.dumps({"text": "yes"})
            key = f"{stage}-{model}"
            book.record(Call(key=key, model=model, kind="generate", request={}, response=said))

    def listed(*options):
        done = hrlaif.here("calls", path, "list", "--json", *options)
        return {row["key"] for row in json.loads(done.stdout)}

    assert listed() == {"label-a", "label-b", "evaluate-a"}
    assert listed("--model", "a") == {"label-a", "evaluate-a"}
    assert listed("--model", "a", "--stage", "label") == {"label-a"}
    assert listed("--limit", "1") < listed()
    assert hrlaif.here("calls", path, "list", "--model", "c").stdout == "no such calls\n"


def test_answers_are_brought_into_a_run_that_is_not_there_yet(hrlaif, ledger, tmp_path):
    out, run = tmp_path / "calls.jsonl", tmp_path / "runs" / "mine"
    hrlaif.here("calls", ledger, "export", "-o", out)
    taken = hrlaif.here("calls", run, "import", "--from", out).stdout
    assert taken == f"6 new answers in {run / 'ledger.sqlite'}\n"
    hrlaif.here("init", run)
    assert {"config.yaml", "ledger.sqlite"} <= {path.name for path in run.iterdir()}
    other = tmp_path / "other.sqlite"
    hrlaif.here("calls", other, "import", "--from", out)
    assert other.is_file()


def test_one_call_is_shown_with_what_it_asked_and_was_answered(hrlaif, write, tmp_path):
    path = tmp_path / "ledger.sqlite"
    asked = {"messages": [{"role": "user", "content": "Which?\n1 or 2?"}]}
    with Ledger(path, stage="label") as book:
        for key in ("ab1", "ab2", "c%"):
            said = json.dumps({"choices": [{"text": f"the {key}"}]})
            book.record(Call(key=key, model="m", kind="generate", request=asked, response=said))
    shown = hrlaif.here("calls", tmp_path, "show", "--key", "ab1").stdout
    assert "  - content: |-\n      Which?\n      1 or 2?\n" in shown
    assert "text: the ab1" in shown
    found = json.loads(hrlaif.here("calls", path, "show", "--key", "c", "--json").stdout)
    assert (found["key"], found["stage"], found["request"]) == ("c%", "label", asked)
    assert json.loads(found["response"]) == {"choices": [{"text": "the c%"}]}
    told = hrlaif.here("calls", path, "show", "--key", "ab", code=2).stderr
    assert f"{path}: several keys begin with 'ab': give more of it" in told
    # No letter of a key stands for others.
    assert "no key begins" in hrlaif.here("calls", path, "show", "--key", "%", code=2).stderr


def test_calls_are_found_by_the_file_that_was_written_from_them(hrlaif, ledger, tmp_path):
    out = tmp_path / "out.jsonl"
    cost = hrlaif.here("calls", ledger, "--json").stdout
    assert json.loads(cost)[0]["calls"] == 6
    assert hrlaif.here("calls", out, "--json").stdout == cost
    out.unlink()  # it may still be under way
    assert hrlaif.here("calls", out, "--json").stdout == cost


def test_what_is_no_ledger_is_not_to_be_moved_away(hrlaif, ledger, tmp_path):
    for given in (tmp_path / "pairs.jsonl", tmp_path):
        told = hrlaif.here("calls", given, code=1).stderr
        assert "with OUT.ledger.sqlite beside it" in told
        assert "move it away" not in told


@pytest.mark.parametrize("action", ["list", "cost", "batches"])
def test_a_ledger_that_holds_nothing_says_so(action, hrlaif, ledger):
    gone = hrlaif.here("calls", ledger, "prune", "--model", "scripted").stdout
    assert gone == "6 answers deleted\n"
    said = "no batches under way\n" if action == "batches" else "no calls\n"
    assert hrlaif.here("calls", ledger, action).stdout == said
    assert json.loads(hrlaif.here("calls", ledger, action, "--json").stdout) == []


@pytest.mark.parametrize("action", ["list", "cost"])
def test_calls_in_a_pipe_are_whole_lines(action, hrlaif, ledger):
    rows = json.loads(hrlaif.here("calls", ledger, action, "--json").stdout)
    shown = hrlaif("calls", ledger, action, environment={"COLUMNS": "40"}).stdout.splitlines()
    assert shown[0].split() == list(rows[0])
    assert [line.split() for line in shown[1:]] == [
        [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["calls", "gone.sqlite"], 1, "there is no ledger gone.sqlite"),
        (
            ["calls", "LEDGER", "burn"],
            2,
            "'burn' is none of cost, list, show, batches, export, import, prune, forget",
        ),
        (["calls", "LEDGER", "prune"], 2, "--older-than-days or --model"),
        (["calls", "LEDGER", "prune", "--older-than-days", "nan"], 2, "greater than or equal to 0"),
        (["calls", "LEDGER", "prune", "--older-than-days", "1e12"], 2, "no answer can be that old"),
        (["calls", "LEDGER", "prune", "--older-than-days", "1e6"], 2, "no answer can be that old"),
        (["calls", "LEDGER", "prune", "--older-than-days", "-5"], 2, "greater than or equal to 0"),
        (["calls", "LEDGER", "export"], 2, "needs -o"),
        (["calls", "LEDGER", "export", "-o", "LEDGER"], 2, "name a .jsonl or .jsonl.gz file"),
        (["calls", "LEDGER", "export", "-o", "x.parquet"], 2, "name a .jsonl or .jsonl.gz file"),
        (["calls", "LEDGER", "export", "-o", "x.gz"], 2, "name a .jsonl or .jsonl.gz file"),
        (["serve", "--judge", "scripted:", "--missing", "nan"], 2, "nan is no reward: give a fin"),
        (["serve", "--judge", "scripted:", "--missing", "-inf"], 2, "-inf is no reward"),
        (["calls", "LEDGER", "import"], 2, "needs --from"),
        (["calls", "LEDGER", "show"], 2, "needs --key"),
        (["calls", "LEDGER", "show", "--key", "zz"], 2, "no key begins with 'zz': see `hrlaif"),
        (["models", "burn"], 2, "'burn' is none of list, fetch, verify"),
        (["labl"], 2, "Did you mean 'label'?"),
    ],
)
def test_what_cannot_be_is_told(arguments, code, says, hrlaif, ledger):
    given = [str(ledger) if word == "LEDGER" else word for word in arguments]
    assert says in hrlaif.here(*given, code=code).stderr
    assert json.loads(hrlaif.here("calls", ledger, "--json").stdout)[0]["calls"] == 6


def test_a_ledger_is_not_written_over_whatever_it_is_called(hrlaif, ledger, tmp_path):
    book = ledger.rename(tmp_path / "book.jsonl")
    told = hrlaif.here("calls", book, "export", "-o", book, code=2).stderr
    assert f"{book} would be replaced, and it is what is read" in told
    out = tmp_path / "new" / "calls.jsonl.gz"
    assert hrlaif.here("calls", book, "export", "-o", out).stdout == f"6 calls in {out}\n"
    assert hrlaif.here("calls", book, "prune", "--older-than-days", 0).stdout.startswith("6 ")


def test_models_are_listed_with_their_licences_and_what_they_are_for(hrlaif):
    shown = hrlaif.here("models").stdout
    small, judge = (line for line in shown.splitlines() if line.startswith("packaged:"))
    assert small.startswith("packaged:gemma-3-270m ")
    assert "a policy to train" in small
    assert "no judge" in small
    assert judge.startswith("packaged:qwen2.5-coder-1.5b-instruct ")
    assert "Apache-2.0" in shown
    rows = {row["model"]: row for row in json.loads(hrlaif.here("models", "--json").stdout)}
    assert len(rows) == shown.count("packaged:")
    assert rows["packaged:qwen2.5-coder-1.5b-instruct"]["licence"] == "Apache-2.0"
    assert rows["packaged:qwen2.5-coder-1.5b-instruct"]["notes"].startswith("a small judge or")


def test_the_version_is_told_without_a_command(hrlaif):
    assert hrlaif.here("--version").stdout == f"hrlaif {version('hrlaif')}\n"


def test_python_m_hrlaif_is_hrlaif(hrlaif):
    script = Path(sys.executable).with_name("hrlaif")
    environment = dict(hrlaif.environment)
    shown = subprocess.run([script, "--help"], capture_output=True, env=environment, check=True)
    assert shown.stdout.decode() == hrlaif("--help").stdout.replace("python -m hrlaif", "hrlaif")


def test_a_reader_that_leaves_gets_no_traceback(hrlaif, ledger):
    process = hrlaif.start("calls", ledger, "list", "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1
