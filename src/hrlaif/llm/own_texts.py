"""By which criteria of the user's own is a judge asked? A file in the form of the shipped ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from hrlaif.errors import UsageError
from hrlaif.records import digest

_CRITERIA = ("preamble", "reminder", "rationale_request", "exemplars")
"""What says what is good: never taken from another task."""
_NEEDED = ("preamble", "reminder")
_ASKS_FOR = ("better", "most_harmful")
_LABELS = ("1", "2")


def is_own(task: str) -> bool:
    """Whether a task is the path of a file, and not the name of shipped texts."""
    return Path(task).suffix in (".yaml", ".yml")


def own_tasks(settings: object) -> Iterator[str]:
    """Each text in settings, however deep, that is the path of such a file."""
    if isinstance(settings, str):
        yield from [settings] * is_own(settings)
    elif isinstance(settings, Mapping | Sequence):
        for value in settings.values() if isinstance(settings, Mapping) else settings:
            yield from own_tasks(value)


def named(task: str) -> str:
    """What stands in labels: a shipped task's name, or a file's with a digest of what it says."""
    return f"{Path(task).stem}@{digest(read(task), length=8)}" if is_own(task) else task


def frame(task: str) -> str:
    """The shipped task whose texts a file's are put into: they ask for the same of two."""
    return "harmless" if read(task).get("asks_for") == "most_harmful" else "general"


def texts(task: str, usual: Mapping[str, Any]) -> Mapping[str, Any]:
    """A file's texts; those that are no criteria are the usual ones where it does not give them.

    Raises UsageError naming the file and the text that is missing, unknown or misshapen.
    """
    own = dict(read(task))
    if isinstance(usual["preamble"], Mapping) and isinstance(own.get("preamble"), str):
        own["preamble"] = dict.fromkeys(usual["preamble"], own["preamble"])
    if missing := [name for name in _NEEDED if not own.get(name)]:
        raise UsageError(f"{task}: no {missing[0]}: it says what a good response is")
    if unknown := sorted(own.keys() - usual.keys()):
        raise UsageError(f"{task}: {unknown[0]} is none of {', '.join(sorted(usual))}")
    for name, value in own.items():
        _refuse_other_form(f"{task}: {name}", value, usual[name])
    if "asks_for" in own and own["asks_for"] not in _ASKS_FOR:
        raise UsageError(f"{task}: asks_for is {own['asks_for']!r}, not {' or '.join(_ASKS_FOR)}")
    reasons = ["rationale"] * ("rationale_request" in own)
    for number, shown in enumerate(own.get("exemplars", []), 1):
        _refuse_other_exemplar(f"{task}: exemplar {number}", shown, reasons)
    return {k: v for k, v in usual.items() if k not in _CRITERIA} | {"exemplars": []} | own


@lru_cache(maxsize=64)
def read(task: str) -> Mapping[str, Any]:
    """The file as it is."""
    try:
        found = yaml.safe_load(Path(task).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"task {task}: cannot be read ({error}): check its name") from None
    except yaml.YAMLError as error:
        raise UsageError(f"task {task}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping):
        raise UsageError(f"task {task}: holds a {type(found).__name__}, not texts with names")
    return found


def _refuse_other_form(where: str, value: object, usual: object) -> None:
    if isinstance(usual, Mapping):
        if not isinstance(value, Mapping) or value.keys() != usual.keys():
            raise UsageError(f"{where} is no table of {', '.join(usual)}")
    elif not isinstance(value, type(usual)):
        raise UsageError(f"{where} is a {type(value).__name__}, not a {type(usual).__name__}")
    if isinstance(usual, str) and isinstance(value, str) and _fields(value) != _fields(usual):
        raise UsageError(f"{where} must hold each of {', '.join(sorted(_fields(usual)))} once")


def _refuse_other_exemplar(where: str, shown: object, reasons: Sequence[str]) -> None:
    if not isinstance(shown, Mapping):
        raise UsageError(f"{where} is a {type(shown).__name__}, not texts with names")
    for name in ("prompt", "first", "second", *reasons, "label"):
        if name not in shown:
            raise UsageError(f"{where}: no {name}")
        if name != "label" and not isinstance(shown[name], str):
            raise UsageError(f"{where}: {name} is a {type(shown[name]).__name__}: quote the text")
    if str(shown["label"]) not in _LABELS:
        raise UsageError(f"{where}: label is {shown['label']!r}, not {' or '.join(_LABELS)}")


def _fields(text: str) -> set[str]:
    return set(re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text))
