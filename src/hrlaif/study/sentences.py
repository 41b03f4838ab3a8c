"""What do the figures of a judge allow one to say? Plain sentences, for the page and the terminal.

Something is shown where the 95 % interval leaves out what would be no better.
"""

from __future__ import annotations

from hrlaif.pages import words
from hrlaif.pages.values import figure
from hrlaif.records import Row
from hrlaif.statistics import Figure

FEW = 30
"""Pairs of the test half below which figures say little."""


def lead(found: Row) -> str:
    """Of the first judge: how often it names what people prefer, or why that is not known."""
    name, one = next(iter(found["judges"].items()))
    agreement = figure(one["variants"][one["chosen"]]["agreement"])
    if agreement is not None:
        share = words.percent(agreement)
        return f"{name}, {one['chosen']} names the response that people prefer in {share}."
    if figure(found["baselines"]["always_longer"]) is None:
        return "People prefer no response in the test half."
    return f"{name}, {one['chosen']} gave no verdict on the test half."


def allowed(name: str, found: Row) -> list[str]:
    """Of one judge: beside a coin, beside the longer response, its pull to a position, its cuts."""
    one = found["judges"][name]
    best = one["variants"][one["chosen"]]
    agreement = figure(best["agreement"])
    if agreement is None:
        missing = "no pair of the test half has both a label and a preference"
        return [f"Nothing can be said of {one['chosen']}: {missing}."]
    said = [
        _beside_a_coin(one["chosen"], agreement),
        _beside_the_longer(one, agreement),
        _position(figure(best["same_position"])),
    ]
    if (one["calibration"] or {}).get("slope") == 0:
        said.append(
            "As calibrated its labels carry no information: the map makes each of them 0.5."
        )
    return [sentence for sentence in (*said, cut(one, found)) if sentence]


def few(found: Row) -> str:
    """That the test half is small; empty where it is not."""
    count = found["baselines"]["always_longer"]["n"]
    if count >= FEW:
        return ""
    return (
        f"The figures say little: the test half has fewer than {FEW} pairs with a preference "
        f"({count})."
    )


def cut(one: Row, found: Row) -> str:
    """That texts were longer than the judge is shown; empty where none were."""
    if not one["truncated"]:
        return ""
    most = found["about"]["variants"][one["chosen"]].get("max_chars")
    length = f" to {most:,} characters" if most else ""
    return f"{one['truncated']:,} of {found['pairs']['rows']:,} pairs were cut{length}."


def _beside_a_coin(way: str, agreement: Figure) -> str:
    share = (
        f"Asked by {way}, it names what people prefer in {words.percent(agreement)} of the pairs"
    )
    if agreement.low is None or agreement.high is None:
        return f"{share}, too few to say whether a coin would be as good."
    if agreement.low > 0.5:
        return f"{share}, which is shown to be better than a coin."
    if agreement.high < 0.5:
        return f"{share}, which is shown to be worse than a coin."
    return f"{share}, which is not shown to be better than a coin."


def _beside_the_longer(one: Row, agreement: Figure) -> str:
    difference = figure(one["against_longer"].get("difference"))
    if difference is None or difference.value is None or agreement.value is None:
        return ""
    longer = 100 * (agreement.value - difference.value)
    numbers = (
        f"{100 * agreement.value:.1f} % against {longer:.1f} % on the same pairs, a difference of "
        f"{words.points(difference)}"
    )
    rule = "always naming the longer response"
    if difference.low is not None and difference.low > 0:
        return f"It is shown to be better than {rule}: {numbers}."
    if difference.high is not None and difference.high < 0:
        return f"It is shown to be worse than {rule}: {numbers}."
    return f"It is not shown to be better than {rule}: {numbers}."


def _position(same: Figure | None) -> str:
    if same is None:
        return "It was asked in one order only, so how far the position sways it is not known."
    return (
        f"In {words.percent(same)} of pairs it names the same position in both orders, "
        "whichever response stands there."
    )
