"""How does a template become a page? One HTML file that needs no network and runs no script.

Every value is escaped by the template; the page's own Content-Security-Policy forbids scripts,
connections and every style but the sheet it carries.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Undefined
from markupsafe import Markup

from hrlaif.pages import words
from hrlaif.pages.charts import Charts

_TEMPLATES = Path(__file__).parent / "templates"
_FILTERS: dict[str, Callable[[Any], str]] = {
    "percent": words.percent,
    "plain": words.plain,
    "signed": lambda figure: words.plain(figure, signed=True),
    "points": words.points,
    "duration": words.duration,
    "money": words.money,
    "count": words.count,
    "digits": words.digits,
}


def _known(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """What a part that could not be read leaves undefined is unknown."""
    return lambda value: write(None if isinstance(value, Undefined) else value)


def render(folder: Path, template: str, charts: Charts, **values: Any) -> str:
    """The text of a page: a template of `folder`, the shared parts, and the charts' styles."""
    environment = Environment(
        loader=FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: _known(write) for name, write in _FILTERS.items()})
    rules = "".join(f".{name}{{{rule}}}\n" for name, rule in sorted(charts.rules.items()))
    style = "\n" + (_TEMPLATES / "style.css").read_text("utf-8") + rules
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template(template)
    return page.render(
        style=Markup(style), style_hash=digest, charts_available=charts.available, **values
    )


def save(path: Path, page: str) -> Path:
    """Writes a page whole or not at all, and returns its path."""
    temporary = path.with_name(path.name + ".tmp")
    # A lone surrogate in a response has no UTF-8; it becomes a question mark.
    temporary.write_bytes(page.encode("utf-8", "replace"))
    return temporary.replace(path)
