"""The command that other trainers ask: serve."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hrlaif.cli.options import (
    BaseUrl,
    Concurrency,
    GradedBy,
    MaxCost,
    computing,
    model_of,
    reward_of,
)
from hrlaif.errors import UsageError
from hrlaif.llm.ledger import Ledger
from hrlaif.machine import install
from hrlaif.progress import say
from hrlaif.settings import using

_KEY = "HRLAIF_SERVE_KEY"
_NAMES = ("127.0.0.1", "localhost", "::1")  # of this machine, under which programs on it ask
Judge = Annotated[str | None, typer.Option(help="Grade with this judge, from 1 to 10.")]
RewardModel = Annotated[Path | None, typer.Option(help="Score with this reward model.")]
Reward = Annotated[
    str | None,
    typer.Option(help="Any reward: a kind, YAML such as '{kind: checked}', or its file."),
]
Host = Annotated[str, typer.Option(help="Where to listen; 0.0.0.0: everywhere.")]
Port = Annotated[int, typer.Option(help="0: any that is free.")]
Missing = Annotated[
    float | None,
    typer.Option(help="Reward where there is none; without it such a request is refused."),
]
Book = Annotated[Path, typer.Option(help="Where the judge's answers are kept.")]


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    app.command()(serve)


def serve(
    judge: Judge = None,
    reward_model: RewardModel = None,
    reward: Reward = None,
    task: GradedBy = None,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    host: Host = "127.0.0.1",
    port: Port = 5000,
    missing: Missing = None,
    ledger: Book = Path("serve.ledger.sqlite"),
    max_cost: MaxCost = None,
) -> None:
    """Give rewards to other trainers over HTTP: OpenRLHF, verl, LLaMA-Factory, align-anything.

    Rewards are on the scale of a run: grades from -1 to 1, reward models normalised. Where
    HRLAIF_SERVE_KEY is set, requests must bring that key.
    """
    if missing is not None and not math.isfinite(missing):
        raise UsageError(f"--missing {missing} is no reward: give a finite number")
    _need_extra()
    from hrlaif.engines import server
    from hrlaif.engines.batches import Batches
    from hrlaif.listening import listen, loopback
    from hrlaif.llm import Remote, Vllm
    from hrlaif.reward import Direct

    asked = reward_of(judge, reward_model, reward, task, normalise=True)
    model = None if judge is None else model_of(judge, base_url)
    key = os.environ.get(_KEY)
    if not key and not loopback(host):
        say(f"whoever reaches {host} can ask, and spend: set {_KEY} to a key that they must bring")
    _try(asked, model)
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    lines = _lines(f"http://{shown}:{listening.getsockname()[1]}", asked, model)
    with (
        using(computing(base_url, concurrency, max_cost)),
        Ledger(ledger, stage="serve", max_cost=max_cost),
    ):
        apart = 0
        if isinstance(model, Remote | Vllm) and isinstance(asked, Direct):
            apart = model.at_once
        names = () if key or not loopback(host) else (*_NAMES, host)
        served = server.Served(Batches(asked, model, apart=apart), missing, key, names)
        server.serve(served, listening, lambda: print("\n".join(lines), flush=True))


def _need_extra() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UsageError(f"serve needs `{install('serve')}`") from None


def _try(reward: Any, judge: Any) -> None:
    """Loads what is on this machine, so that what is missing is told now and not to a trainer."""
    from hrlaif.llm import Local, Packaged, Vllm
    from hrlaif.records import Chat, Message, Prompt, Response

    hello = Prompt(id="", messages=(Message(role="user", content="Hello"),))
    if isinstance(judge, Local | Packaged):
        judge.count_tokens([Chat(messages=hello.messages)])
    if isinstance(judge, Vllm):
        judge.start()
    reward.score([] if judge else [Response(prompt=hello, text="Hello")], judge)


def _lines(url: str, reward: Any, judge: Any) -> list[str]:
    from hrlaif.engines.forms import FORMS

    by = f" by {judge.name}" if judge else ""
    names = ("OpenRLHF", "LLaMA-Factory", "align-anything", "verl's and vLLM's classifiers")
    return [
        f"{type(reward).__name__}{by}",
        *(f"  {url}{path}   {name}" for path, name in zip(FORMS, names, strict=True)),
        f"  {url}/score   rows as `hrlaif score` reads them",
        "Ctrl-C ends it.",
    ]
