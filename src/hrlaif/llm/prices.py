"""What does a call cost? A small dated list, and zero for a server on this machine."""

from __future__ import annotations

import ipaddress
import re
from functools import cache
from importlib import resources
from urllib.parse import urlsplit

OPENAI = "https://api.openai.com/v1"
_IN_A_BATCH = {"api.openai.com": 0.5, "api.groq.com": 0.5}
"""The share of its price that a call in a batch costs; all of it where it is not known."""


def price(model: str, base_url: str = OPENAI) -> tuple[float, float] | None:
    """US dollars per million input and output tokens; None where it is not known.

    A price holds for the server that charges it: the same model elsewhere is not known.
    """
    if is_loopback(base_url):
        return 0.0, 0.0
    listed = _listed().get(urlsplit(base_url).hostname or "", {})
    # `gpt-4o-2024-08-06` is a dated build of `gpt-4o`.
    found = listed.get(model) or listed.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model))
    return None if found is None else (float(found[0]), float(found[1]))


def dollars(
    per_million: tuple[float, float] | None, prompt_tokens: int, completion_tokens: int
) -> float | None:
    """US dollars at a price per million input and output tokens."""
    if per_million is None:
        return None
    return (prompt_tokens * per_million[0] + completion_tokens * per_million[1]) / 1e6


def in_a_batch(
    per_million: tuple[float, float] | None, base_url: str
) -> tuple[float, float] | None:
    """What a price is for calls in a batch; the same where the server is not known to ask less."""
    if per_million is None:
        return None
    share = _IN_A_BATCH.get(urlsplit(base_url).hostname or "", 1.0)
    return share * per_million[0], share * per_million[1]


def is_loopback(base_url: str) -> bool:
    """True for `localhost`, `127.0.0.1`, `::1` and the like."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@cache
def _listed() -> dict[str, dict[str, list[float]]]:
    import yaml

    text = resources.files("hrlaif.llm").joinpath("prices.yaml").read_text("utf-8")
    return {host: models for host, models in yaml.safe_load(text).items() if host != "as_of"}
