"""What does a person read after a comparison, of two models or of several?"""

from __future__ import annotations

from collections.abc import Sequence

from hrlaif.cli.jobs import cut_texts, silence
from hrlaif.pages.values import verdicts
from hrlaif.pages.words import spaced
from hrlaif.records import Row


def two_lines(found: Row, head: str, max_chars: int) -> list[str]:
    """The statement, the same at equal length, and what is missing: the judge saw `max_chars`."""
    won = found["win_rate"]
    lines = [f"{head}, {won['asked']} comparisons, judge {found['judge']}:", won["statement"]]
    equal = won["length_controlled"]["win_rate"]
    if verdicts(won):
        lines += [f"At equal length (lc_minimal) it is {_percent(equal)}."]
        lines += [f"  {flag}" for flag in won["length_controlled"]["flags"]]
    lines += [*_identical(won), *_cut(won, max_chars)]
    if won["unmatched"]:
        lines.append(f"  {won['unmatched']} responses have no partner in the other file")
    return [*lines, *silence(won["abstentions"])]


def several_lines(found: Row, max_chars: int) -> list[str]:
    """The models from the best to the worst, each two of them, and what is missing."""
    models = found["models"]
    head = f"{len(models)} models, {found['asked']} comparisons, judge {found['judge']}"
    return [
        f"{head} (95 % intervals):",
        *_ranking(found),
        *_pairs(found["pairs"]),
        *_difficulty(found),
        *_identical(found),
        *_cut(found, max_chars),
        *silence(found["abstentions"]),
    ]


def _ranking(found: Row) -> list[str]:
    ranking = found["ranking"]
    judged, equal = ranking["as_judged"], ranking["at_equal_style"]
    if judged is None:
        return [f"  no ranking: {ranking['reason']}"]
    rates = judged["win_rate"]
    held = [f"at equal {', '.join(map(spaced, equal['style']))}"] if equal else []
    rows = [["model", "mean win rate", *held, "characters"]]
    for name in sorted(rates, key=lambda name: -rates[name]["value"]):
        styled = [_short(equal["win_rate"][name])] if equal else []
        characters = found["models"][name]["characters"]["value"]
        rows.append([name, _short(rates[name]), *styled, f"{characters:,.0f}"])
    reasons: dict[str, list[str]] = {}
    for trait, why in ranking["style_left_out"].items():
        reasons.setdefault(why, []).append(spaced(trait))
    left_out = [f"  not held equal: {', '.join(names)}: {why}" for why, names in reasons.items()]
    return [*_table(rows), *left_out]


def _pairs(pairs: Sequence[Row]) -> list[str]:
    rows = [["b over a", "win rate", "at equal length (lc_minimal)", "n", "no verdict"]]
    unknown = []
    for one in pairs:
        won = one["win_rate"]
        silent = sum(won["abstentions"].values())
        equal = won["length_controlled"]["win_rate"]
        figures = [_short(won["overall"]), _short(equal)] if verdicts(won) else ["not known"] * 2
        names = f"{one['b']} over {one['a']}"
        rows.append([names, *figures, str(won["overall"]["n"]), str(silent)])
        if verdicts(won) and equal["value"] is None:
            unknown += [f"  {names}: {flag}" for flag in won["length_controlled"]["flags"]]
    alike = [f"{p['a']} and {p['b']}" for p in pairs if not _decided(p["win_rate"]["overall"])]
    return [
        *_table(rows),
        *unknown,
        *([f"  not told apart: {', '.join(alike)}"] if alike else []),
    ]


def _decided(figure: Row) -> bool:
    low, high = figure["low"], figure["high"]
    return low is not None and high is not None and not low <= 0.5 <= high


def _difficulty(found: Row) -> list[str]:
    first, known = next(iter(found["models"])), found["with_difficulty"]["models"]
    if not known:
        return []
    rows = [[f"over {first}", "at equal length and difficulty (lc_difficulty)"]]
    table = _table([*rows, *([name, _short(one["win_rate"])] for name, one in known.items())])
    return [*table, *(f"  {name}: {flag}" for name, one in known.items() for flag in one["flags"])]


def _identical(counts: Row) -> list[str]:
    if not counts["identical"]:
        return []
    return [f"  {counts['identical']} of two identical texts: ties, no judge was asked"]


def _cut(counts: Row, max_chars: int) -> list[str]:
    return cut_texts(counts["truncated"], verdicts(counts) or 0, max_chars)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _percent(figure: Row) -> str:
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not known"
    return f"{100 * value:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def _short(figure: Row) -> str:
    return _percent(figure).replace("95 % interval ", "")
