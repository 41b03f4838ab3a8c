"""Does Ctrl-C end every command with 130, and does the same command then go on?"""

import json
import signal
import time

import pytest

JUDGE = ("--judge", "scripted:latency=0.3", "--concurrency", "1")


def files(write):
    rows = [
        {"id": f"p{n}", "prompt": f"How much is {n}?", "response": f"It is {n}.", "category": "x"}
        for n in range(12)
    ]
    pairs = [
        {
            "id": row["id"],
            "prompt": row["prompt"],
            "responses": [row["response"], "No idea."],
            "human_preference": n % 2,
        }
        for n, row in enumerate(rows)
    ]
    others = [{**row, "response": "No idea."} for row in rows]
    return write("pairs.jsonl", pairs), write("a.jsonl", rows), write("b.jsonl", others)


@pytest.mark.parametrize("command", ["label", "score", "compare", "study", "redteam"])
def test_ctrl_c_is_told_with_130_and_the_same_command_goes_on(command, hrlaif, write, tmp_path):
    pairs, a, b = files(write)
    out = tmp_path / ("out.jsonl" if command in ("label", "score") else "out")
    given = {
        "label": ("label", pairs, "-o", out, *JUDGE),
        "score": ("score", a, "-o", out, *JUDGE),
        "compare": ("compare", a, b, "-o", out, *JUDGE),
        "study": ("study", pairs, "-o", out, *JUDGE),
        "redteam": ("redteam", "--target", "scripted:", "--limit", "2", "-o", out, *JUDGE),
    }[command]
    ledger = tmp_path / "out.ledger.sqlite" if out.suffix else out / "ledger.sqlite"
    process = hrlaif.start(*given)
    end = time.monotonic() + 60
    while not (ledger.exists() and booked(hrlaif, ledger)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was done is kept, the same command goes on" in stderr
    assert (stdout, "Traceback" in stderr) == ("", False)
    if command in ("label", "score", "compare"):
        done = json.loads(hrlaif(*given, "--concurrency", "16", "--json").stdout)
        assert done["cost"]["found_again"] > 0


def booked(hrlaif, ledger):
    try:
        return json.loads(hrlaif.here("calls", ledger, "list", "--json").stdout)
    except AssertionError:  # it is there, and not yet a ledger
        return []
