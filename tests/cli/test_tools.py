import json
import subprocess
import sys
from pathlib import Path

import pytest


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
            "'burn' is none of cost, list, batches, export, import, prune, forget",
        ),
        (["calls", "LEDGER", "prune"], 2, "--older-than-days or --model"),
        (["calls", "LEDGER", "export"], 2, "needs -o"),
        (["calls", "LEDGER", "import"], 2, "needs --from"),
        (["models", "burn"], 2, "'burn' is none of list, fetch, verify"),
        (["labl"], 2, "Did you mean 'label'?"),
    ],
)
def test_what_cannot_be_is_told(arguments, code, says, hrlaif, ledger):
    given = [str(ledger) if word == "LEDGER" else word for word in arguments]
    assert says in hrlaif.here(*given, code=code).stderr


def test_models_are_listed_with_their_licences(hrlaif):
    shown = hrlaif.here("models").stdout
    assert "packaged:gemma-3-270m" in shown
    assert "packaged:qwen2.5-coder-1.5b-instruct" in shown
    assert "Apache-2.0" in shown


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
