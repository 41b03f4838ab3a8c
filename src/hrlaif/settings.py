"""Settings that can act: what stands in YAML, what is built in Python and what a receipt stores."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from hrlaif.errors import UsageError


class Settings(BaseModel):
    """A frozen part of the configuration; unknown keys are refused with a suggestion.

    What a block leaves unsaid is as in the default of its field, and not of its class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _beside_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        found = dict(values)
        for name, field in cls.model_fields.items():
            own, given = field.default, values.get(name)
            if not isinstance(own, Settings) or not isinstance(given, Mapping):
                continue
            if given.get("kind") in (None, kind_of(own)):  # another kind has other settings
                found[name] = {n: getattr(own, n) for n in own.model_fields_set} | dict(given)
        return found

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Validates plain values; raises UsageError naming each key and the next move."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise UsageError(explain(error, cls, where=where)) from None


def kind_of(part: object) -> str:
    """`AlwaysLonger` of this package is `always_longer`; another's is `module:Class`.

    A class of this package whose name is taken says `kind: ClassVar[str]` itself.
    """
    cls = type(part)
    if cls.__module__.split(".")[0] == "hrlaif":
        own: str | None = cls.__dict__.get("kind")
        return own or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    return f"{cls.__module__}:{cls.__qualname__}"


def plain(part: Settings) -> dict[str, Any]:
    """The JSON-able form with its kind: what YAML and receipts hold."""
    return {"kind": kind_of(part), **part.model_dump(mode="json")}


_SENDING = {"timeout", "max_retries", "price", "key_variable"}


def answering(value: Any) -> Any:
    """JSON of settings without what of a remote model, or one in vLLM, no answer depends on."""
    if isinstance(value, list):
        return [answering(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    away = _SENDING if value.get("kind") in ("remote", "vllm") else set()
    return {name: answering(one) for name, one in value.items() if name not in away}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


class one_of:
    """The kinds that a setting may be: one of these classes by name, or "module:Class".

    `shorthand` turns a plain string such as `packaged:NAME` into a part.
    """

    def __init__(
        self, *classes: type[Settings], shorthand: Callable[[str], Settings] | None = None
    ):
        self.classes = {kind_of(cls.model_construct()): cls for cls in classes}
        self.shorthand = shorthand

    def parse(self, value: Any) -> Any:
        """An object with the verb from what YAML holds."""
        if isinstance(value, str) and self.shorthand:
            return self.shorthand(value)
        if isinstance(value, str):
            value = {"kind": value}
        if isinstance(value, Settings):
            return value
        if not isinstance(value, Mapping):
            raise UsageError(f"{value!r:.80} is no part: give a kind of {sorted(self.classes)}")
        values = dict(value)
        kind = values.pop("kind", next(iter(self.classes)))
        return self.find(kind).parse(values, where=kind)

    def find(self, kind: str) -> type[Settings]:
        """The class of a kind; raises UsageError when there is none."""
        if not isinstance(kind, str):
            raise UsageError(f"kind {kind!r} is not text, but one of {sorted(self.classes)}")
        if kind in self.classes:
            return self.classes[kind]
        module, colon, name = kind.partition(":")
        if not colon:
            close = difflib.get_close_matches(kind, self.classes, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(
                f'kind {kind!r} is none of {sorted(self.classes)}, and not "module:Class"{hint}'
            )
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"kind {kind!r} cannot be imported ({error}): is its folder on PYTHONPATH?"
            ) from None
        if not (isinstance(found, type) and issubclass(found, Settings)):
            raise UsageError(f"kind {kind!r} is not a class derived from hrlaif.Settings")
        return found

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def parse(value: Any) -> Any:
            part = self.parse(value)
            own = type(part) not in self.classes.values()
            if own and getattr(source, "_is_protocol", False) and not isinstance(part, source):
                raise UsageError(f"kind {kind_of(part)!r} is no {source.__name__}: see its methods")
            return part

        return core_schema.no_info_plain_validator_function(
            parse, serialization=core_schema.plain_serializer_function_ser_schema(plain)
        )


def explain(error: ValidationError, cls: type[BaseModel], *, where: str = "") -> str:
    """Pydantic's findings in the words of the configuration, a line each."""
    lines = []
    findings = error.errors()
    wrong = [finding["loc"] for finding in findings]
    for finding in findings:
        # Pydantic counts no item that it refused, and then misses them too.
        if finding["type"] == "too_short" and any(
            loc != finding["loc"] and loc[: len(finding["loc"])] == finding["loc"] for loc in wrong
        ):
            continue
        path = [str(step) for step in finding["loc"]]
        name = ".".join(([where] if where else []) + path)
        if finding["type"] == "extra_forbidden":
            known = _fields_at(cls, path[:-1])
            close = difflib.get_close_matches(path[-1], known, n=1)
            names = f"; known: {', '.join(sorted(known))}" if known else ""
            hint = f"; did you mean {close[0]!r}?" if close else names
            lines.append(f"{name} is not a setting{hint}")
        else:
            shown = masked(repr(finding["input"]))
            # A block that does not fit together says which settings; all of it would hide them.
            whole = finding["type"] == "missing" or isinstance(finding["input"], dict)
            said = finding["msg"].removeprefix("Value error, ")
            # What begins with the value, in quotation marks, has named it.
            given = "" if whole or said.startswith(("'", '"')) else f", not {shown:.80}"
            lines.append(f"{name}: {said[:1].lower()}{said[1:]}{given}")
    return "\n".join(lines)


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    for step in path:
        field = cls.model_fields.get(step)
        if field is None:
            return []
        kinds = (field.annotation, *get_args(field.annotation))
        models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not models:
            return []
        cls = models[0]
    return list(cls.model_fields)


class Compute(Settings):
    """Where and how fast the work runs. Never fingerprinted: it changes speed, not results."""

    device: str = "auto"
    """`auto` (the GPU, else the CPU), `cpu`, `cuda`, `cuda:1`, or `mps`, a Mac's, which is not
    tested and has no float64."""
    precision: str = "auto"
    """`float32`, `bfloat16`, `int8` (frozen models on a CPU), or `auto`: what is quick there."""
    attention: Literal["sdpa", "flex"] = "sdpa"
    """How shared tokens attend: `flex` is FlexAttention, for long trees on a GPU."""
    compile: Literal["auto", "off"] = "auto"
    """`auto` compiles the elementwise chains of a model in training on a CPU where there is a C++
    compiler, which takes some seconds at first, and records decoding steps as graphs on a GPU."""
    batch_tokens: int | None = None
    """Tokens in one forward pass of a local model, with padding where there is any; empty: 2,048 on
    a CPU and 16,384 elsewhere."""
    concurrency: int = Field(default=16, ge=1)
    """Calls to a remote model under way at once, at each of its addresses."""
    endpoints: tuple[tuple[str, ...], ...] = ()
    """Lists of addresses that hold the same models, a `base_url` among them. Each call goes to the
    one with the most room, and one that fails is left out for a while."""
    batch: bool = False
    """Send remote models their questions in batches, answered within a day, at half the price where
    the provider says so. Not in the policy stage, which waits for the answers of each step."""
    threads: int | None = None
    """CPU threads; all cores when empty."""
    tracker: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None = None
    """Also send the figures of each training step there; its library must be installed."""
    max_cost: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Stop, resumably, before remote calls cost more than this many US dollars."""

    @field_validator("endpoints")
    @classmethod
    def _addresses(cls, given: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(map(web_address, same)) for same in given)


def web_address(url: str) -> str:
    """Without a slash at its end; raises ValueError where it is none, or holds a secret."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(
            f"{masked(repr(url))} is no address such as http://localhost:8000/v1: begin it with "
            "http:// or https://"
        )
    if parts.username or parts.password:
        raise ValueError("holds a password, which would be stored: use OPENAI_API_KEY for it")
    if "?" in url or "#" in url:
        raise ValueError(
            "goes on after its path, which would be stored: use OPENAI_API_KEY for a key"
        )
    return url.rstrip("/")


def masked(text: str) -> str:
    """A text without passwords and queries of the addresses in it."""
    text = re.sub(r"://.*@", "://***@", text)
    return re.sub(r"(https?://[^?#]*[?#]).*", r"\1***", text)


_COMPUTE: ContextVar[Compute] = ContextVar("compute")
_DEFAULT = Compute()


def compute() -> Compute:
    """The compute settings in force."""
    return _COMPUTE.get(_DEFAULT)


@contextmanager
def using(settings: Compute) -> Iterator[Compute]:
    """Puts compute settings in force for a block."""
    token = _COMPUTE.set(settings)
    try:
        yield settings
    finally:
        _COMPUTE.reset(token)


def use(settings: Compute) -> Compute:
    """Puts compute settings in force for all that follows in the block around it, as of `using`."""
    _COMPUTE.set(settings)
    return settings
