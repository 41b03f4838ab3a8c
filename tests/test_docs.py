import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hrlaif.errors import HrlaifError

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), {"__name__": "docs"})


@pytest.fixture(scope="module")
def known():
    """Every command and its options."""
    import typer

    from hrlaif.cli import app

    commands = typer.main.get_command(app).commands
    return {
        name: {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
        for name, command in commands.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_their_options_are_known(page, known):
    text = page.read_text("utf-8")
    called = "\n".join([*blocks(page, "bash"), *re.findall(r"`(hrlaif [^`]+)`", text)])
    for line in called.splitlines():
        found = re.search(r"(?:^|[ /])hrlaif ([a-z]+)(.*)", line.partition("#")[0])
        if found is None or found[1] == "COMMAND":
            continue
        assert found[1] in known, line
        flags = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", found[2])) - {"--help"}
        assert flags <= known[found[1]], line
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    for target in re.findall(r"\bmake ([a-z-]+)", called):
        assert target in targets


def test_the_pages_of_settings_and_commands_are_those_of_the_code(tmp_path, hrlaif):
    script = REPOSITORY / "docs" / "reference.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, env=dict(hrlaif.environment))
    for name in ("settings.md", "commands.md"):
        written = (REPOSITORY / "docs" / name).read_text("utf-8")
        assert written == (tmp_path / name).read_text("utf-8"), "run `make docs`"


@pytest.mark.parametrize("page", ["docs/study.md", "docs/from-study-to-policy.md"])
def test_settings_on_the_way_from_a_study_to_a_policy_fit_the_maps_that_they_name(page):
    import yaml

    from hrlaif.config import Config
    from hrlaif.labeling.calibrated import refuse_unfitting
    from hrlaif.statistics import Calibration

    found = [Config.parse(yaml.safe_load(text)) for text in blocks(REPOSITORY / page, "yaml")]
    assert found
    asked = "pairwise/packaged:qwen2.5-coder-1.5b-instruct/general-base-{}"
    for config in found:
        way = asked.format("2shot" if config.labeling.calibrations else "0shot")
        maps = [Calibration(method="temperature", slope=0.5, labeler=way)]
        refuse_unfitting(config.labeling.labeler, config.judge, maps, "temperature")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("sft.optimizer", "| `learning_rate` | `0.0005` |"),
        ("sft.optimizer", "| `warmup_steps` | `2` |"),
        ("reward.optimizer", "but `learning_rate` is `0.0002`, `warmup_steps` is `5`."),
        ("policy.optimizer", "but `learning_rate` is `0.0002`, `warmup_steps` is `0`."),
        ("policy.checkpoints", "but `every` is `10`."),
        ("evaluation.sampling", "but `samples` is `1`."),
        ("judge", 'but `name` is `"packaged:qwen2.5-coder-1.5b-instruct"`.'),
    ],
)
def test_the_page_of_settings_has_the_defaults_in_force(path, says):
    page = (REPOSITORY / "docs" / "settings.md").read_text("utf-8")
    assert says in page.partition(f"\n## {path}\n")[2].partition("\n## ")[0]


def test_every_exit_code_is_told():
    codes = {error.exit_code for error in [HrlaifError, *HrlaifError.__subclasses__()]}
    page = (REPOSITORY / "docs" / "commands.md").read_text("utf-8")
    told = re.findall(r"^\| (\d+) \| \S", page, re.M)
    assert sorted(map(int, told)) == sorted({0, *codes})


def test_the_tables_of_the_study_are_those_of_its_pages(tmp_path):
    folder = REPOSITORY / "docs" / "study"
    subprocess.run([sys.executable, folder / "tables.py", tmp_path], check=True)
    written = (folder / "tables.md").read_text("utf-8")
    assert written == (tmp_path / "tables.md").read_text("utf-8"), "run `make docs`"
    assert (tmp_path / "agreement.svg").stat().st_size > 10_000


STAND_IN = """#!/bin/sh
echo "hrlaif $*" >> called
case "$1 $3" in
"calls import") ;;
"calls export") touch "$6" ;;
*) mkdir -p "$4" && echo "hrlaif $*" | tee "$4/study.json" > "$4/study.html" ;;
esac
case "$*" in *"${FAILS:-nothing}"*) exit 3 ;; esac
"""


@pytest.fixture
def remade(tmp_path):
    """run.sh of the study with an `hrlaif` that only notes its arguments: exit code, all calls."""
    (tmp_path / "hrlaif").write_text(STAND_IN)
    (tmp_path / "hrlaif").chmod(0o755)

    def run(**settings):
        script = REPOSITORY / "docs" / "study" / "run.sh"
        settings = {**os.environ, "HRLAIF": "./hrlaif", **settings}
        done = subprocess.run(["sh", script, "data", "out"], cwd=tmp_path, env=settings)
        return done.returncode, (tmp_path / "called").read_text("utf-8").splitlines()

    return run


def test_the_study_is_remade_by_the_commands_in_its_pages(remade, tmp_path):
    answers = tmp_path / "out" / "pandalm" / "answers.jsonl.gz"
    answers.parent.mkdir(parents=True)
    answers.touch()
    code, calls = remade()
    assert code == 0
    folder = REPOSITORY / "docs" / "study"
    pages = sorted(folder.rglob("study.json"))
    for page in pages:
        command = json.loads(page.read_text("utf-8"))["about"]["command"]
        assert (tmp_path / "out" / page.relative_to(folder)).read_text().strip() == command
    assert len([call for call in calls if call.startswith("hrlaif study")]) == len(pages) == 18
    ledger = "hrlaif calls runs/study/pandalm/ledger.sqlite"
    assert calls[0] == f"{ledger} import --from out/pandalm/answers.jsonl.gz"
    assert calls[4] == f"{ledger} export --answers-only -o out/pandalm/answers.jsonl.gz"


def test_further_ways_are_asked_of_each_judge_alone_and_none_twice(remade):
    code, calls = remade(VARIANTS="detailed-rationale,detailed-2shot-rationale")
    ways = [call.split(" --variants ")[1].split()[0] for call in calls if " --variants " in call]
    assert code == 0
    assert all("detailed-2shot-rationale" in ways[n] for n in range(18) if n % 3 != 1)
    assert not any("rationale" in ways[n] for n in range(1, 18, 3))
    assert all(len(set(names.split(","))) == len(names.split(",")) for names in ways)


def test_answers_of_a_study_that_was_stopped_are_kept(remade, tmp_path):
    code, calls = remade(FAILS="autoj_eval_p/pairs.jsonl.gz")
    assert code == 3
    assert calls[-1].startswith("hrlaif calls runs/study/auto_j/ledger.sqlite export")
    assert not (tmp_path / "out" / "auto_j" / "study.json").exists()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
