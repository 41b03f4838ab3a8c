"""Is the house in order? File and function sizes, docstrings, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "hrlaif").rglob("*.py"))
IDS = [str(path.relative_to(ROOT / "src" / "hrlaif")) for path in SOURCES]


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 300
    for function in _functions(ast.parse(text)):
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno < 60, function.name


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_functions_take_at_most_five_positional_parameters(path: Path) -> None:
    for function in _functions(ast.parse(path.read_text("utf-8"))):
        if path.parent.name == "cli" and function.name in COMMANDS:
            continue
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        assert len([n for n in names if n not in ("self", "cls")]) <= 5, function.name


COMMANDS = (
    *("run", "label", "score", "check", "compare", "study", "vote", "calls"),
    *("redteam", "detector", "serve"),
)
"""Command functions, whose parameters are options and are given by name."""


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_modules_and_public_names_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def test_nothing_is_left_to_be_done() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    for path in SOURCES:
        text = path.read_text("utf-8")
        assert not [word for word in words if word in text], path


def test_importing_the_package_loads_neither_torch_nor_a_network_client() -> None:
    heavy = ("torch", "transformers", "scipy", "httpx2", "typer", "jinja2", "matplotlib")
    code = f"import hrlaif, sys; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "[]"


def test_the_command_line_shows_its_help_without_loading_torch() -> None:
    code = (
        "import sys; sys.argv = ['hrlaif', '--help']\n"
        "from hrlaif.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
