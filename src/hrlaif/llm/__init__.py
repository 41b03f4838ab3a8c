"""Text in, text out: which language model is meant by `packaged:gemma-3-270m`?

Read `protocols.LanguageModel` for what each does. Importing this package loads no torch.
"""

from __future__ import annotations

from typing import Annotated

from hrlaif.errors import UsageError
from hrlaif.llm.local import Local, Packaged
from hrlaif.llm.remote import Remote
from hrlaif.llm.scripted import Scripted
from hrlaif.llm.vllm import Vllm
from hrlaif.protocols import LanguageModel
from hrlaif.settings import Settings, one_of

__all__ = ["AnyModel", "Local", "Packaged", "Remote", "Scripted", "Vllm", "any_model", "open_model"]

_FORMS = (
    "local:PATH_OR_HUB_ID (a folder, a hub id or a .gguf file), packaged:NAME (see "
    "`hrlaif models`), remote:MODEL, vllm:PATH_OR_HUB_ID, or scripted:SETTING=VALUE,..."
)


def open_model(text: str) -> Settings:
    """The model that a command line or a configuration names, such as `local:Qwen/Qwen2.5-0.5B`.

    Nothing is loaded before the first question. Raises UsageError that lists the forms.
    """
    kind, colon, rest = text.partition(":")
    if kind == "scripted":
        pairs = [part.partition("=") for part in rest.split(",") if part]
        if any(not equals for _, equals, _ in pairs):
            raise UsageError(f"{text!r}: give settings as scripted:accuracy=0.8,seed=3")
        return Scripted.parse({key.strip(): value for key, _, value in pairs}, where="scripted")
    if not colon or not rest:
        raise UsageError(f"{text!r} is no model: give {_FORMS}")
    if kind == "local":
        return Local(path=rest)
    if kind == "packaged":
        return Packaged(name=rest)
    if kind == "remote":
        return Remote(model=rest)
    if kind == "vllm":
        return Vllm(model=rest)
    raise UsageError(f"{text!r} is no model: {kind!r} is not a kind; give {_FORMS}")


_KINDS = one_of(Packaged, Local, Remote, Vllm, Scripted, shorthand=open_model)
AnyModel = Annotated[LanguageModel, _KINDS]
"""A setting that is a language model: a table with its `kind`, or a string for `open_model`."""


def any_model(values: object) -> LanguageModel:
    """A model from what YAML says: a string for `open_model`, or a kind and its settings."""
    found: LanguageModel = _KINDS.parse(values)
    return found
