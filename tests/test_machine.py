import importlib.machinery
import importlib.metadata
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hrlaif import machine

REPOSITORY = Path(__file__).parents[1]


def test_an_extra_is_added_from_the_clone_to_the_python_that_runs():
    asked = shlex.split(machine.install("human"))
    assert asked == [sys.executable, "-m", "pip", "install", "-e", f"{REPOSITORY}[human]"]


@pytest.mark.parametrize(
    ("noted", "asked"),
    [
        ('{"url": "file:///my/clone", "dir_info": {}}', "hrlaif[hub] @ file:///my/clone"),
        (
            '{"url": "https://h.org/x", "vcs_info": {"vcs": "git"}}',
            "hrlaif[hub] @ git+https://h.org/x",
        ),
        (None, "hrlaif[hub]"),
    ],
)
def test_an_extra_of_an_installed_package_comes_from_where_that_came_from(
    noted, asked, monkeypatch, tmp_path
):
    class Installed:
        def read_text(self, name):
            return noted if name == "direct_url.json" else None

    monkeypatch.setattr(machine, "__file__", str(tmp_path / "lib" / "hrlaif" / "machine.py"))
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert shlex.split(machine.install("hub"))[-1] == asked


def test_where_pip_is_missing_it_comes_first(monkeypatch):
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", lambda name: None)
    assert machine.install("hub").startswith(f"{sys.executable} -m ensurepip && ")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="distutils is no part of this Python")
def test_naming_the_command_leaves_what_is_imported_later_as_it_is():
    imported = "from hrlaif import machine; machine.install('hub'); import distutils, setuptools"
    subprocess.run([sys.executable, "-W", "error", "-c", imported], check=True)


def test_no_message_says_to_install_from_an_index_where_nothing_is_released():
    said = [*(REPOSITORY / "src").rglob("*"), *(REPOSITORY / "docs").rglob("*.md")]
    found = [p for p in said if p.suffix in (".py", ".j2", ".md") and "'hrlaif[" in p.read_text()]
    assert found == []
