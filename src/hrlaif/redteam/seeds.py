"""What is asked? Harmful requests by kind of harm, and innocent ones that only sound alarming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from hrlaif.errors import DataError
from hrlaif.messages import language_of
from hrlaif.progress import number
from hrlaif.records import Message, Prompt, digest
from hrlaif.rows import prompts_from, read_rows
from hrlaif.rows.known import file_of, say_once

T = TypeVar("T")
STARTER = Path(__file__).parent / "seeds"
Kind = Literal["harmful", "benign"]
Half = Literal["train", "heldout"]
Turns = tuple[Message, ...]


class Seed(NamedTuple):
    """One request, plainly put."""

    prompt: Prompt
    hazard: str
    """The kind of harm, or of harmless look-alike; `other` where nobody said."""

    @property
    def request(self) -> str:
        """The last turn."""
        return self.prompt.messages[-1].content

    @property
    def language(self) -> str:
        """`en` or `zh`, by the row or else by the letters."""
        return self.prompt.language or language_of(self.request)


def read_seeds(
    source: str,
    kind: Kind,
    *,
    half: Half | None = None,
    limit: int | None = None,
    without: Collection[Turns] = (),
) -> list[Seed]:
    """Seeds to train on, or those held out for the evaluation; without a half all of a file.

    The starter set has its own halves, of which training gets one in any case; of a file, a third
    by lot is held out. Rows that ask the same are read once, and prompts of `without` are left out;
    both are said. Raises DataError for a row without a prompt, one whose `harmful` says the
    opposite, and an id of two prompts.
    """
    where = str(STARTER / f"{kind}.{half or 'train'}.jsonl") if source == "starter" else source
    rows = read_rows(where)
    file, asked = file_of(rows[0].where), {prompt.messages for prompt in prompts_from(rows)}
    if again := len(rows) - len(asked):
        say_once(f"{file}: {number(again, 'row')} left out: an earlier row asks the same")
    found: dict[Turns, Seed] = {}
    for row in rows:
        [prompt] = prompts_from([row])
        if prompt.messages[-1].role != "user":
            raise DataError(f"{row.where}: the last turn is not the user's: mend or drop that row")
        if prompt.harmful is not None and prompt.harmful != (kind == "harmful"):
            raise DataError(
                f"{row.where}: harmful is {str(prompt.harmful).lower()} in a file of {kind} "
                "prompts: drop that row"
            )
        if half and source != "starter" and _half(prompt) != half:
            continue
        hazard = str(row.values.get("hazard") or prompt.category or "other")
        found.setdefault(prompt.messages, Seed(prompt, hazard))
    kept = [seed for turns, seed in found.items() if turns not in without]
    if seen := len(found) - len(kept):
        say_once(
            f"{file}: {seen} of {number(len(found), 'prompt')} kept for the end left out: training "
            "asks the same"
        )
    return spread(kept, lambda seed: seed.hazard, limit)


def unmarked(seeds: Sequence[Seed]) -> bool:
    """Whether no row said that it asks for harm, as where they are prompts of any kind."""
    return all(
        seed.prompt.harmful is None and seed.hazard == (seed.prompt.category or "other")
        for seed in seeds
    )


def _half(prompt: Prompt) -> Half:
    """By its turns: the same prompt under another id is in the same half."""
    return "train" if drawn("half", _turns(prompt)) % 3 else "heldout"


def _turns(prompt: Prompt) -> list[list[str]]:
    return [[turn.role, turn.content] for turn in prompt.messages]


def of_run(prompts: Sequence[Prompt], kind: Kind) -> list[Seed]:
    """A run's own prompts that are marked harmful, or harmless though in the category safety."""
    if kind == "harmful":
        chosen = [p for p in prompts if p.harmful]
    else:
        chosen = [p for p in prompts if p.harmful is False and p.category == "safety"]
    return [Seed(p, "other") for p in chosen if p.messages[-1].role == "user"]


def told_apart(seeds: Iterable[Seed], kind: Kind, taken: dict[str, str]) -> list[Seed]:
    """Each seed once, with an id of its own: answers are kept and mended by it.

    An id that `taken` has for another prompt gets the prompt's digest behind it; `taken` is added
    to, so that several lists are told apart.
    """
    found, asked = [], {*taken.values()}
    for seed in seeds:
        prompt = seed.prompt
        said = digest([kind, _turns(prompt)])
        if said not in asked:
            name = f"{prompt.id}/{said}" if prompt.id in taken else prompt.id
            taken[name] = said
            asked.add(said)
            found.append(seed._replace(prompt=prompt.model_copy(update={"id": name})))
    return found


def spread(items: Iterable[T], kind: Callable[[T], str], limit: int | None) -> list[T]:
    """The first of each kind in turn, then the second of each, until there are enough."""
    rank: Counter[str] = Counter()
    placed = []
    for n, item in enumerate(items):
        placed.append((rank[kind(item)], n, item))
        rank[kind(item)] += 1
    return [item for _, _, item in sorted(placed, key=lambda p: p[:2])][:limit]


def asking(seed: Seed, id: str, messages: tuple[Message, ...]) -> Prompt:
    """The prompt of one attack on a seed, as training will see it."""
    return Prompt(
        id=id,
        messages=messages,
        category="safety",
        harmful=seed.prompt.harmful,
        language=seed.language,
        split="train",
    )


def drawn(*what: object) -> int:
    """A number by lot that is the same on every machine."""
    return int(digest(list(what)), 16)
