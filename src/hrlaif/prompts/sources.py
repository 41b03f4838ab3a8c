"""Where do prompts come from? The starter set, any file of rows, or a hub data set."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Self, final

from pydantic import Field, model_validator

from hrlaif.errors import DataError
from hrlaif.llm.prompting import with_options
from hrlaif.progress import number, say
from hrlaif.records import Message, Prompt
from hrlaif.rows import prompts_from, read_rows
from hrlaif.settings import Settings

STARTER = Path(__file__).parent / "starter"


@final
class Prompts(Settings):
    """Which prompts, how many, and how they are split."""

    source: str | dict[str, Annotated[float, Field(gt=0)]] = "starter"
    """`starter` (480 prompts written for this project), a file, or a hub data set's id; or several
    with their weights, `{chat.jsonl: 3, math.jsonl: 1}`: any beginning of the prompts holds them in
    these shares, as long as none runs out."""
    test_source: str | None = None
    """Where test prompts come from; empty: of `starter` alone its held-out half, else a share of
    `source`."""
    train: int | None = Field(default=None, ge=1)
    """How many for SFT, labels and RL; all that are left when empty."""
    validation: int = Field(default=24, ge=0)
    """How many for the choices on the way: reward-model accuracy, checkpoints."""
    test: int = Field(default=48, ge=1)
    """How many for the evaluation at the end, never seen before it."""
    categories: tuple[str, ...] = ()
    """Only these categories; all when empty."""

    @model_validator(mode="after")
    def _names_a_source(self) -> Self:
        if not self.sources:
            raise ValueError("source: name a file, a hub data set's id or starter")
        return self

    @property
    def sources(self) -> dict[str, float]:
        """Each source with its weight."""
        return {self.source: 1.0} if isinstance(self.source, str) else self.source


def collect(settings: Prompts, *, seed: int) -> list[Prompt]:
    """Train, validation and test prompts, each spread evenly over the categories of a source.

    Says how many are left out where `train` is fewer than there are.
    """
    own_test = settings.source == "starter" or settings.test_source is not None
    pool = _in_shares(settings, seed)
    if own_test:
        test = _mixed(settings.test_source or "starter", "heldout", settings, seed)
        test = test[: settings.test]
    else:
        test, pool = pool[: settings.test], pool[settings.test :]
    seen = {p.messages for p in test}
    pool = [p for p in pool if p.messages not in seen]
    validation, train = pool[: settings.validation], pool[settings.validation :]
    unused = len(train[settings.train :]) if settings.train else 0
    train = train[: settings.train]
    named = " and ".join(settings.sources)
    if not train:
        raise DataError(
            f"{named} has too few prompts: of {len(pool) + len(test)}, "
            f"{settings.validation} for validation and {settings.test} for the test leave none to "
            "train on; name a larger source or ask for fewer, with prompts.validation and "
            "prompts.test"
        )
    if unused:
        left = number(unused, "prompt")
        say(f"{left} of {named} not used: prompts.train is {settings.train} (null: all)")
    splits = (("train", train), ("validation", validation), ("test", test))
    return [p.model_copy(update={"split": name}) for name, group in splits for p in group]


def _load(source: str, half: str) -> list[Prompt]:
    where = str(STARTER / f"{half}.jsonl") if source == "starter" else source
    # Equal questions under different ids would stand on both sides of a split.
    found: dict[tuple[Message, ...], Prompt] = {}
    try:
        for prompt in map(with_options, prompts_from(read_rows(where))):
            found.setdefault(prompt.messages, prompt)
    except DataError as error:
        setting = "source" if half == "train" else "test_source"
        raise DataError(f"prompts.{setting}: {error}") from None
    return list(found.values())


def _in_shares(settings: Prompts, seed: int) -> list[Prompt]:
    """The prompts of all sources, each with its share of any beginning; equal ones once.

    The k-th of a source of weight w comes at (k - 1/2) / w: no source of two or three is ever more
    than one prompt away from its share, of eight two.
    """
    placed = []
    for place, (source, weight) in enumerate(settings.sources.items()):
        prompts = _mixed(source, "train", settings, seed)
        placed += [((k + 0.5) / weight, place, source, p) for k, p in enumerate(prompts)]
    found: dict[tuple[Message, ...], Prompt] = {}
    ids: set[str] = set()
    for _, _, source, prompt in sorted(placed, key=lambda one: one[:2]):
        if prompt.messages in found:
            continue
        while prompt.id in ids:  # another source's
            prompt = prompt.model_copy(update={"id": f"{Path(source).stem}/{prompt.id}"})
        ids.add(prompt.id)
        found[prompt.messages] = prompt
    return list(found.values())


def _mixed(source: str, half: str, settings: Prompts, seed: int) -> list[Prompt]:
    """One prompt of each category in turn, each category in a seeded order."""
    prompts = _load(source, half)
    by_category: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        if not settings.categories or prompt.category in settings.categories:
            by_category.setdefault(prompt.category or "", []).append(prompt)
    if not by_category:
        known = sorted({p.category or "none" for p in prompts})
        raise DataError(f"{source} has none of {settings.categories}, but {known}")
    rounds: list[tuple[int, float, Prompt]] = []
    for category, group in sorted(by_category.items()):
        coin = random.Random(f"{seed}/{category}")
        coin.shuffle(group)
        rounds += [(n, coin.random(), prompt) for n, prompt in enumerate(group)]
    return [prompt for _, _, prompt in sorted(rounds, key=lambda r: r[:2])]
