"""What can be set, and what can be called? Writes settings.md and commands.md.

python docs/reference.py [FOLDER]     # `make docs`; a test checks that both are current
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from hrlaif.cli import app
from hrlaif.config import Config
from hrlaif.errors import BudgetReached, HrlaifError, Interrupted, TooManyAbstentions, UsageError
from hrlaif.settings import Settings, kind_of, one_of

_REQUIRED = "required"
NOTE = "<!-- Written by `make docs`: change the docstrings instead. -->"

EXITS = {
    0: "done",
    HrlaifError.exit_code: "not done: the message says why, and the next move",
    UsageError.exit_code: "an option, an argument or a setting that is not possible",
    TooManyAbstentions.exit_code: "done and written, but more than `--max-abstentions` have no "
    "verdict; `hrlaif run` stops after that stage",
    BudgetReached.exit_code: "`--max-cost` is reached: with a higher one the same command goes on",
    Interrupted.exit_code: "Ctrl-C: the same command goes on",
}


def settings_page() -> str:
    """Every setting of a run with its default and its meaning; a part's kinds follow it."""
    lines = [
        "# Settings",
        NOTE,
        "",
        "What `config.yaml` may hold; each setting that it does not name is as here.",
        "`--set a.b=value` changes one, `hrlaif plan RUN` shows what they cost. A part with a",
        '`kind` may be one of several, or a class of your own as `kind: "module:Class"`. Where a',
        "part has one line only, its kind is enough: `judge: packaged:NAME`.",
    ]
    lines += _section(Config, None, "", {})
    return "\n".join(lines) + "\n"


_Shown = dict[type[Settings], tuple[str, dict[str, str]]]
"""Where the settings of a class are listed, and with which defaults."""


def _section(part: type[Settings], default: object, path: str, shown: _Shown) -> Iterator[str]:
    """The settings of a part, with the defaults that are in force at this path."""
    rows, below, said = [], [], _defaults(part, default)
    for name, field in part.model_fields.items():
        kinds = [*_parts(field)]
        below.append((f"{path}.{name}" if path else name, kinds, _value(part, default, name)))
        if kinds[1:] and isinstance(below[-1][2], Settings):
            said[name] = f"`{kind_of(below[-1][2])}`, below"
        text = " ".join((field.description or _about(kinds[0])).split())
        rows.append(f"| `{name}` | {said[name]} | {text} |")
    yield ""
    yield from ["| setting | default | |", "|---|---|---|", *rows] if rows else ["No settings."]
    for where, kinds, own in below:
        known = [kind for kind in kinds if kind in shown]
        if known:
            names = ", ".join(f"`{kind_of(kind.model_construct())}`" for kind in known)
            what = f"{names}: as" if len(kinds) > 1 else "As"
            others = "".join(_others(kind, own, shown[kind][1]) for kind in known)
            yield from ["", f"## {where}", "", f"{what} under `{shown[known[0]][0]}`{others}."]
        for kind in kinds:
            if kind not in shown:
                shown[kind] = where, _defaults(kind, own)
                title = f"{where}: {kind_of(kind.model_construct())}" if kinds[1:] else where
                yield from ["", f"## {title}", "", _about(kind)]
                yield from _section(kind, own, where, shown)


def _others(part: type[Settings], default: object, listed: dict[str, str]) -> str:
    """`, but `samples` is `1``: where the defaults at one path are not those listed at another."""
    own = _defaults(part, default)
    given = [
        f"`{name}` is {own[name]}"
        for name in own
        if own[name] not in (listed[name], _REQUIRED)  # it is required wherever it is no default
    ]
    return f", but {', '.join(given)}" if given else ""


def _defaults(part: type[Settings], default: object) -> dict[str, str]:
    """Each setting of a part and what it is when it is not given."""
    return {name: _default(_value(part, default, name)) for name in part.model_fields}


def _value(part: type[Settings], default: object, name: str) -> Any:
    """The default of a setting: as its block's own default has it, else as its class."""
    if type(default) is part:
        return getattr(default, name)
    field = part.model_fields[name]
    return field.get_default(call_default_factory=True, validated_data={})


def _about(part: type[Settings]) -> str:
    return " ".join((part.__doc__ or "").split("\n\n")[0].split())


def _parts(field: FieldInfo) -> Iterator[type[Settings]]:
    """The settings classes that a field may hold."""
    yield from _within(Annotated[field.annotation, *field.metadata, None])


def _within(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
        return
    arguments = typing.get_args(annotation)
    choices = [a for a in arguments if isinstance(a, one_of)]
    for argument in choices or arguments:
        yield from argument.classes.values() if choices else _within(argument)


def _default(value: Any) -> str:
    if _holds_settings(value):
        return "below"
    if value is None:
        return "empty"
    if repr(value) == "PydanticUndefined":
        return _REQUIRED
    return f"`{json.dumps(value)}`"


def _holds_settings(value: Any) -> bool:
    if isinstance(value, dict):
        value = tuple(value.values())
    return isinstance(value, Settings) or (
        isinstance(value, tuple) and any(map(_holds_settings, value))
    )


def commands_page() -> str:
    """What `hrlaif --help` and each command's `--help` print."""
    lines = [
        "# Commands",
        NOTE,
        "",
        "Each ends with one of these codes:",
        "",
        "| code | |",
        "|---|---|",
    ]
    lines += [f"| {code} | {text} |" for code, text in EXITS.items()]
    lines += ["", "`hrlaif --help`, page by page."]
    command = typer.main.get_command(app)
    for name in ["", *command.commands]:
        asked = [*filter(None, [name]), "--help"]
        width = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
        shown = CliRunner().invoke(app, asked, env=width, prog_name="hrlaif").output
        text = "\n".join(line.rstrip() for line in shown.strip().splitlines())
        lines += ["", f"## hrlaif {name}".rstrip(), "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    (folder / "settings.md").write_text(settings_page(), "utf-8")
    (folder / "commands.md").write_text(commands_page(), "utf-8")
