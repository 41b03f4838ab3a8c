"""Which key goes to which server? It comes from the environment, and is never stored or shown."""

from __future__ import annotations

import os
import re

from hrlaif.errors import ModelError
from hrlaif.llm.prices import OPENAI, is_loopback
from hrlaif.progress import say

KEY_VARIABLE = "OPENAI_API_KEY"
"""Where the key is, unless a model says otherwise."""
_WARNED: set[str] = set()


def without(text: str, secret: str) -> str:
    """Without the key, should a server or a proxy repeat it; as it came in every other respect."""
    return text.replace(secret, "***") if len(secret) >= 8 else text


def redact(text: str, secret: str) -> str:
    """A text about an error without this key and whatever looks like one: nobody learns from it."""
    return re.sub(r"\b(sk-|Bearer )[A-Za-z0-9_.-]{8,}", r"\1***", without(text, secret))


def key_for(base_url: str, variable: str = KEY_VARIABLE) -> str:
    """The key from the environment; a server on this machine needs none, so it gets a dummy.

    Raises ModelError where the key is missing, or can be none.
    """
    secret = os.environ.get(variable, "").strip()
    if not (secret.isascii() and secret.isprintable()):
        raise ModelError(
            f"{variable} holds characters that no key has (quotation marks of a text, a hidden "
            "blank, a line break?): copy the key once more, from the provider's page"
        )
    if is_loopback(base_url):
        return secret or "none"
    if not secret and base_url.startswith(OPENAI):
        raise ModelError(f"{variable} is not set: {OPENAI} needs a key, other servers a base_url")
    if secret and base_url.startswith("http:") and base_url not in _WARNED:
        _WARNED.add(base_url)
        say(f"  warning: the key in {variable} travels unencrypted to {base_url}: use https")
    return secret or "none"
