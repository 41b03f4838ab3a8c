import html
import json
import re
import shutil

import pytest

FILES = ["config.yaml", "prompts.jsonl", "sft", "responses.jsonl", "preferences.jsonl"]
FILES += ["abstentions.jsonl", "reward_model", "policy", "evaluation", "report.html"]
FILES += ["ledger.sqlite", "receipts"]


def test_one_command_passes_every_stage_and_writes_a_file_a_noun(finished):
    found = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    assert found == set(FILES)
    kept = (finished.folder / "config.yaml").read_text()
    assert kept.startswith(finished.config.read_text().rstrip())
    assert finished.stdout.strip() == str(finished.folder / "report.html")
    stages = re.findall(r"^\[(\d)/8\] (\w+) -> ", finished.stderr, re.M)
    assert [number for number, _ in stages] == list("12345678")
    assert "The policy's win rate is" in finished.stderr
    assert "Loading weights" not in finished.stderr
    assert "Writing model shards" not in finished.stderr
    receipt = json.loads((finished.folder / "receipts" / "label.json").read_text())
    assert receipt["command"].startswith(f"hrlaif run {finished.folder} --config")
    assert receipt["counts"]["comparisons"] == 18


def test_the_figures_agree_with_the_files(finished):
    metrics = json.loads((finished.folder / "evaluation" / "metrics.json").read_text())
    rows = (finished.folder / "evaluation" / "comparisons.jsonl").read_text().splitlines()
    answers = [json.loads(row) for row in rows]
    told = [1 - row["prob_a"] for row in answers if "prob_a" in row]
    told += [0.5 for row in answers if row["a"]["text"] == row["b"]["text"]]
    won = metrics["win_rate"]
    assert won["asked"] == len(rows) == 6
    assert won["overall"]["value"] == pytest.approx(sum(told) / len(told))
    assert won["statement"] in html.unescape((finished.folder / "report.html").read_text())


def test_status_plan_and_report_look_at_a_run(finished, hrlaif, tmp_path):
    state = json.loads(hrlaif("status", finished.folder, "--json").stdout)
    assert [stage["state"] for stage in state["stages"]] == ["done"] * 8
    assert all(stage["seconds"] >= 0 for stage in state["stages"])
    assert hrlaif("status", finished.folder).stdout.count(" done ") == 8
    planned = hrlaif("plan", finished.folder)
    assert "preferences.jsonl" in planned.stdout
    assert "nothing was sent" in planned.stderr
    found = json.loads(hrlaif.here("plan", finished.folder, "--json").stdout)
    assert [stage["state"] for stage in found["stages"]] == ["done"] * 8
    assert (found["left"]["calls"], found["left"]["usd"]) == (0, 0)
    copy = tmp_path / "run"
    shutil.copytree(finished.folder, copy)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("reward:\n", "reward:\n  epochs: 7\n"))
    changed = hrlaif.here("status", copy)
    assert (changed.stdout.count(" done "), changed.stdout.count(" stale ")) == (7, 1)
    assert "stale: reward was begun with reward.epochs = 1, now 7" in changed.stderr
    assert "reward.epochs = 1, now 7" in hrlaif.here("plan", copy).stderr
    anew = json.loads(hrlaif.here("run", copy, "--dry-run", "--redo", "label", "--json").stdout)
    assert [s["state"] for s in anew["stages"]] == ["done"] * 3 + ["to do"] * 5
    assert anew["left"]["calls"] == sum(s["calls"] for s in anew["stages"][3:]) > 0
    config.write_bytes((finished.folder / "config.yaml").read_bytes())
    (copy / "report.html").unlink()
    assert hrlaif("report", copy).stdout == f"{copy / 'report.html'}\n"
    assert (copy / "report.html").exists()
    (copy / "report.html").unlink()
    told = hrlaif.here("report", copy, "--json")
    assert json.loads(told.stdout)["columns"]
    assert (copy / "report.html").exists()


def test_a_dry_run_sends_and_writes_nothing(hrlaif, finished, tmp_path, server):
    judge = f"judge={{kind: remote, model: m, base_url: '{server.url}', price: [1, 1]}}"
    folder = tmp_path / "run"
    planned = hrlaif("run", folder, "--config", finished.config, "--dry-run", "--set", judge)
    assert "label" in planned.stdout
    assert "$" in planned.stdout
    assert "nothing was sent" in planned.stderr
    assert not server.calls
    assert not folder.exists()


def test_a_dry_run_prices_no_stage_after_until(hrlaif, finished, tmp_path):
    given = ("run", finished.folder, "--dry-run", "--until", "label")
    fresh = hrlaif.here(
        *("run", tmp_path / "run", *given[2:], "--config", finished.config, *finished.set), "--json"
    )
    found = json.loads(fresh.stdout)
    assert [s["stage"] for s in found["stages"]] == ["prompts", "sft", "responses", "label"]
    assert found["left"]["calls"] == sum(s["calls"] for s in found["stages"]) > 0
    done = json.loads(hrlaif.here(*given, "--json").stdout)
    assert (len(done["stages"]), done["left"]["calls"]) == (4, 0)
    refused = hrlaif.here(*given, "--redo", "policy", code=2)
    assert "--redo policy: it comes after --until label" in refused.stderr


def test_init_writes_a_recipe_once_and_never_over_another(hrlaif, tmp_path):
    folder = tmp_path / "run"
    hrlaif("init", folder, "--recipe", "rlaif")
    hrlaif("init", folder, "--recipe", "rlaif")
    text = (folder / "config.yaml").read_text()
    told = hrlaif("init", folder, "--recipe", "rlhf", code=2)
    assert "exists and differs" in told.stderr
    assert (folder / "config.yaml").read_text() == text
    assert "to do" in hrlaif("status", folder).stdout


def test_a_recipe_that_needs_a_file_of_the_user_s_says_so_and_a_first_try_binds_nothing(
    hrlaif, tmp_path, monkeypatch, write
):
    monkeypatch.chdir(tmp_path)
    assert "put the file of your pairs for PAIRS.jsonl in it" in (
        hrlaif.here("init", "run", "--recipe", "rlhf").stderr
    )
    assert "PAIRS" not in hrlaif.here("init", "other", "--recipe", "rlaif").stderr
    base = ["run", "run", "--set", "model=scripted:", "--set", "judge=scripted:"]
    base += ["--until", "prompts", "--set", "prompts.test=2", "--set", "prompts.validation=1"]
    refused = hrlaif.here(*base, code=1)
    assert "prompts.source: PAIRS.jsonl: no such file" in refused.stderr
    own = write("own.jsonl", [{"prompt": f"Say {n}."} for n in range(6)])
    hrlaif.here(*base, "--set", f"prompts.source={own}")
    assert len((tmp_path / "run" / "prompts.jsonl").read_text().splitlines()) == 6


def test_until_limit_and_redo_do_what_they_say(hrlaif, finished, tmp_path):
    folder = tmp_path / "run"
    base = ["run", folder, "--config", finished.config, "--until", "prompts", "--limit", "5"]
    done = hrlaif(*base)
    assert "[1/1] prompts -> prompts.jsonl" in done.stderr
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    assert sum(row["split"] == "train" for row in rows) == 5
    assert f"--limit 5 is kept in {folder / 'config.yaml'} as prompts.train=5" in done.stderr
    again = hrlaif("run", folder, "--until", "prompts")
    assert "prompts.train=5, as an earlier command asked" in again.stderr
    refused = hrlaif("run", folder, "--until", "prompts", "--limit", "6", code=1)
    assert "prompts was begun with prompts.train = 5, now 6" in refused.stderr
    hrlaif("run", folder, "--until", "prompts", "--limit", "6", "--redo", "prompts")
    assert len((folder / "prompts.jsonl").read_text().splitlines()) == 18
    hrlaif("run", folder, "--until", "prompts")
    assert "- prompts.train=6" in (folder / "config.yaml").read_text()


def test_a_configuration_that_does_not_fit_the_work_is_not_kept(hrlaif, finished, tmp_path):
    folder, other = tmp_path / "run", tmp_path / "other.yaml"
    hrlaif("run", folder, "--config", finished.config, "--until", "prompts")
    other.write_text(finished.config.read_text().replace("seed: 0", "seed: 1"))
    refused = hrlaif("run", folder, "--config", other, "--until", "prompts", code=1)
    assert "prompts was begun with seed = 0, now 1" in refused.stderr
    assert (folder / "config.yaml").read_text() == finished.config.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "RUN", "--until", "labels"], 2, "'labels' is none of prompts, responses"),
        (["run", "RUN", "--redo", "labels"], 2, "stage 'labels' is none of"),
        (["run", "RUN", "--set", "polcy.steps=1"], 2, "did you mean 'policy'?"),
        (["run", "RUN", "--set", "policy.stesp=1"], 2, "did you mean 'steps'?"),
        (["run", "RUN", "--set", "judge=packaged:nothere"], 1, "'nothere' is none of"),
        (["run", "RUN", "--redo", "labels", "--dry-run"], 2, "stage 'labels' is none of"),
        (["run", "RUN", "--set", "model=local:/not/here"], 1, "no such folder or .gguf file"),
        (["run", "RUN", "--set", "model=local:x"], 1, "no hub id, which is OWNER/NAME"),
        (["run", "RUN", "--set", "labeling.calibrations=[gone.json]"], 1, "no such file, seen"),
        (["plan", "RUN", "--set", "labeling.calibrations=[gone.json]"], 1, "no such file, seen"),
        (["run", "RUN", "--set", "reward.probabilities=temperature"], 2, "no map of that kind"),
        (
            ["run", "RUN", "--set", "reward.probabilities=isotonic", "--dry-run"],
            2,
            "labeling.labeler, which asks as pairwise/packaged:qwen2.5-coder-1.5b-instruct/"
            "general-base-0shot, has no map of that kind",
        ),
        (["run", "RUN", "--json"], 2, "run --json goes with --dry-run"),
        (["run", "GONE"], 2, "no such file"),
        (["status", "GONE"], 2, "no such file"),
        (["init", "GONE", "--recipe", "slow"], 2, "recipe 'slow' is none of"),
        (["run", "RUN", "--config", "gone.yaml"], 2, "gone.yaml: no such file"),
    ],
)
def test_what_cannot_be_is_told(arguments, code, says, hrlaif, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("sft: null\nprompts: {train: 2, validation: 1, test: 1}\n")
    names = {"RUN": folder, "GONE": tmp_path / "gone"}
    told = hrlaif.here(*(names.get(word, word) for word in arguments), code=code)
    assert says in told.stderr
    assert not (folder / "receipts").exists()
