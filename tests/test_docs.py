import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_tables_of_the_study_are_those_of_its_pages(tmp_path):
    folder = REPOSITORY / "docs" / "study"
    subprocess.run([sys.executable, folder / "tables.py", tmp_path], check=True)
    written = (folder / "tables.md").read_text("utf-8")
    assert written == (tmp_path / "tables.md").read_text("utf-8"), "run `make docs`"
    assert (tmp_path / "agreement.svg").stat().st_size > 10_000


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
