"""What does asking all this cost, with log-probabilities and without, and how is that said?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hrlaif.estimates import Asked, Work
from hrlaif.llm.prices import dollars, in_a_batch, price
from hrlaif.llm.remote import Remote
from hrlaif.protocols import LanguageModel
from hrlaif.records import Row
from hrlaif.settings import compute

_VOTE = 4
"""Tokens of a vote, of a model that answers at once; one that reasons may take all it may."""


class Price(NamedTuple):
    """Calls, tokens and US dollars; dollars are None where a price is not known."""

    calls: int
    read: int
    written: int
    usd: float | None


def price_of(asked: Sequence[Asked]) -> Price:
    """Of all models together."""
    return together([Price(*work.counted, usd(model, work)) for work, model in asked])


def together(prices: Sequence[Price]) -> Price:
    """The sum."""
    return Price(
        sum(price.calls for price in prices),
        sum(price.read for price in prices),
        sum(price.written for price in prices),
        total(price.usd for price in prices),
    )


def by_votes(asked: Sequence[Asked]) -> tuple[Price, Price] | None:
    """Where servers give no log-probabilities: what is expected, and the most that votes can be.

    A label is then `votes` answers of up to `vote_tokens`, and the first question of each model is
    asked once more, for the log-probabilities. None where no remote model is asked for a label.
    """
    if not any(work.voted and isinstance(model, Remote) for work, model in asked):
        return None
    usual: list[Asked] = []
    most: list[Asked] = []
    seen: list[LanguageModel | None] = []
    for work, model in asked:
        if isinstance(model, Remote) and work.voted:
            tried = model not in seen
            seen.append(model)
            usual.append((_voted(work, model, min(_VOTE, model.vote_tokens), tried), model))
            most.append((_voted(work, model, model.vote_tokens, tried), model))
        else:
            usual.append((work, model))
            most.append((work, model))
    return price_of(usual), price_of(most)


def _voted(work: Work, model: Remote, tokens: int, tried: bool) -> Work:
    votes = model.votes * work.voted
    return Work(
        calls=work.calls - work.voted + votes + tried,
        read=work.read
        + (model.votes - 1) * work.voted_read
        + tried * work.voted_read // work.voted,
        written=work.written + votes * tokens,
    )


def usd(model: LanguageModel | None, work: Work) -> float | None:
    """US dollars; None where the price is not known."""
    if not isinstance(model, Remote):
        return 0.0
    if work.counted == (0, 0, 0):
        return 0.0
    known = model.price or price(model.model, model.base_url)
    if compute().batch:
        known = in_a_batch(known, model.base_url)
    return dollars(known, work.read, work.written)


def total(parts: Iterable[float | None]) -> float | None:
    """The sum; None where a part is not known."""
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


def in_words(asked: Sequence[Asked]) -> str:
    """`at most 24 calls to remote:m, about $0.02`, and what they are by votes; empty for none."""
    models = [model for work, model in asked if work.calls and model is not None]
    if not models:
        return ""
    names = " and ".join(dict.fromkeys(model.name for model in models))
    found = price_of(asked)
    unknown = ", whose price is not known" if found.usd is None else ""
    batched = _batched(models, found)
    told = f"at most {found.calls:,} calls to {names}{unknown}{_paid(found)}{batched}"
    return told + in_words_by_votes(by_votes(asked))


def in_words_by_votes(found: tuple[Price, Price] | None) -> str:
    """`; where the server gives no log-probabilities 121 calls, ...`; empty where it is all one."""
    if found is None:
        return ""
    usual, most = found
    told = f"; where the server gives no log-probabilities {usual.calls:,} calls{_paid(usual)}"
    if most.usd is None:
        return f"{told}, and at most {most.written:,} written"
    if most.usd < 0.01 or most == usual:
        return told
    money = _money(most.usd).removeprefix("about ")
    return f"{told}, and at most {money} where answers take all their vote_tokens"


def too_little(asked: Sequence[Asked]) -> str:
    """That the maximum cost in force is less than the estimate; empty where it is not."""
    most, found = compute().max_cost, price_of(asked).usd
    votes = by_votes(asked)
    if most is None or found is None:
        return ""
    if most < found:
        return (
            f"a --max-cost of ${most:g} will not suffice: the work stops, resumably, before its end"
        )
    if votes and votes[0].usd is not None and most < votes[0].usd:
        return (
            f"a --max-cost of ${most:g} will not suffice where the server gives no "
            "log-probabilities: the work then stops, resumably, before its end"
        )
    return ""


def as_row(asked: Sequence[Asked]) -> Row:
    """The same for machines."""
    votes = by_votes(asked)
    known = price_of(asked)
    models = [model.name for work, model in asked if work.calls and model is not None]
    row: Row = {"models": list(dict.fromkeys(models)), **row_of(known)}
    row["without_logprobs"] = row_by_votes(votes)
    limit = compute().max_cost
    enough = None if limit is None or known.usd is None else limit >= known.usd
    return {**row, "batch": compute().batch, "max_cost": limit, "max_cost_suffices": enough}


def row_by_votes(found: tuple[Price, Price] | None) -> Row | None:
    """What is expected and the most that it can be, for machines; None where it is all one."""
    if found is None:
        return None
    usual, most = found
    most_of = {"most_completion_tokens": most.written, "most_usd": _rounded(most.usd)}
    return {**row_of(usual), **most_of}


def row_of(price: Price) -> Row:
    """Under the names of a ledger's counts, for machines."""
    counts = {"calls": price.calls, "prompt_tokens": price.read, "completion_tokens": price.written}
    return {**counts, "usd": _rounded(price.usd)}


def _rounded(cost: float | None) -> float | None:
    return None if cost is None else round(cost, 6)


def _paid(price: Price) -> str:
    if price.usd is None:
        return f", about {price.read:,} tokens read and {price.written:,} written"
    return f", {_money(price.usd)}" if price.usd else ""


def _money(cost: float) -> str:
    return f"about ${cost:.2f}" if cost >= 0.01 else "less than $0.01"


def _batched(models: Sequence[LanguageModel], price: Price) -> str:
    remote = [model for model in models if isinstance(model, Remote)]
    if not compute().batch or not remote or not price.usd:
        return ""
    cheaper = any(in_a_batch((1.0, 1.0), model.base_url) != (1.0, 1.0) for model in remote)
    return " at the price of batches" if cheaper else " (no lower price of batches is known)"
